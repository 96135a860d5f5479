//! Against a server that notes what it is sent and answers from a list.

use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::*;

#[derive(Default)]
struct Script {
    answers: Mutex<Vec<(u16, &'static str)>>,
    seen: Mutex<Vec<(String, HeaderMap, Value)>>,
}

struct Server {
    url: String,
    script: Arc<Script>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers these in order, then 201.
    async fn start(answers: &[(u16, &'static str)]) -> Self {
        let script = Arc::new(Script::default());
        *script.answers.lock().unwrap() = answers.iter().rev().copied().collect();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = axum::Router::new()
            .fallback(answer)
            .with_state(script.clone());
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, script, task }
    }

    fn client(&self) -> AblyClient {
        client(Some(self.url.clone()))
    }

    fn ids(&self) -> Vec<String> {
        let seen = self.script.seen.lock().unwrap();
        seen.iter()
            .map(|(_, _, body)| body["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

async fn answer(State(script): State<Arc<Script>>, request: Request) -> (StatusCode, &'static str) {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let line = format!("{} {}", parts.method, parts.uri);
    let body = serde_json::from_slice(&body).unwrap();
    script
        .seen
        .lock()
        .unwrap()
        .push((line, parts.headers, body));
    let (status, body) = script
        .answers
        .lock()
        .unwrap()
        .pop()
        .unwrap_or((201, r#"{"channel":"c","messageId":"m"}"#));
    (StatusCode::from_u16(status).unwrap(), body)
}

fn client(base_url: Option<String>) -> AblyClient {
    AblyClient::new(AblyOptions {
        base_url,
        key: "app.key:sesame".parse().unwrap(),
        timeout: Duration::from_secs(5),
    })
}

fn message(id: &str) -> Message {
    Message {
        id: id.to_owned(),
        name: "ai.image.run.started".to_owned(),
        data: r#"{"type":"ai.image.run.started"}"#.to_owned(),
    }
}

#[tokio::test]
async fn each_message_is_a_request_of_its_own_in_order() {
    let server = Server::start(&[]).await;
    let messages = ["r-1", "r-2", "r-3"].map(message);
    server
        .client()
        .publish("ai:image:7f1c", &messages)
        .await
        .unwrap();
    assert_eq!(server.ids(), ["r-1", "r-2", "r-3"]);
    let seen = server.script.seen.lock().unwrap();
    let (line, headers, body) = &seen[0];
    assert_eq!(line, "POST /channels/ai%3Aimage%3A7f1c/messages");
    assert_eq!(headers["authorization"], "Basic YXBwLmtleTpzZXNhbWU=");
    assert_eq!(headers["x-ably-version"], "6");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(
        *body,
        json!({
            "id": "r-1", "name": "ai.image.run.started", "encoding": "json",
            "data": "{\"type\":\"ai.image.run.started\"}",
        })
    );
}

#[tokio::test]
async fn a_failure_stops_and_says_how_far_it_came() {
    let error_body = r#"{"error":{"code":40160,"statusCode":401,"message":"no","href":""}}"#;
    let table = [
        (201, 401, error_body, "misconfigured"),
        (201, 400, r#"{"error":{"code":40009}}"#, "too large"),
        (201, 400, "not json", "rejected"),
        (201, 429, "", "rate limited"),
        (201, 500, "", "unavailable"),
        (201, 503, "<html>", "unavailable"),
    ];
    for (first, second, body, expected) in table {
        let server = Server::start(&[(first, "{}"), (second, body)]).await;
        let messages = ["r-1", "r-2", "r-3"].map(message);
        let error = server.client().publish("c", &messages).await.unwrap_err();
        assert_eq!(error.published, 1);
        let name = match error.source {
            AblyError::Unavailable(_) => "unavailable",
            AblyError::RateLimited { .. } => "rate limited",
            AblyError::Misconfigured(refusal) => {
                assert_eq!(refusal.code, 40160);
                "misconfigured"
            }
            AblyError::TooLarge => "too large",
            AblyError::Rejected(_) => "rejected",
        };
        assert_eq!(name, expected, "{second} {body}");
        assert_eq!(server.ids(), ["r-1", "r-2"]);
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_not_sent() {
    let server = Server::start(&[]).await;
    let mut large = message("r-1");
    large.data = "x".repeat(LARGEST_MESSAGE);
    let error = server.client().publish("c", &[large]).await.unwrap_err();
    assert!(matches!(error.source, AblyError::TooLarge));
    assert!(server.ids().is_empty());
}

#[tokio::test]
async fn other_hosts_are_asked_only_where_they_may_do_better() {
    let dead = "http://127.0.0.1:1".to_owned();
    for (status, expected) in [(503, 3), (400, 2), (505, 2)] {
        let broken = Server::start(&[(status, "{}")]).await;
        let good = Server::start(&[]).await;
        let mut client = client(None);
        client.base_urls = vec![dead.clone(), broken.url.clone(), good.url.clone()];
        // The hosts after the first rotate with the id: find one that starts with the broken one.
        let id = (0..)
            .map(|n| format!("r-{n}"))
            .find(|id| client.hosts(id)[1] == broken.url)
            .unwrap();
        let outcome = client.publish("c", &[message(&id)]).await;
        assert_eq!(outcome.is_ok(), expected == 3, "{status}");
        assert_eq!(broken.ids().len(), 1);
        assert_eq!(good.ids().len(), expected - 2);
    }
}

#[test]
fn only_ablys_own_host_has_others_beside_it() {
    for (base_url, expected) in [
        (None, 4),
        (Some(DEFAULT_BASE_URL.to_owned()), 4),
        (Some(format!("{DEFAULT_BASE_URL}/")), 4),
        (Some("http://127.0.0.1:9999".to_owned()), 1),
    ] {
        let client = client(base_url);
        let hosts = client.hosts("r-1");
        assert_eq!(hosts.len(), expected);
        let distinct: std::collections::BTreeSet<_> = hosts.iter().collect();
        assert_eq!(distinct.len(), expected);
        assert!(!format!("{client:?}").contains("sesame"));
    }
}
