//! What can be done with an object beside moving its bytes.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::access;
use super::bucket::{existing, read_json};
use super::disk::{IfThere, is_valid_key};
use super::error::StorageError;
use super::faults::Logged;
use super::rows::ObjectRow;
use super::server::Server;
use super::upload::if_there;

type Answer = Result<Json<Value>, StorageError>;

#[derive(Deserialize)]
struct Prefixes {
    prefixes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FromTo {
    bucket_id: String,
    source_key: String,
    destination_bucket: Option<String>,
    destination_key: String,
}

pub(super) async fn info(
    State(server): State<Server>,
    Path((bucket, key)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    access::identify(&server.project, &headers)?.must_read()?;
    Ok(Json(existing_object(&server, &bucket, &key)?.info(&bucket)))
}

pub(super) async fn public_info(
    State(server): State<Server>,
    Path((bucket, key)): Path<(String, String)>,
) -> Answer {
    Ok(Json(public_object(&server, &bucket, &key)?.info(&bucket)))
}

pub(super) async fn delete(
    State(server): State<Server>,
    Path((bucket, key)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    access::identify(&server.project, &headers)?.must_read()?;
    existing(&server, &bucket)?;
    server.disk.delete(&bucket, &key)?;
    Ok(Json(json!({"message": "Successfully deleted"})))
}

/// The names are whole keys, whatever the field is called. Those that are not there are passed over.
pub(super) async fn delete_many(
    State(server): State<Server>,
    Path(bucket): Path<String>,
    Extension(logged): Extension<Logged>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let access = access::identify(&server.project, &headers)?;
    let Prefixes { prefixes } = read_json(&body)?;
    logged.fields(json!({"prefixes": prefixes}));
    if prefixes.is_empty() || prefixes.len() > 1000 {
        return Err(StorageError::InvalidRequest(
            "body/prefixes must have 1 to 1000 items".to_owned(),
        ));
    }
    existing(&server, &bucket)?;
    let mut deleted = Vec::new();
    if access.must_write().is_ok() {
        for key in &prefixes {
            match server.disk.delete(&bucket, key) {
                Ok(row) => deleted.push(row.deleted(&bucket)),
                Err(StorageError::NoSuchKey) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Json(deleted.into()))
}

pub(super) async fn copy(State(server): State<Server>, headers: HeaderMap, body: Bytes) -> Answer {
    access::identify(&server.project, &headers)?.must_write()?;
    let from_to = read_json::<FromTo>(&body)?;
    let (bucket, row) = duplicate(&server, &from_to, if_there(&headers)).await?;
    Ok(Json(
        json!({"Key": format!("{bucket}/{}", row.name), "Id": row.id}),
    ))
}

pub(super) async fn rename(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    access::identify(&server.project, &headers)?.must_write()?;
    let from_to = read_json::<FromTo>(&body)?;
    duplicate(&server, &from_to, IfThere::Refuse).await?;
    server
        .disk
        .delete(&from_to.bucket_id, &from_to.source_key)?;
    Ok(Json(json!({"message": "Successfully moved"})))
}

/// An object of a bucket, by names that may be anything.
pub(super) fn existing_object(
    server: &Server,
    bucket: &str,
    key: &str,
) -> Result<ObjectRow, StorageError> {
    existing(server, bucket).map_err(|_| StorageError::NoSuchKey)?;
    server.disk.object(bucket, key)
}

/// An object of a public bucket; the others are as if they were not there.
pub(super) fn public_object(
    server: &Server,
    bucket: &str,
    key: &str,
) -> Result<ObjectRow, StorageError> {
    match existing(server, bucket) {
        Ok(row) if row.public => server.disk.object(bucket, key),
        _ => Err(StorageError::NoSuchKey),
    }
}

async fn duplicate(
    server: &Server,
    from_to: &FromTo,
    if_there: IfThere,
) -> Result<(String, ObjectRow), StorageError> {
    let source = existing_object(server, &from_to.bucket_id, &from_to.source_key)?;
    if !is_valid_key(&from_to.destination_key) {
        return Err(StorageError::InvalidKey(from_to.destination_key.clone()));
    }
    let bucket = from_to
        .destination_bucket
        .as_ref()
        .unwrap_or(&from_to.bucket_id);
    let bucket = existing(server, bucket)?.id;
    let file = server.disk.object_file(&from_to.bucket_id, &source.name);
    let mut incoming = server.disk.receive()?;
    incoming.write(&tokio::fs::read(file).await?).await?;
    incoming.finish().await?;
    let row = ObjectRow {
        name: from_to.destination_key.clone(),
        id: Uuid::new_v4(),
        version: Uuid::new_v4(),
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
        ..source
    };
    Ok((
        bucket.clone(),
        server.disk.commit(incoming, &bucket, row, if_there)?,
    ))
}
