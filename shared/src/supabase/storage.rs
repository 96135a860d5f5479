//! Supabase Storage: one call each, no retries of its own. Whoever calls knows what a repeat costs.

mod error;
mod wire;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::Stream;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

pub use error::{Refusal, StorageError};

use crate::tls::{HttpClientOptions, LazyHttpClient};

/// A path is written once and never means other bytes, so a cache may keep it: one year, the most that means anything.
const CACHE_FOR_GOOD: HeaderValue = HeaderValue::from_static("max-age=31536000, immutable");

/// What stays as it is within a segment of a path: the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where the bucket is.
#[derive(Debug)]
pub struct StorageOptions {
    /// The project: `https://<ref>.supabase.co`. Storage is under `/storage/v1` of it.
    pub supabase_url: String,
    /// `sb_secret_…` or the legacy `service_role` key.
    pub secret_key: SecretString,
    /// The bucket, public for reading.
    pub bucket: String,
    /// For one call, its body included.
    pub timeout: Duration,
}

/// One bucket of one project. Connects when first used.
#[derive(Debug)]
pub struct StorageClient {
    base_url: String,
    secret_key: SecretString,
    bucket: String,
    http: LazyHttpClient,
}

/// What storage knows of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectInfo {
    /// Bytes.
    pub size: u64,
    /// As given on upload.
    pub content_type: Option<String>,
    /// Changes with the bytes.
    pub etag: Option<String>,
    /// The JSON object given on upload, or null.
    pub metadata: Value,
    /// When it was first uploaded.
    pub created_at: Option<Timestamp>,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedObject {
    /// The whole path in the bucket.
    pub path: String,
    /// Bytes; `None` for a folder.
    pub size: Option<u64>,
    /// When it was first uploaded; `None` for a folder.
    pub created_at: Option<Timestamp>,
}

/// Where a browser may put one object without a key of its own.
#[derive(Debug, Clone)]
pub struct SignedUpload {
    /// Absolute; a PUT to it uploads. Holds the token, so it is a secret while it lasts (two hours).
    pub url: SecretString,
}

impl StorageClient {
    /// Notes the settings; connects to nothing.
    #[must_use]
    pub fn new(options: StorageOptions) -> Self {
        Self {
            base_url: format!("{}/storage/v1", options.supabase_url.trim_end_matches('/')),
            secret_key: options.secret_key,
            bucket: options.bucket,
            http: LazyHttpClient::new(HttpClientOptions::with_timeout(options.timeout)),
        }
    }

    /// Uploads in one request. A repeat with the same bytes succeeds.
    ///
    /// # Errors
    /// [`StorageError`]
    pub async fn upload(
        &self,
        path: &str,
        bytes: Bytes,
        content_type: &str,
        metadata: &Value,
    ) -> Result<(), StorageError> {
        let url = self.url("object", path);
        // A body of known length: the server counts a chunked one against no limit.
        let request = self
            .request(Method::POST, url)?
            .header(CONTENT_TYPE, content_type)
            .header(CACHE_CONTROL, CACHE_FOR_GOOD)
            .header("x-upsert", "true")
            .header("x-metadata", STANDARD.encode(metadata.to_string()))
            .body(bytes);
        let answer: wire::Uploaded = self.json(request).await?;
        tracing::debug!(object_id = %answer.id, "an object was uploaded");
        Ok(())
    }

    /// What is known of the object at a path; `None` where there is none.
    ///
    /// # Errors
    /// [`StorageError`], never `NotFound`.
    pub async fn info(&self, path: &str) -> Result<Option<ObjectInfo>, StorageError> {
        let request = self.request(Method::GET, self.url("object/info", path))?;
        match self.json::<wire::Info>(request).await {
            Ok(info) => Ok(Some(info.into())),
            Err(StorageError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes what is there of these paths, at most 1,000 a call. Gives the number deleted.
    ///
    /// # Errors
    /// [`StorageError`]
    pub async fn delete(&self, paths: &[&str]) -> Result<usize, StorageError> {
        let url = format!("{}/object/{}", self.base_url, self.encoded_bucket());
        let request = self.request(Method::DELETE, url)?;
        let request = with_json(request, &json!({ "prefixes": paths }));
        let deleted: Vec<Value> = self.json(request).await?;
        Ok(deleted.len())
    }

    /// What lies in a folder, by name.
    ///
    /// # Errors
    /// [`StorageError`]
    pub async fn list(
        &self,
        folder: &str,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<ListedObject>, StorageError> {
        let folder = folder.trim_matches('/');
        let url = format!("{}/object/list/{}", self.base_url, self.encoded_bucket());
        let body = json!({
            "prefix": folder, "limit": limit, "offset": offset, "sortBy": {"column": "name", "order": "asc"},
        });
        let request = with_json(self.request(Method::POST, url)?, &body);
        let listed: Vec<wire::Listed> = self.json(request).await?;
        Ok(listed
            .into_iter()
            .map(|listed| listed.in_folder(folder))
            .collect())
    }

    /// The address under which anybody can read an object.
    #[must_use]
    pub fn public_url(&self, path: &str) -> String {
        self.url("object/public", path)
    }

    /// The path in this bucket that a public URL leads to.
    #[must_use]
    pub fn path_of_public_url(&self, url: &str) -> Option<String> {
        let prefix = self.public_url("");
        let path = url.strip_prefix(&prefix)?.split(['?', '#']).next()?;
        let path = percent_encoding::percent_decode_str(path)
            .decode_utf8()
            .ok()?;
        // Segments that a URL's parser would resolve could lead out of the bucket, and our key with them.
        let leads_out = path.split('/').any(|part| matches!(part, "" | "." | ".."));
        (!leads_out).then(|| path.into_owned())
    }

    /// Reads an object, whole only when the stream has ended without an error.
    ///
    /// # Errors
    /// [`StorageError`]; the stream's items too.
    pub async fn download(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, StorageError>> + Send + use<>, StorageError> {
        use futures_util::TryStreamExt as _;

        let request = self.request(Method::GET, self.url("object/authenticated", path))?;
        let response = self.send(request).await?;
        Ok(response.bytes_stream().map_err(StorageError::no_answer))
    }

    /// Allows whoever has the URL to upload one object to a path.
    ///
    /// # Errors
    /// [`StorageError`]
    pub async fn sign_upload(&self, path: &str) -> Result<SignedUpload, StorageError> {
        let url = self.url("object/upload/sign", path);
        let request = with_json(self.request(Method::POST, url)?, &json!({}));
        let signed: wire::SignedUpload = self.json(request).await?;
        Ok(SignedUpload {
            url: format!("{}{}", self.base_url, signed.url).into(),
        })
    }

    /// Creates the bucket, public for reading. That somebody else has just done so is a success.
    ///
    /// # Errors
    /// [`StorageError`]
    pub async fn create_bucket(&self) -> Result<(), StorageError> {
        let bucket = json!({"id": self.bucket, "name": self.bucket, "public": true});
        let request = with_json(
            self.request(Method::POST, format!("{}/bucket", self.base_url))?,
            &bucket,
        );
        match self.send(request).await {
            Err(StorageError::Rejected(refusal)) if refusal.status == 409 => Ok(()),
            other => other.map(|_| ()),
        }
    }

    fn url(&self, route: &str, path: &str) -> String {
        let path = path
            .split('/')
            .map(|segment| utf8_percent_encode(segment, SEGMENT).to_string())
            .collect::<Vec<_>>()
            .join("/");
        format!("{}/{route}/{}/{path}", self.base_url, self.encoded_bucket())
    }

    fn encoded_bucket(&self) -> String {
        utf8_percent_encode(&self.bucket, SEGMENT).to_string()
    }

    /// A request with the key in both headers: the gateway reads one, storage the other.
    fn request(&self, method: Method, url: String) -> Result<RequestBuilder, StorageError> {
        let client = self.http.get().map_err(StorageError::no_answer)?;
        let key = self.secret_key.expose_secret();
        let secret_header = |value: String| {
            let mut value = HeaderValue::try_from(value).map_err(|_| StorageError::UnusableKey)?;
            value.set_sensitive(true);
            Ok(value)
        };
        Ok(client
            .request(method, url)
            .header(AUTHORIZATION, secret_header(format!("Bearer {key}"))?)
            .header("apikey", secret_header(key.to_owned())?))
    }

    async fn json<T: serde::de::DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, StorageError> {
        let response = self.send(request).await?;
        let body = response.bytes().await.map_err(StorageError::no_answer)?;
        serde_json::from_slice(&body).map_err(StorageError::strange_answer)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, StorageError> {
        let response = request.send().await.map_err(StorageError::no_answer)?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(StorageError::from_response(response).await)
    }
}

fn with_json(request: RequestBuilder, body: &Value) -> RequestBuilder {
    request
        .header(CONTENT_TYPE, "application/json")
        .body(body.to_string())
}

#[cfg(test)]
mod tests;
