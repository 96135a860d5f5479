//! Scripted faults of Storage.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::BUCKET;
use super::{Started, answer, control, expected, failure, start};

fn upload(started: &Started, key: &str) -> reqwest::RequestBuilder {
    started
        .call(Method::POST, &format!("/object/{BUCKET}/{key}"))
        .body("picture")
}

async fn exists(started: &Started, key: &str) -> bool {
    started.supabase.object_file(BUCKET, key).exists()
}

#[tokio::test]
async fn scripted_failures_look_like_real_ones_and_store_nothing() {
    let started = start().await;
    let table = [
        (
            json!({"status": 500}),
            expected(500, "500", "InternalError"),
        ),
        (json!({"status": 503}), expected(503, "503", "S3Error")),
        (json!({"status": 429}), expected(429, "429", "SlowDown")),
        (
            json!({"status": 429, "code": "SlowDown"}),
            expected(429, "429", "SlowDown"),
        ),
        (
            json!({"code": "SlowDown"}),
            expected(429, "429", "SlowDown"),
        ),
        (
            json!({"status": 400, "code": "NoSuchBucket"}),
            expected(400, "404", "NoSuchBucket"),
        ),
        (
            json!({"code": "AccessDenied"}),
            expected(400, "403", "AccessDenied"),
        ),
        (
            json!({"status": 544}),
            expected(544, "544", "DatabaseTimeout"),
        ),
        (
            json!({"status": 507, "code": "DiskFull"}),
            expected(507, "507", "DiskFull"),
        ),
        (
            json!({"status": 418}),
            expected(418, "418", "InvalidRequest"),
        ),
    ];
    for (entry, wanted) in table {
        control(&started, json!({"script": [entry]})).await;
        assert_eq!(failure(upload(&started, "a.png")).await, wanted, "{entry}");
        assert!(!exists(&started, "a.png").await);
    }
    control(&started, json!({"script": [{"body": "html"}]})).await;
    let (status, body) = answer(upload(&started, "a.png")).await;
    assert_eq!(status, 502);
    assert!(body.as_str().unwrap().starts_with("<html>"));
    assert_eq!(answer(upload(&started, "a.png")).await.0, 200);
}

#[tokio::test]
async fn a_lost_answer_is_not_a_lost_object() {
    let started = start().await;
    for (index, drop) in ["before_headers", "after_headers", "mid_body"]
        .into_iter()
        .enumerate()
    {
        control(&started, json!({"script": [{"drop": drop}]})).await;
        let key = format!("{index}.png");
        let lost = match upload(&started, &key).send().await {
            Ok(response) => response.bytes().await.is_err(),
            Err(_) => true,
        };
        assert!(lost && exists(&started, &key).await, "{drop}");
    }
    control(
        &started,
        json!({"script": [{"status": 500, "drop": "before_headers"}]}),
    )
    .await;
    assert!(upload(&started, "none.png").send().await.is_err());
    assert!(!exists(&started, "none.png").await);

    control(&started, json!({"script": [{"body": "truncated"}]})).await;
    let (status, body) = answer(upload(&started, "cut.png")).await;
    assert!(status == 200 && body.is_string(), "{body}");
}

#[tokio::test]
async fn public_urls_are_spared_unless_they_are_named() {
    let started = start().await;
    assert_eq!(started.upload("a.png", "picture").await.0, 200);
    let public = format!("/object/public/{BUCKET}/a.png");
    control(
        &started,
        json!({"script": [{"status": 500}], "default": {"status": 503}}),
    )
    .await;
    assert_eq!(
        answer(started.open(Method::GET, &public)).await,
        (200, json!("picture"))
    );
    assert_eq!(failure(upload(&started, "b.png")).await.0, 500);
    assert_eq!(failure(upload(&started, "b.png")).await.0, 503);

    let named =
        json!({"script": [{"match": {"path": "/object/public/"}, "status": 500}], "default": {}});
    control(&started, named).await;
    assert_eq!(answer(upload(&started, "b.png")).await.0, 200);
    assert_eq!(failure(started.open(Method::GET, &public)).await.0, 500);
    control(
        &started,
        json!({"script": [{"match": {"path": "public"}, "drop": "mid_body"}]}),
    )
    .await;
    let response = started.open(Method::GET, &public).send().await.unwrap();
    assert!(response.bytes().await.is_err());
}

#[tokio::test]
async fn calls_are_logged_without_keys() {
    let started = start().await;
    control(&started, json!({"script": [{"status": 500}]})).await;
    assert_eq!(failure(upload(&started, "a.png")).await.0, 500);
    let again = upload(&started, "a.png").header("content-type", "image/png");
    assert_eq!(answer(again).await.0, 200);
    let list = started.call(Method::POST, &format!("/object/list/{BUCKET}"));
    assert_eq!(answer(list.json(&json!({"prefix": "x"}))).await.0, 200);

    let at_the_root = started
        .client
        .get(format!("{}/_calls", started.supabase.url()));
    let (_, calls) = answer(at_the_root).await;
    assert_eq!(answer(started.open(Method::GET, "/_calls")).await.1, calls);
    let column = |name: &str| {
        calls
            .as_array()
            .unwrap()
            .iter()
            .map(|call| call[name].clone())
            .collect::<Vec<Value>>()
    };
    assert_eq!(column("status"), [json!(500), json!(200), json!(200)]);
    assert_eq!(
        column("path")[0],
        json!(format!("/storage/v1/object/{BUCKET}/a.png"))
    );
    assert_eq!(
        (
            &calls[1]["fields"]["bytes"],
            &calls[1]["fields"]["content_type"],
            &calls[2]["fields"]
        ),
        (&json!(7), &json!("image/png"), &json!({"prefix": "x"}))
    );
    assert!(!calls.to_string().contains(started.supabase.secret_key()));
}
