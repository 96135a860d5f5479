//! The script over real loopback HTTP.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Call, Script, deliver, routes, serve};

/// A server that answers every call with ten thousand letters.
async fn start() -> (Script, std::net::SocketAddr) {
    let script = Script::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router =
        routes(script.clone()).merge(Router::new().fallback(answer).with_state(script.clone()));
    tokio::spawn(serve(listener, router));
    (script, address)
}

async fn answer(
    State(script): State<Script>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    _body: Bytes,
) -> Response {
    let entry = script.next(&method, uri.path());
    let id = script.record(Call::new(&method, &uri, &headers));
    entry.wait().await;
    let status = StatusCode::from_u16(entry.status.unwrap_or(200)).unwrap();
    script.update(id, |call| call.status = Some(status.as_u16()));
    let headers = super::delivery::headers([(header::CONTENT_TYPE, "text/plain")]);
    deliver(&entry, status, headers, "x".repeat(10_000).into())
}

/// Sends a request and reads until the server closes the connection.
async fn exchange(address: std::net::SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret\r\nx-two: a\r\nx-two: b\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn control(address: std::net::SocketAddr, body: &Value) -> (u16, Value) {
    let answer = exchange(address, "POST", "/_control", &body.to_string()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head[9..12].parse().unwrap(),
        serde_json::from_str(body).unwrap(),
    )
}

#[tokio::test]
async fn entries_are_taken_one_a_call_and_then_the_default() {
    let (script, address) = start().await;
    let wanted = json!({
        "script": [{}, {"status": 503, "headers": {"retry-after": "1"}}, {"match": {"method": "PUT"}, "status": 418}],
        "default": {"status": 204},
    });
    assert_eq!(control(address, &wanted).await, (200, wanted.clone()));

    let mut answered = Vec::new();
    for method in ["GET", "PUT", "GET", "GET", "PUT"] {
        answered.push(exchange(address, method, "/some?query=1", "").await[9..12].to_owned());
    }
    assert_eq!(answered, ["200", "503", "204", "204", "418"]);

    let calls = script.calls();
    assert_eq!(calls.len(), 5);
    assert_eq!(
        (calls[1].method.as_str(), calls[1].path.as_str()),
        ("PUT", "/some?query=1")
    );
    assert_eq!(
        calls[1].headers.get("x-two").map(String::as_str),
        Some("a, b")
    );
    assert!(!calls[1].headers.contains_key("authorization"));
    assert_eq!(calls[1].time.len(), "2026-11-20T13:00:00.000Z".len());

    exchange(address, "DELETE", "/_calls", "").await;
    assert!(
        exchange(address, "GET", "/_calls", "")
            .await
            .ends_with("[]")
    );
}

#[tokio::test]
async fn mistakes_in_a_script_are_named() {
    let (_, address) = start().await;
    let table = [
        (json!([]), ""),
        (json!({"scripts": []}), "scripts"),
        (json!({"script": {}}), "script"),
        (json!({"script": [{}, 1]}), "script[1]"),
        (json!({"script": [{"delay": 1}]}), "script[0].delay"),
        (json!({"script": [{"delay_ms": "1"}]}), "script[0].delay_ms"),
        (json!({"script": [{"delay_ms": -1}]}), "script[0].delay_ms"),
        (json!({"script": [{"status": 42}]}), "script[0].status"),
        (json!({"script": [{"code": 5}]}), "script[0].code"),
        (json!({"script": [{"message": null}]}), "script[0].message"),
        (
            json!({"script": [{"headers": {"a": []}}]}),
            "script[0].headers.a",
        ),
        (
            json!({"script": [{"headers": {"a b": "c"}}]}),
            "script[0].headers.a b",
        ),
        (json!({"script": [{"body": "gone"}]}), "script[0].body"),
        (json!({"script": [{"drop": true}]}), "script[0].drop"),
        (
            json!({"script": [{"slow_bytes_per_s": 0}]}),
            "script[0].slow_bytes_per_s",
        ),
        (
            json!({"script": [{"match": {"host": "x"}}]}),
            "script[0].match.host",
        ),
        (
            json!({"default": {"image_bytes": 1.5}}),
            "default.image_bytes",
        ),
    ];
    for (body, field) in table {
        let (status, answer) = control(address, &body).await;
        assert_eq!(
            (status, &answer["error"]["param"]),
            (400, &json!(field)),
            "{body}: {answer}"
        );
    }
}

#[tokio::test]
async fn connections_are_closed_where_the_script_says() {
    let (_, address) = start().await;
    control(
        address,
        &json!({"script": [
            {"drop": "before_headers"}, {"drop": "after_headers"}, {"drop": "mid_body"}, {},
        ]}),
    )
    .await;

    assert_eq!(exchange(address, "POST", "/x", "some").await, "");
    let answer = exchange(address, "POST", "/x", "some").await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
    let answer = exchange(address, "POST", "/x", "some").await;
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), 5_000);
    let answer = exchange(address, "POST", "/x", "some").await;
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), 10_000);
}

#[tokio::test]
async fn a_body_can_be_slow_and_an_answer_late() {
    let (_, address) = start().await;
    control(
        address,
        &json!({"script": [{"slow_bytes_per_s": 50_000}, {"delay_ms": 150}]}),
    )
    .await;

    let start = Instant::now();
    let answer = exchange(address, "GET", "/x", "").await;
    assert!(
        start.elapsed() >= Duration::from_millis(190),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), 10_000);

    let start = Instant::now();
    exchange(address, "GET", "/x", "").await;
    assert!(start.elapsed() >= Duration::from_millis(150));
}
