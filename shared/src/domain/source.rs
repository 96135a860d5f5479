//! Images that go with a request: those to be edited, a mask, and those that show the look to keep.

use serde::{Deserialize, Serialize};

use super::id::ImageId;

/// The folder of the bucket for reference images that users upload.
pub const REFERENCES_FOLDER: &str = "references";

/// Where a worker finds an image that it is to send. Never the image itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSource {
    /// Its record, where it is one of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<ImageId>,
    /// Its URL.
    #[serde(default)]
    pub image_url: String,
    /// Its path in our own bucket, where it is known to lie there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_path: Option<String>,
}

impl ImageSource {
    /// An image that lies somewhere else.
    pub fn at(image_url: impl Into<String>) -> Self {
        Self {
            image_id: None,
            image_url: image_url.into(),
            storage_path: None,
        }
    }
}

/// An image of a dataset that shows the look to keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Its row in `dataset_images`, whose ids an application's own table may spell in its own way.
    pub id: String,
    /// Its URL.
    #[serde(default)]
    pub image_url: String,
    /// Its path in our own bucket, where it was uploaded to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_path: Option<String>,
}

/// A reference that did not go with the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Which.
    #[serde(flatten)]
    pub reference: Reference,
    /// Why.
    pub reason: String,
}
