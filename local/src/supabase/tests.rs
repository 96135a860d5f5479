//! The stand-in over real loopback HTTP.

use std::path::Path;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{BUCKET, Supabase};

mod auth;
mod client;
mod faults;
mod refusals;
mod storage;
mod upload;

/// A project on a directory of its own.
pub(super) struct Started {
    pub(super) supabase: Supabase,
    pub(super) client: Client,
    pub(super) data_dir: tempfile::TempDir,
}

pub(super) async fn start() -> Started {
    let data_dir = tempfile::tempdir().unwrap();
    Started {
        supabase: start_on(data_dir.path()).await,
        client: client(),
        data_dir,
    }
}

pub(super) async fn start_on(data_dir: &Path) -> Supabase {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Supabase::start(listener, data_dir).await.unwrap()
}

fn client() -> Client {
    // An error says that another test of this process was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

impl Started {
    /// A call of Storage without a key.
    pub(super) fn open(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.supabase.storage_url()))
    }

    /// A call of Storage with the service's key.
    pub(super) fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.open(method, path)
            .bearer_auth(self.supabase.secret_key())
            .header("apikey", self.supabase.secret_key())
    }

    pub(super) async fn upload(&self, key: &str, bytes: impl Into<reqwest::Body>) -> (u16, Value) {
        let path = format!("/object/{BUCKET}/{key}");
        answer(
            self.call(Method::POST, &path)
                .header("content-type", "image/png")
                .body(bytes),
        )
        .await
    }
}

/// Status and JSON body.
pub(super) async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
    (
        status,
        serde_json::from_slice(&body).unwrap_or_else(|_| text()),
    )
}

/// `statusCode` and `code`, which tell the failures apart.
pub(super) async fn failure(request: RequestBuilder) -> (u16, String, String) {
    let (status, body) = answer(request).await;
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    assert!(
        body["message"].is_string() && body["error"].is_string(),
        "{body}"
    );
    (status, text("statusCode"), text("code"))
}

pub(super) fn expected(status: u16, status_code: &str, code: &str) -> (u16, String, String) {
    (status, status_code.to_owned(), code.to_owned())
}

pub(super) async fn control(started: &Started, script: Value) {
    let (status, body) = answer(started.open(Method::POST, "/_control").json(&script)).await;
    assert_eq!(status, 200, "{body}");
}

pub(super) fn files_in(directory: &Path) -> usize {
    std::fs::read_dir(directory).map_or(0, Iterator::count)
}

pub(super) fn bucket(name: &str) -> Value {
    json!({"id": name, "name": name, "public": true})
}
