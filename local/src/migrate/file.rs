//! Migration files: their names, versions and order.

use std::fs;
use std::path::{Path, PathBuf};

use super::MigrateError;

/// A file of SQL to apply.
#[derive(Debug, Clone)]
pub struct MigrationFile {
    /// Where it was read.
    pub path: PathBuf,
    /// The digits before the first underscore; `None` for a file that is only to be run.
    pub version: Option<String>,
    /// What follows them, without the ending.
    pub name: String,
    /// Its text.
    pub sql: String,
}

impl MigrationFile {
    /// The name of the file without its directories.
    #[must_use]
    pub fn file_name(&self) -> String {
        self.path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}

/// Reads one file. A name without a version is fine: such a file is run and not recorded.
///
/// # Errors
/// When it cannot be read or is not UTF-8.
pub fn read(path: &Path) -> Result<MigrationFile, MigrateError> {
    let text = fs::read_to_string(path).map_err(|error| unusable(path, &error.to_string()))?;
    let sql = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let (version, name) = match version_and_name(&stem) {
        Some((version, name)) => (Some(version.to_owned()), name.to_owned()),
        None => (None, stem.clone().into_owned()),
    };
    Ok(MigrationFile {
        path: path.to_owned(),
        version,
        name,
        sql,
    })
}

/// Reads the migrations of a directory in the order of their versions. Other files are left alone.
///
/// # Errors
/// When the directory or a migration cannot be read, or two have one version.
pub fn read_directory(directory: &Path) -> Result<Vec<MigrationFile>, MigrateError> {
    let entries =
        fs::read_dir(directory).map_err(|error| unusable(directory, &error.to_string()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| unusable(directory, &error.to_string()))?
            .path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let is_sql = path.extension().is_some_and(|extension| extension == "sql");
        if is_sql && version_and_name(&stem).is_some() {
            files.push(read(&path)?);
        }
    }
    files.sort_by(|one, other| one.version.cmp(&other.version));
    for pair in files.windows(2) {
        if pair[0].version == pair[1].version {
            let problem = format!("has the same version as {}", pair[0].file_name());
            return Err(unusable(&pair[1].path, &problem));
        }
    }
    Ok(files)
}

fn version_and_name(stem: &str) -> Option<(&str, &str)> {
    let (version, name) = stem.split_once('_')?;
    let digits = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    (digits && !name.is_empty()).then_some((version, name))
}

fn unusable(path: &Path, problem: &str) -> MigrateError {
    MigrateError::Unusable {
        path: path.to_owned(),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_the_digits_before_the_first_underscore() {
        for (stem, expected) in [
            ("202602021000_datasets", Some(("202602021000", "datasets"))),
            ("20260202100000_a_b", Some(("20260202100000", "a_b"))),
            ("202602021000", None),
            ("202602021000_", None),
            ("seed_1", None),
            ("_x", None),
        ] {
            assert_eq!(version_and_name(stem), expected, "{stem}");
        }
    }

    #[test]
    fn a_directory_is_read_in_order_and_refuses_a_version_twice() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "202602021005_b.sql",
            "202602021000_a.sql",
            "notes.txt",
            "seed.sql",
        ] {
            fs::write(directory.path().join(name), "\u{feff}select 1;").unwrap();
        }
        let files = read_directory(directory.path()).unwrap();
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(files[0].sql, "select 1;");

        fs::write(directory.path().join("202602021000_c.sql"), "").unwrap();
        let error = read_directory(directory.path()).unwrap_err();
        assert!(error.to_string().contains("the same version"), "{error}");
    }
}
