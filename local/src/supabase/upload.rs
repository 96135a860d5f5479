//! `POST` and `PUT /object/{bucket}/{path}`: bytes come in.

use axum::Json;
use axum::extract::{FromRequest as _, Multipart, Path, Request, State};
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::access;
use super::bucket::existing;
use super::disk::{IfThere, is_valid_key};
use super::error::StorageError;
use super::faults::Logged;
use super::incoming::Incoming;
use super::rows::{BucketRow, ObjectRow};
use super::server::Server;

type Answer = Result<Json<Value>, StorageError>;

/// What an uploader says about the bytes.
struct Described {
    content_type: String,
    cache_control: String,
    metadata: Option<Map<String, Value>>,
}

pub(super) async fn create(
    State(server): State<Server>,
    Path((bucket, key)): Path<(String, String)>,
    request: Request,
) -> Answer {
    access::identify(&server.project, request.headers())?.must_write()?;
    let if_there = if_there(request.headers());
    let row = store(&server, &bucket, &key, request, if_there).await?;
    Ok(Json(
        json!({"Key": format!("{bucket}/{key}"), "Id": row.id}),
    ))
}

pub(super) async fn replace(
    State(server): State<Server>,
    Path((bucket, key)): Path<(String, String)>,
    request: Request,
) -> Answer {
    access::identify(&server.project, request.headers())?.must_write()?;
    let row = store(&server, &bucket, &key, request, IfThere::Replace).await?;
    Ok(Json(
        json!({"Key": format!("{bucket}/{key}"), "Id": row.id}),
    ))
}

/// `x-upsert: true` replaces what is there.
pub(super) fn if_there(headers: &HeaderMap) -> IfThere {
    match headers
        .get("x-upsert")
        .map(axum::http::HeaderValue::as_bytes)
    {
        Some(b"true") => IfThere::Replace,
        _ => IfThere::Refuse,
    }
}

/// Takes the body in and makes an object of it. Nothing is left of a body that breaks off.
pub(super) async fn store(
    server: &Server,
    bucket: &str,
    key: &str,
    request: Request,
    if_there: IfThere,
) -> Result<ObjectRow, StorageError> {
    if !is_valid_key(key) {
        return Err(StorageError::InvalidKey(key.to_owned()));
    }
    let bucket = existing(server, bucket)?;
    if if_there == IfThere::Refuse && server.disk.object(&bucket.id, key).is_ok() {
        return Err(StorageError::KeyAlreadyExists);
    }
    let logged = request.extensions().get::<Logged>().cloned();
    let mut incoming = server.disk.receive()?;
    let described = if text(request.headers(), header::CONTENT_TYPE.as_str())
        .is_some_and(|value| value.starts_with("multipart/form-data"))
    {
        take_form(&bucket, request, &mut incoming).await?
    } else {
        take_body(&bucket, request, &mut incoming).await?
    };
    incoming.finish().await?;

    let sha256 = incoming.sha256();
    if let Some(logged) = logged {
        logged.fields(json!({
            "bytes": incoming.size(),
            "sha256": sha256,
            "content_type": described.content_type,
            "cache_control": described.cache_control,
            "metadata": described.metadata,
        }));
    }
    let now = Timestamp::now();
    let row = ObjectRow {
        name: key.to_owned(),
        id: Uuid::new_v4(),
        version: Uuid::new_v4(),
        content_type: described.content_type,
        cache_control: described.cache_control,
        etag: format!("\"{}\"", &sha256[..32]),
        size: incoming.size(),
        metadata: described.metadata,
        created_at: now,
        updated_at: now,
    };
    server.disk.commit(incoming, &bucket.id, row, if_there)
}

/// The body is the object. Its size is checked where it says one: a chunked body passes the limit, as at the real server.
async fn take_body(
    bucket: &BucketRow,
    request: Request,
    incoming: &mut Incoming,
) -> Result<Described, StorageError> {
    let headers = request.headers();
    let content_type = text(headers, header::CONTENT_TYPE.as_str());
    let described = Described {
        content_type: content_type
            .unwrap_or("application/octet-stream")
            .to_owned(),
        cache_control: text(headers, header::CACHE_CONTROL.as_str())
            .unwrap_or("no-cache")
            .to_owned(),
        metadata: text(headers, "x-metadata")
            .and_then(|encoded| STANDARD.decode(encoded).ok())
            .and_then(|json| serde_json::from_slice(&json).ok()),
    };
    check_mime(bucket, &described.content_type)?;
    let length = text(headers, header::CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
    check_size(bucket, length.unwrap_or(0))?;

    let mut parts = request.into_body().into_data_stream();
    while let Some(part) = parts.next().await {
        incoming.write(&part.map_err(broken_off)?).await?;
    }
    Ok(described)
}

/// The body is a form with one file, as browsers send it.
async fn take_form(
    bucket: &BucketRow,
    request: Request,
    incoming: &mut Incoming,
) -> Result<Described, StorageError> {
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(broken_off)?;
    let mut cache_control = "no-cache".to_owned();
    let mut metadata = None;
    while let Some(mut field) = form.next_field().await.map_err(broken_off)? {
        match field.name() {
            Some("cacheControl") if field.file_name().is_none() => {
                cache_control = format!("max-age={}", field.text().await.map_err(broken_off)?);
            }
            Some("metadata") if field.file_name().is_none() => {
                metadata = serde_json::from_str(&field.text().await.map_err(broken_off)?).ok();
            }
            _ => {
                let content_type = field.content_type().unwrap_or("application/octet-stream");
                let content_type = content_type.to_owned();
                check_mime(bucket, &content_type)?;
                while let Some(part) = field.chunk().await.map_err(broken_off)? {
                    incoming.write(&part).await?;
                    check_size(bucket, incoming.size())?;
                }
                return Ok(Described {
                    content_type,
                    cache_control,
                    metadata,
                });
            }
        }
    }
    Err(StorageError::InvalidRequest(
        "The form has no file".to_owned(),
    ))
}

fn check_mime(bucket: &BucketRow, content_type: &str) -> Result<(), StorageError> {
    if bucket.allows(content_type) {
        return Ok(());
    }
    Err(StorageError::InvalidMimeType(content_type.to_owned()))
}

fn check_size(bucket: &BucketRow, size: u64) -> Result<(), StorageError> {
    if bucket.file_size_limit.is_some_and(|limit| size > limit) {
        return Err(StorageError::EntityTooLarge);
    }
    Ok(())
}

fn broken_off(error: impl std::fmt::Display) -> StorageError {
    StorageError::InvalidRequest(format!("The body broke off: {error}"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
