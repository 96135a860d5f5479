//! Storage's answers as they come.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{ListedObject, ObjectInfo};

#[derive(Debug, Deserialize)]
pub(super) struct Uploaded {
    #[serde(rename = "Id")]
    pub(super) id: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Info {
    size: u64,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    etag: Option<String>,
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    created_at: Option<String>,
}

impl From<Info> for ObjectInfo {
    fn from(info: Info) -> Self {
        Self {
            size: info.size,
            content_type: info.content_type,
            etag: info.etag,
            metadata: info.metadata,
            created_at: timestamp(info.created_at),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    name: String,
    #[serde(default)]
    created_at: Option<String>,
    /// Storage's own notes on an object, not its uploader's.
    #[serde(default)]
    metadata: Option<ListedMetadata>,
}

#[derive(Debug, Deserialize)]
struct ListedMetadata {
    #[serde(default)]
    size: Option<u64>,
}

impl Listed {
    pub(super) fn in_folder(self, folder: &str) -> ListedObject {
        let path = match folder {
            "" => self.name,
            folder => format!("{folder}/{}", self.name),
        };
        ListedObject {
            path,
            size: self.metadata.and_then(|metadata| metadata.size),
            created_at: timestamp(self.created_at),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct SignedUpload {
    /// Relative to the base.
    pub(super) url: String,
}

fn timestamp(text: Option<String>) -> Option<Timestamp> {
    text?.parse().ok()
}
