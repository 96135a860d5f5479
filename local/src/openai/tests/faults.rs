//! Every kind of entry that a script can have.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{control, generate, order, stand_in, try_generate, with};

#[tokio::test]
async fn errors_have_the_status_type_and_code_of_the_real_ones() {
    let (running, address) = stand_in().await;
    let table = [
        (
            json!({"status": 429, "code": "rate_limit_exceeded", "headers": {"retry-after": "1"}}),
            429,
            json!("rate_limit_exceeded"),
            "requests",
        ),
        (
            json!({"status": 429}),
            429,
            json!("rate_limit_exceeded"),
            "requests",
        ),
        (
            json!({"status": 429, "code": "slow_down"}),
            429,
            json!("slow_down"),
            "rate_limit_error",
        ),
        (
            json!({"status": 429, "code": "insufficient_quota"}),
            429,
            json!("insufficient_quota"),
            "insufficient_quota",
        ),
        (
            json!({"code": "project_spend_limit_exceeded"}),
            429,
            json!("project_spend_limit_exceeded"),
            "insufficient_quota",
        ),
        (
            json!({"status": 400, "code": "moderation_blocked"}),
            400,
            json!("moderation_blocked"),
            "image_generation_user_error",
        ),
        (
            json!({"code": "billing_hard_limit_reached"}),
            400,
            json!("billing_hard_limit_reached"),
            "invalid_request_error",
        ),
        (
            json!({"status": 401}),
            401,
            json!("invalid_api_key"),
            "invalid_request_error",
        ),
        (
            json!({"status": 403}),
            403,
            Value::Null,
            "invalid_request_error",
        ),
        (
            json!({"status": 500}),
            500,
            json!("server_error"),
            "server_error",
        ),
        (
            json!({"status": 502}),
            502,
            json!("server_error"),
            "server_error",
        ),
        (
            json!({"status": 503}),
            503,
            json!("server_is_overloaded"),
            "service_unavailable_error",
        ),
        (
            json!({"status": 504, "code": "server_is_overloaded"}),
            504,
            json!("server_is_overloaded"),
            "service_unavailable_error",
        ),
        (
            json!({"status": 418, "code": "teapot", "message": "Short and stout."}),
            418,
            json!("teapot"),
            "invalid_request_error",
        ),
    ];
    for (entry, status, code, kind) in table {
        control(address, &json!({"script": [entry]})).await;
        let answer = generate(address, &order()).await;
        let error = answer.json()["error"].clone();
        assert_eq!(
            (answer.status, &error["code"], &error["type"]),
            (status, &code, &json!(kind)),
            "{entry}"
        );
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty())
        );
        assert_eq!(
            error["moderation_details"].is_object(),
            code == "moderation_blocked"
        );
        if entry["headers"].is_object() {
            assert_eq!(answer.headers["retry-after"], "1");
        }
    }
    assert!(running.script().calls().iter().all(|call| !call.billed));
    assert_eq!(running.script().calls()[1].scripted.status, Some(429));
    assert_eq!(generate(address, &order()).await.status, 200);
}

#[tokio::test]
async fn bodies_can_be_wrong_and_are_billed_all_the_same() {
    let (running, address) = stand_in().await;
    control(address, &json!({"script": [
        {"body": "truncated"}, {"body": "empty_data"}, {"body": "not_an_image"}, {"body": "html"}, {"status": 502, "body": "html"},
    ]}))
    .await;

    let answer = generate(address, &order()).await;
    assert_eq!(
        (answer.status, answer.headers["content-length"].clone()),
        (200, answer.body.len().to_string())
    );
    assert!(
        answer.body.starts_with(b"{\"created\":")
            && serde_json::from_slice::<Value>(&answer.body).is_err()
    );

    let answer = generate(address, &order()).await;
    assert_eq!(answer.json()["data"], json!([]));
    assert!(
        answer.json()["usage"]["output_tokens"]
            .as_u64()
            .is_some_and(|tokens| tokens > 0)
    );

    let answer = generate(address, &order()).await;
    assert!(image::load_from_memory(&answer.file(0)).is_err());

    for status in [200, 502] {
        let answer = generate(address, &order()).await;
        assert_eq!(
            (answer.status, answer.headers["content-type"].as_str()),
            (status, "text/html")
        );
        assert!(answer.body.starts_with(b"<!DOCTYPE html>"));
    }
    let billed = running
        .script()
        .calls()
        .iter()
        .map(|call| call.billed)
        .collect::<Vec<_>>();
    assert_eq!(billed, [true, true, true, true, false]);
}

#[tokio::test]
async fn connections_can_be_dropped_and_are_billed_all_the_same() {
    let (running, address) = stand_in().await;
    control(address, &json!({"script": [
        {"drop": "before_headers"}, {"drop": "after_headers"}, {"drop": "mid_body"}, {"status": 500, "drop": "before_headers"},
    ]}))
    .await;
    assert!(try_generate(address, &order()).await.is_none());
    let answer = generate(address, &order()).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let answer = generate(address, &order()).await;
    let whole = answer.headers["content-length"].parse::<usize>().unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, whole / 2));
    assert!(try_generate(address, &order()).await.is_none());

    let billed = running
        .script()
        .calls()
        .iter()
        .map(|call| call.billed)
        .collect::<Vec<_>>();
    assert_eq!(billed, [true, true, true, false]);
}

#[tokio::test]
async fn a_caller_that_goes_away_is_billed() {
    let (running, address) = stand_in().await;
    control(address, &json!({"default": {"delay_ms": 60_000}})).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = order().to_string();
    let head = "POST /v1/images/generations HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-type: application/json\r\n";
    stream
        .write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes())
        .await
        .unwrap();
    let billed = async {
        while !running.script().calls().iter().any(|call| call.billed) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), billed)
        .await
        .unwrap();
    drop(stream);
    assert!(running.script().calls()[0].billed);

    // A request that never came whole is not.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(format!("{head}content-length: 5000\r\n\r\n{body}").as_bytes())
        .await
        .unwrap();
    let came = async {
        while running.script().call_count() < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), came)
        .await
        .unwrap();
    drop(stream);
    assert!(!running.script().calls()[1].billed);
}

#[tokio::test]
async fn answers_can_be_late_slow_and_large() {
    let (_running, address) = stand_in().await;
    control(address, &json!({"script": [
        {"delay_ms": 200}, {"body": "not_an_image", "slow_bytes_per_s": 2_000}, {"image_bytes": 3_000_000},
    ]}))
    .await;
    let start = Instant::now();
    assert_eq!(generate(address, &order()).await.status, 200);
    assert!(start.elapsed() >= Duration::from_millis(200));

    let start = Instant::now();
    let answer = generate(address, &order()).await;
    assert!(
        start.elapsed() >= Duration::from_millis(answer.body.len() as u64 / 2 - 60),
        "{:?}",
        start.elapsed()
    );

    let answer = generate(address, &order()).await;
    assert!(answer.file(0).len().abs_diff(3_000_000) < 10);
    assert_eq!(answer.picture(0).1.width(), 1024);
}

#[tokio::test]
async fn a_scripted_success_does_not_hide_a_wrong_request() {
    let (running, address) = stand_in().await;
    control(address, &json!({"script": [{"status": 200}]})).await;
    assert_eq!(generate(address, &with("n", json!(99))).await.status, 400);
    assert!(!running.script().calls()[0].billed);
}
