//! Signed URLs: a caller without a key reads one object, or uploads one.

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::{Extension, Json};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access;
use super::bucket::{existing, read_json};
use super::disk::{IfThere, is_valid_key};
use super::download::{Saved, send};
use super::error::StorageError;
use super::faults::Logged;
use super::object::existing_object;
use super::server::Server;
use super::{token, upload};

type Answer = Result<Json<Value>, StorageError>;

/// How long an upload URL is good, as the real one.
const UPLOAD_VALID_FOR_S: i64 = 2 * 3600;

/// What stays as it is in a URL's path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    expires_in: i64,
    #[serde(default)]
    paths: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(default)]
    token: String,
}

pub(super) async fn create(
    State(server): State<Server>,
    Path((bucket, key)): Path<(String, String)>,
    Extension(logged): Extension<Logged>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    access::identify(&server.project, &headers)?.must_read()?;
    logged.fields(read_json(&body)?);
    let wanted = read_json::<Wanted>(&body)?;
    existing_object(&server, &bucket, &key)?;
    Ok(Json(
        json!({"signedURL": sign(&server, &bucket, &key, wanted.expires_in)}),
    ))
}

pub(super) async fn create_many(
    State(server): State<Server>,
    Path(bucket): Path<String>,
    Extension(logged): Extension<Logged>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    access::identify(&server.project, &headers)?.must_read()?;
    logged.fields(read_json(&body)?);
    let wanted = read_json::<Wanted>(&body)?;
    let answers = wanted.paths.iter().map(|key| {
        match existing_object(&server, &bucket, key) {
            Ok(_) => json!({
                "error": null, "path": key, "signedURL": sign(&server, &bucket, key, wanted.expires_in),
            }),
            Err(_) => json!({
                "error": "Either the object does not exist or you do not have access to it",
                "path": key, "signedURL": null,
            }),
        }
    });
    Ok(Json(answers.collect()))
}

pub(super) async fn download(
    State(server): State<Server>,
    Path((bucket, key)): Path<(String, String)>,
    Query(Token { token }): Query<Token>,
    Query(saved): Query<Saved>,
    headers: HeaderMap,
) -> Result<Response, StorageError> {
    check(&server, &token, &bucket, &key, "download")?;
    let row = existing_object(&server, &bucket, &key)?;
    send(&server, &bucket, &row, &headers, &saved).await
}

pub(super) async fn create_upload(
    State(server): State<Server>,
    Path((bucket, key)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    access::identify(&server.project, &headers)?.must_write()?;
    if !is_valid_key(&key) {
        return Err(StorageError::InvalidKey(key));
    }
    existing(&server, &bucket)?;
    let if_there = upload::if_there(&headers);
    if if_there == IfThere::Refuse && server.disk.object(&bucket, &key).is_ok() {
        return Err(StorageError::KeyAlreadyExists);
    }
    let token = token::sign_with_secret(
        &server.project,
        &claims(
            &bucket,
            &key,
            UPLOAD_VALID_FOR_S,
            json!({
                "for": "upload", "owner": "", "upsert": if_there == IfThere::Replace,
            }),
        ),
    );
    let url = format!(
        "/object/upload/sign/{}?token={token}",
        in_url(&bucket, &key)
    );
    Ok(Json(json!({"url": url, "token": token})))
}

/// The token is the permission: neither a key nor `x-upsert` is looked at.
pub(super) async fn upload(
    State(server): State<Server>,
    Path((bucket, key)): Path<(String, String)>,
    Query(Token { token }): Query<Token>,
    request: Request,
) -> Answer {
    let claims = check(&server, &token, &bucket, &key, "upload")?;
    let if_there = match claims["upsert"].as_bool() {
        Some(true) => IfThere::Replace,
        _ => IfThere::Refuse,
    };
    upload::store(&server, &bucket, &key, request, if_there).await?;
    Ok(Json(json!({"Key": format!("{bucket}/{key}")})))
}

/// The address of an object for a while, relative to the base of Storage.
fn sign(server: &Server, bucket: &str, key: &str, expires_in: i64) -> String {
    let claims = claims(bucket, key, expires_in, json!({"for": "download"}));
    let token = token::sign_with_secret(&server.project, &claims);
    format!("/object/sign/{}?token={token}", in_url(bucket, key))
}

fn claims(bucket: &str, key: &str, expires_in: i64, mut claims: Value) -> Value {
    let now = Timestamp::now().as_second();
    claims["url"] = format!("{bucket}/{key}").into();
    claims["iat"] = now.into();
    claims["exp"] = now.saturating_add(expires_in).into();
    claims
}

fn check(
    server: &Server,
    token: &str,
    bucket: &str,
    key: &str,
    purpose: &str,
) -> Result<Value, StorageError> {
    let claims = token::verify(&server.project, token).map_err(StorageError::InvalidJwt)?;
    if claims["url"] != format!("{bucket}/{key}") || claims["for"] != purpose {
        return Err(StorageError::InvalidSignature);
    }
    Ok(claims)
}

fn in_url(bucket: &str, key: &str) -> String {
    format!(
        "{}/{}",
        utf8_percent_encode(bucket, PATH),
        utf8_percent_encode(key, PATH)
    )
}
