//! `/bucket`: make, show, change, empty and remove buckets.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access;
use super::disk::is_valid_bucket_name;
use super::error::StorageError;
use super::rows::BucketRow;
use super::server::Server;

type Answer = Result<Json<Value>, StorageError>;

#[derive(Deserialize)]
struct Wanted {
    id: Option<String>,
    name: Option<String>,
    public: Option<bool>,
    /// Bytes, or a text such as `20MB`.
    file_size_limit: Option<Value>,
    allowed_mime_types: Option<Vec<String>>,
}

pub(super) async fn all(State(server): State<Server>, headers: HeaderMap) -> Answer {
    if access::identify(&server.project, &headers)?
        .must_read()
        .is_err()
    {
        return Ok(Json(json!([])));
    }
    Ok(Json(json!(server.disk.buckets()?)))
}

pub(super) async fn one(
    State(server): State<Server>,
    Path(bucket): Path<String>,
    headers: HeaderMap,
) -> Answer {
    access::identify(&server.project, &headers)?
        .must_read()
        .map_err(|_| StorageError::NoSuchBucket)?;
    Ok(Json(json!(existing(&server, &bucket)?)))
}

pub(super) async fn create(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    access::identify(&server.project, &headers)?.must_write()?;
    let wanted = read_json::<Wanted>(&body)?;
    let name = wanted
        .name
        .clone()
        .or_else(|| wanted.id.clone())
        .ok_or_else(|| {
            StorageError::InvalidRequest("body must have required property 'name'".to_owned())
        })?;
    if !is_valid_bucket_name(&name) {
        return Err(StorageError::InvalidBucketName);
    }
    let mut row = BucketRow::new(wanted.id.as_deref().unwrap_or(&name), false);
    if !is_valid_bucket_name(&row.id) {
        return Err(StorageError::InvalidBucketName);
    }
    row.name.clone_from(&name);
    apply(&mut row, wanted)?;
    server.disk.create_bucket(&row)?;
    Ok(Json(json!({"name": name})))
}

pub(super) async fn update(
    State(server): State<Server>,
    Path(bucket): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    access::identify(&server.project, &headers)?.must_write()?;
    let mut row = existing(&server, &bucket)?;
    apply(&mut row, read_json::<Wanted>(&body)?)?;
    row.updated_at = Timestamp::now();
    server.disk.update_bucket(&row)?;
    Ok(Json(json!({"message": "Successfully updated"})))
}

pub(super) async fn delete(
    State(server): State<Server>,
    Path(bucket): Path<String>,
    headers: HeaderMap,
) -> Answer {
    access::identify(&server.project, &headers)?.must_write()?;
    existing(&server, &bucket)?;
    server.disk.delete_bucket(&bucket)?;
    Ok(Json(json!({"message": "Successfully deleted"})))
}

pub(super) async fn empty(
    State(server): State<Server>,
    Path(bucket): Path<String>,
    headers: HeaderMap,
) -> Answer {
    access::identify(&server.project, &headers)?.must_write()?;
    existing(&server, &bucket)?;
    server.disk.empty_bucket(&bucket)?;
    Ok(Json(json!({"message": "Successfully emptied"})))
}

/// A bucket by a name that may be anything.
pub(super) fn existing(server: &Server, bucket: &str) -> Result<BucketRow, StorageError> {
    if !is_valid_bucket_name(bucket) {
        return Err(StorageError::NoSuchBucket);
    }
    server.disk.bucket(bucket)
}

/// A JSON body; the storage server's own words are not kept to.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, StorageError> {
    serde_json::from_slice(body).map_err(|error| StorageError::InvalidRequest(error.to_string()))
}

fn apply(row: &mut BucketRow, wanted: Wanted) -> Result<(), StorageError> {
    if let Some(public) = wanted.public {
        row.public = public;
    }
    if let Some(limit) = wanted.file_size_limit {
        row.file_size_limit = Some(bytes(&limit).ok_or_else(|| {
            StorageError::InvalidRequest("file_size_limit must be a size".to_owned())
        })?);
    }
    if let Some(types) = wanted.allowed_mime_types {
        row.allowed_mime_types = Some(types);
    }
    Ok(())
}

/// A size: a number of bytes, or one with a unit, of 1024 each.
fn bytes(size: &Value) -> Option<u64> {
    let Some(text) = size.as_str() else {
        return size.as_u64();
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "KB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(unit)
}
