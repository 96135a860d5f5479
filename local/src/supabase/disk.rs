//! Buckets on disk. The bytes of an object lie at `storage/{bucket}/{path}`, readable by any other program; what is
//! known about it lies beside that tree, at `storage-metadata`. An object exists when both are there.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::StorageError;
use super::incoming::Incoming;
use super::rows::{BucketRow, Folder, Listed, ObjectRow};

/// Ends the names of the files that describe an object. `#` is not allowed in a key, so no object is called that.
const DESCRIPTION: &str = "#.json";

/// Where a project's buckets are kept.
#[derive(Debug)]
pub(super) struct Disk {
    objects: PathBuf,
    descriptions: PathBuf,
    buckets: PathBuf,
    incoming: PathBuf,
    /// Held while files are put in place or taken away: two renames make an object.
    changes: Mutex<()>,
}

/// What an upload does with an object that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfThere {
    Refuse,
    Replace,
}

impl Disk {
    /// Opens the storage of a data directory, and clears away what an upload has left that was cut off by the end of
    /// the process.
    pub(super) fn open(data_dir: &Path) -> io::Result<Disk> {
        let disk = Disk {
            objects: data_dir.join("storage"),
            descriptions: data_dir.join("storage-metadata/objects"),
            buckets: data_dir.join("storage-metadata/buckets"),
            incoming: data_dir.join("storage-incoming"),
            changes: Mutex::new(()),
        };
        remove_tree(&disk.incoming)?;
        for directory in [
            &disk.objects,
            &disk.descriptions,
            &disk.buckets,
            &disk.incoming,
        ] {
            fs::create_dir_all(directory)?;
        }
        Ok(disk)
    }

    pub(super) fn bucket(&self, bucket: &str) -> Result<BucketRow, StorageError> {
        read_json(&self.bucket_file(bucket))?.ok_or(StorageError::NoSuchBucket)
    }

    pub(super) fn buckets(&self) -> Result<Vec<BucketRow>, StorageError> {
        let mut rows = Vec::new();
        for entry in fs::read_dir(&self.buckets)? {
            rows.extend(read_json::<BucketRow>(&entry?.path())?);
        }
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(rows)
    }

    pub(super) fn create_bucket(&self, row: &BucketRow) -> Result<(), StorageError> {
        let _changes = self.lock();
        if self.bucket_file(&row.id).exists() {
            return Err(StorageError::BucketAlreadyExists);
        }
        fs::create_dir_all(self.objects.join(&row.id))?;
        Ok(self.write_json(&self.bucket_file(&row.id), row)?)
    }

    pub(super) fn update_bucket(&self, row: &BucketRow) -> Result<(), StorageError> {
        let _changes = self.lock();
        self.bucket(&row.id)?;
        Ok(self.write_json(&self.bucket_file(&row.id), row)?)
    }

    pub(super) fn delete_bucket(&self, bucket: &str) -> Result<(), StorageError> {
        let _changes = self.lock();
        self.bucket(bucket)?;
        if has_entries(&self.descriptions.join(bucket))? {
            return Err(StorageError::BucketNotEmpty);
        }
        remove_tree(&self.objects.join(bucket))?;
        Ok(fs::remove_file(self.bucket_file(bucket))?)
    }

    pub(super) fn empty_bucket(&self, bucket: &str) -> Result<(), StorageError> {
        let _changes = self.lock();
        self.bucket(bucket)?;
        remove_tree(&self.descriptions.join(bucket))?;
        remove_tree(&self.objects.join(bucket))?;
        Ok(fs::create_dir_all(self.objects.join(bucket))?)
    }

    pub(super) fn object(&self, bucket: &str, key: &str) -> Result<ObjectRow, StorageError> {
        if !is_valid_key(key) || !self.object_file(bucket, key).is_file() {
            return Err(StorageError::NoSuchKey);
        }
        read_json(&self.description_file(bucket, key))?.ok_or(StorageError::NoSuchKey)
    }

    /// Where an object's bytes are.
    pub(super) fn object_file(&self, bucket: &str, key: &str) -> PathBuf {
        self.objects.join(bucket).join(key)
    }

    /// A place for bytes that arrive. They are gone when it is dropped before [`Disk::commit`].
    pub(super) fn receive(&self) -> io::Result<Incoming> {
        Incoming::new_in(&self.incoming)
    }

    /// Makes an object of bytes that have arrived whole.
    pub(super) fn commit(
        &self,
        incoming: Incoming,
        bucket: &str,
        mut row: ObjectRow,
        if_there: IfThere,
    ) -> Result<ObjectRow, StorageError> {
        let _changes = self.lock();
        self.bucket(bucket)?;
        match self.object(bucket, &row.name) {
            Ok(_) if if_there == IfThere::Refuse => return Err(StorageError::KeyAlreadyExists),
            Ok(old) => {
                row.id = old.id;
                row.created_at = old.created_at;
            }
            Err(_) => {}
        }
        // On a disk a name is a file or a folder, where the real storage can have both.
        let in_the_way = |error: io::Error| match error.kind() {
            ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::AlreadyExists => {
                StorageError::InvalidKey(row.name.clone())
            }
            _ => error.into(),
        };
        let file = self.object_file(bucket, &row.name);
        create_parent(&file).map_err(in_the_way)?;
        incoming.persist(&file).map_err(in_the_way)?;
        let description = self.description_file(bucket, &row.name);
        create_parent(&description)?;
        self.write_json(&description, &row)?;
        Ok(row)
    }

    /// Takes an object away; what it was.
    pub(super) fn delete(&self, bucket: &str, key: &str) -> Result<ObjectRow, StorageError> {
        let _changes = self.lock();
        let row = self.object(bucket, key)?;
        remove_file_and_empty_folders(&self.description_file(bucket, key), &self.descriptions)?;
        remove_file_and_empty_folders(&self.object_file(bucket, key), &self.objects.join(bucket))?;
        Ok(row)
    }

    /// What lies directly in a folder, unsorted. A folder that is not there is an empty one.
    pub(super) fn list(&self, bucket: &str, folder: &str) -> Result<Vec<Listed>, StorageError> {
        let mut listed = Vec::new();
        if !folder.is_empty() && !is_valid_key(folder) {
            return Ok(listed);
        }
        let entries = match fs::read_dir(self.descriptions.join(bucket).join(folder)) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(listed),
            Err(error) => return Err(error.into()),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            match name.strip_suffix(DESCRIPTION) {
                None => listed.push(Listed::Folder(Folder { name })),
                Some(name) => {
                    if let Some(row) = read_json::<ObjectRow>(&entry.path())? {
                        listed.push(Listed::Object(name.to_owned(), Box::new(row)));
                    }
                }
            }
        }
        Ok(listed)
    }

    fn bucket_file(&self, bucket: &str) -> PathBuf {
        self.buckets.join(format!("{bucket}.json"))
    }

    fn description_file(&self, bucket: &str, key: &str) -> PathBuf {
        self.descriptions
            .join(bucket)
            .join(format!("{key}{DESCRIPTION}"))
    }

    fn write_json(&self, file: &Path, value: &impl Serialize) -> io::Result<()> {
        let temporary = tempfile::NamedTempFile::new_in(&self.incoming)?;
        serde_json::to_writer_pretty(&temporary, value)?;
        temporary.persist(file)?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The characters that the storage server allows, and no way out of the bucket's folder.
pub(super) fn is_valid_key(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 1024
        && key.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_/!-.*'() &$@=;:+,?".contains(c))
}

/// As [`is_valid_key`], for the one name of a bucket.
pub(super) fn is_valid_bucket_name(name: &str) -> bool {
    is_valid_key(name) && !name.contains('/') && name.len() <= 100
}

fn read_json<T: DeserializeOwned>(file: &Path) -> io::Result<Option<T>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn create_parent(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), fs::create_dir_all)
}

fn remove_file_and_empty_folders(file: &Path, top: &Path) -> io::Result<()> {
    fs::remove_file(file)?;
    let mut folder = file.parent();
    while let Some(path) = folder.filter(|path| *path != top) {
        // It fails where something else is in the folder, and then the rest stays too.
        if fs::remove_dir(path).is_err() {
            break;
        }
        folder = path.parent();
    }
    Ok(())
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if !is_absent(&error) => Err(error),
        _ => Ok(()),
    }
}

fn has_entries(directory: &Path) -> io::Result<bool> {
    match fs::read_dir(directory) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::is_valid_key;

    #[test]
    fn keys_stay_inside_the_bucket() {
        let table = [
            ("generated/a.png", true),
            ("a b/(c)+d,e;f=g@h&i$j'k*l!m?.webp", true),
            ("...", true),
            ("", false),
            ("/a", false),
            ("a/", false),
            ("a//b", false),
            ("../a", false),
            ("a/../../b", false),
            ("./a", false),
            ("a\\b", false),
            ("a#b", false),
            ("a\0b", false),
            ("ä.png", false),
            ("a%2fb", false),
        ];
        for (key, valid) in table {
            assert_eq!(is_valid_key(key), valid, "{key:?}");
        }
    }
}
