//! The rows of `storage.buckets` and `storage.objects`, and how they look in answers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// A bucket, as `GET /bucket/{id}` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BucketRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) public: bool,
    /// Bytes.
    pub(super) file_size_limit: Option<u64>,
    pub(super) allowed_mime_types: Option<Vec<String>>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

/// An object, without its bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ObjectRow {
    /// The path inside the bucket.
    pub(super) name: String,
    pub(super) id: Uuid,
    /// New with every upload.
    pub(super) version: Uuid,
    pub(super) content_type: String,
    pub(super) cache_control: String,
    /// With its quotes.
    pub(super) etag: String,
    pub(super) size: u64,
    /// What the uploader wrote about it.
    pub(super) metadata: Option<Map<String, Value>>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

/// What is found in a folder; an object with its name in that folder.
#[derive(Clone, Debug)]
pub(super) enum Listed {
    Folder(Folder),
    Object(String, Box<ObjectRow>),
}

/// A folder in a folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) name: String,
}

impl BucketRow {
    pub(super) fn new(id: &str, public: bool) -> BucketRow {
        let now = Timestamp::now();
        BucketRow {
            id: id.to_owned(),
            name: id.to_owned(),
            owner: String::new(),
            public,
            file_size_limit: None,
            allowed_mime_types: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether a MIME type may be uploaded. A list has types and `image/*`.
    pub(super) fn allows(&self, content_type: &str) -> bool {
        let mime = essence(content_type);
        let Some(allowed) = &self.allowed_mime_types else {
            return true;
        };
        allowed
            .iter()
            .any(|allowed| match allowed.strip_suffix("/*") {
                Some("*") => true,
                Some(class) => mime.split('/').next() == Some(class),
                None => essence(allowed) == mime,
            })
    }
}

impl ObjectRow {
    /// The answer of `GET /object/info/…`.
    pub(super) fn info(&self, bucket: &str) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "version": self.version,
            "bucket_id": bucket,
            "size": self.size,
            "content_type": self.content_type,
            "cache_control": self.cache_control,
            "etag": self.etag,
            "metadata": self.metadata,
            "last_modified": millis(self.updated_at),
            "created_at": millis(self.created_at),
        })
    }

    /// The row that a deletion answers with.
    pub(super) fn deleted(&self, bucket: &str) -> Value {
        json!({
            "name": self.name,
            "bucket_id": bucket,
            "owner": "",
            "owner_id": "",
            "version": self.version,
            "id": self.id,
            "updated_at": millis(self.updated_at),
            "created_at": millis(self.created_at),
            "last_accessed_at": millis(self.updated_at),
            "metadata": self.system_metadata(),
            "user_metadata": self.metadata,
        })
    }

    fn system_metadata(&self) -> Value {
        json!({
            "eTag": self.etag,
            "size": self.size,
            "mimetype": self.content_type,
            "cacheControl": self.cache_control,
            "lastModified": millis(self.updated_at),
            "contentLength": self.size,
            "httpStatusCode": 200,
        })
    }
}

impl Listed {
    pub(super) fn name(&self) -> &str {
        match self {
            Listed::Folder(folder) => &folder.name,
            Listed::Object(name, _) => name,
        }
    }

    /// Milliseconds since 1970 of the column; a folder has none and comes first.
    pub(super) fn time(&self, column: &str) -> Option<i64> {
        match self {
            Listed::Folder(_) => None,
            Listed::Object(_, row) if column == "created_at" => {
                Some(row.created_at.as_millisecond())
            }
            Listed::Object(_, row) => Some(row.updated_at.as_millisecond()),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Listed::Folder(folder) => json!({
                "name": folder.name, "id": null, "updated_at": null, "created_at": null,
                "last_accessed_at": null, "metadata": null,
            }),
            Listed::Object(name, row) => json!({
                "name": name,
                "id": row.id,
                "updated_at": millis(row.updated_at),
                "created_at": millis(row.created_at),
                "last_accessed_at": millis(row.updated_at),
                "metadata": row.system_metadata(),
            }),
        }
    }
}

fn essence(content_type: &str) -> String {
    let mime = content_type.split(';').next().unwrap_or_default();
    mime.trim().to_ascii_lowercase()
}

fn millis(time: Timestamp) -> String {
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::BucketRow;

    #[test]
    fn a_bucket_allows_its_mime_types() {
        let table = [
            (None, "text/html", true),
            (Some(vec!["image/png"]), "image/png", true),
            (Some(vec!["image/png"]), "IMAGE/PNG; charset=x", true),
            (Some(vec!["image/png"]), "image/webp", false),
            (Some(vec!["image/*"]), "image/webp", true),
            (Some(vec!["image/*"]), "imagery/webp", false),
            (Some(vec!["*/*"]), "text/html", true),
            (Some(vec![]), "image/png", false),
        ];
        for (allowed, mime, expected) in table {
            let bucket = BucketRow {
                allowed_mime_types: allowed
                    .clone()
                    .map(|list| list.into_iter().map(str::to_owned).collect()),
                ..BucketRow::new("b", true)
            };
            assert_eq!(bucket.allows(mime), expected, "{allowed:?} {mime}");
        }
    }
}
