//! Against a server that notes what it is sent and answers as storage was seen to.

use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response as Answer};
use futures_util::TryStreamExt as _;

use super::*;

#[derive(Debug, Clone)]
struct Seen {
    line: String,
    headers: axum::http::HeaderMap,
    body: Bytes,
}

type Log = Arc<Mutex<Vec<Seen>>>;

struct Server {
    url: String,
    log: Log,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start() -> Self {
        let log = Log::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = axum::Router::new().fallback(answer).with_state(log.clone());
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, log, task }
    }

    fn client(&self) -> StorageClient {
        StorageClient::new(StorageOptions {
            supabase_url: format!("{}/", self.url),
            secret_key: "sb_secret_sesame".into(),
            bucket: "generated-images".to_owned(),
            timeout: Duration::from_secs(5),
        })
    }

    fn last(&self) -> Seen {
        self.log.lock().unwrap().last().unwrap().clone()
    }
}

async fn answer(State(log): State<Log>, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.path().to_owned();
    log.lock().unwrap().push(Seen {
        line: format!("{} {path}", parts.method),
        headers: parts.headers,
        body,
    });
    let json = |text: &'static str| text.into_response();
    let route = path.strip_prefix("/storage/v1/object/").unwrap();
    match (parts.method.as_str(), route) {
        (_, route) if route.contains("missing") => (
            StatusCode::BAD_REQUEST,
            r#"{"statusCode":"404","error":"not_found","message":"Object not found","code":"NoSuchKey"}"#,
        )
            .into_response(),
        (_, route) if route.contains("captive") => json("<html>please sign in</html>"),
        ("GET", route) if route.starts_with("info/") => json(
            r#"{"id":"i","name":"generated/a.png","size":3,"content_type":"image/png","etag":"\"e\"",
                "metadata":{"width":1},"created_at":"2026-01-02T03:04:05.678Z"}"#,
        ),
        ("GET", route) if route.starts_with("authenticated/") => json("abc"),
        ("POST", route) if route.starts_with("list/") => json(
            r#"[{"name":"deeper","id":null,"created_at":null,"metadata":null},
                {"name":"a.png","id":"i","created_at":"2026-01-02T03:04:05+00:00","metadata":{"size":3,"mimetype":"image/png"}}]"#,
        ),
        ("POST", route) if route.starts_with("upload/sign/") => {
            json(r#"{"url":"/object/upload/sign/generated-images/in/a.png?token=t"}"#)
        }
        ("POST", _) => json(r#"{"Key":"generated-images/generated/a.png","Id":"0b9e8f1a"}"#),
        ("DELETE", _) => json(r#"[{"name":"a"},{"name":"b"}]"#),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test]
async fn an_upload_is_one_request_of_known_length() {
    let server = Server::start().await;
    let client = server.client();
    let metadata = json!({"width": 1024, "caption": "Zoë"});
    client
        .upload(
            "generated/a b.png",
            Bytes::from_static(b"abc"),
            "image/png",
            &metadata,
        )
        .await
        .unwrap();
    let seen = server.last();
    assert_eq!(
        seen.line,
        "POST /storage/v1/object/generated-images/generated/a%20b.png"
    );
    assert_eq!(&seen.body[..], b"abc");
    let encoded = STANDARD.encode(metadata.to_string());
    for (name, value) in [
        ("authorization", "Bearer sb_secret_sesame"),
        ("apikey", "sb_secret_sesame"),
        ("content-length", "3"),
        ("content-type", "image/png"),
        ("cache-control", "max-age=31536000, immutable"),
        ("x-upsert", "true"),
        ("x-metadata", encoded.as_str()),
        ("user-agent", crate::tls::USER_AGENT),
    ] {
        assert_eq!(seen.headers[name], value, "{name}");
    }
    assert_eq!(server.log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_not_storages_is_no_success() {
    let server = Server::start().await;
    let outcome = server
        .client()
        .upload("captive/a.png", Bytes::new(), "image/png", &json!({}))
        .await;
    assert!(matches!(outcome, Err(StorageError::Retryable { .. })));
}

#[tokio::test]
async fn what_is_known_of_an_object() {
    let server = Server::start().await;
    let client = server.client();
    let info = client.info("generated/a.png").await.unwrap().unwrap();
    assert_eq!(
        info,
        ObjectInfo {
            size: 3,
            content_type: Some("image/png".to_owned()),
            etag: Some("\"e\"".to_owned()),
            metadata: json!({"width": 1}),
            created_at: Some("2026-01-02T03:04:05.678Z".parse().unwrap()),
        }
    );
    assert_eq!(client.info("missing.png").await.unwrap(), None);
}

#[tokio::test]
async fn listing_deleting_reading_signing() {
    let server = Server::start().await;
    let client = server.client();

    let listed = client.list("generated/", 100, 0).await.unwrap();
    assert_eq!(listed[0].path, "generated/deeper");
    assert_eq!(listed[0].size, None);
    assert_eq!(listed[1].path, "generated/a.png");
    assert_eq!(listed[1].size, Some(3));
    assert!(listed[1].created_at.is_some());

    assert_eq!(client.delete(&["a", "b", "c"]).await.unwrap(), 2);
    assert_eq!(&server.last().body[..], br#"{"prefixes":["a","b","c"]}"#);

    let stream = client.download("generated/a.png").await.unwrap();
    let bytes: Vec<Bytes> = stream.try_collect().await.unwrap();
    assert_eq!(bytes.concat(), b"abc");
    assert!(matches!(
        client.download("missing.png").await.map(drop),
        Err(StorageError::NotFound)
    ));

    let signed = client.sign_upload("in/a.png").await.unwrap();
    assert_eq!(
        signed.url.expose_secret(),
        format!(
            "{}/storage/v1/object/upload/sign/generated-images/in/a.png?token=t",
            server.url
        )
    );
}

#[test]
fn public_urls_lead_back_to_their_paths() {
    let client = StorageClient::new(StorageOptions {
        supabase_url: "https://abcd.supabase.co".to_owned(),
        secret_key: "sb_secret_sesame".into(),
        bucket: "generated-images".to_owned(),
        timeout: Duration::from_secs(5),
    });
    let url = client.public_url("generated/ä b.png");
    assert_eq!(
        url,
        "https://abcd.supabase.co/storage/v1/object/public/generated-images/generated/%C3%A4%20b.png"
    );
    assert_eq!(
        client.path_of_public_url(&url).as_deref(),
        Some("generated/ä b.png")
    );
    assert_eq!(
        client.path_of_public_url("https://elsewhere.example/a.png"),
        None
    );
    for out in [
        "../secret/a.png",
        "a/../../secret/a.png",
        "%2e%2e/a",
        "a%2f..%2f..%2fb",
        "./a",
        "a//b",
        "",
    ] {
        let url = format!("{}{out}", client.public_url(""));
        assert_eq!(client.path_of_public_url(&url), None, "{out}");
    }
    assert!(!format!("{client:?}").contains("sesame"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_worth_another_try() {
    let client = StorageClient::new(StorageOptions {
        supabase_url: "http://127.0.0.1:1".to_owned(),
        secret_key: "sb_secret_sesame".into(),
        bucket: "b".to_owned(),
        timeout: Duration::from_secs(5),
    });
    let error = client.info("a").await.unwrap_err();
    assert!(matches!(error, StorageError::Retryable { .. }));
    let told = format!("{error:?}");
    assert!(!told.contains("sesame"), "{told}");
}
