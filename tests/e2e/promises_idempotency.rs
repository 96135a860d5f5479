//! `Idempotency-Key`: a double click makes one image.

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    faults::SHORT,
    harness::{Answer, World, send},
};

fn body(prompt: &str) -> String {
    json!({"prompt": prompt, "resolution": "1K"}).to_string()
}

fn keyed(request: RequestBuilder, key: &str, prompt: &str) -> RequestBuilder {
    request.header("idempotency-key", key).body(body(prompt))
}

async fn ask(world: &World, key: &str, prompt: &str) -> Answer {
    send(keyed(world.user(Method::POST, "/ai/generate"), key, prompt)).await
}

async fn count_runs(world: &World) -> Option<String> {
    world.value("select count(*) from ai_image_runs").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_ten_times_at_once_is_one_run() {
    let world = World::start(&[]).await;
    world.openai(json!({"default": {"delay_ms": 400}})).await;
    let answers = join_all((0..10).map(|_| ask(&world, "click", "a door"))).await;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:#?}");
        assert_eq!(answer.body, answers[0].body);
    }
    // Later, and spelled otherwise.
    let spelled = "{ \"resolution\" : \"1K\",\n \"prompt\" : \"a door\" }";
    let later = world
        .user(Method::POST, "/ai/generate")
        .header("idempotency-key", "\"click\"")
        .body(spelled);
    assert_eq!(send(later).await.body, answers[0].body);
    assert_eq!(count_runs(&world).await.as_deref(), Some("1"));
    assert_eq!(world.openai_calls().await.len(), 1);
    world.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_request_with_the_key_is_refused_and_another_caller_has_keys_of_his_own() {
    let world = World::start(&[]).await;
    let first = ask(&world, "k", "a door").await;
    assert_eq!(first.status, 200, "{first:#?}");
    let other = ask(&world, "k", "a window").await;
    other.problem_fields(422);
    assert_eq!(other.body["code"], "idempotency-key-reused");
    assert_eq!(other.body["run_id"], first.body["run_id"]);
    assert_eq!(other.body["retryable"], false);

    for request in [
        world.other_user(Method::POST, "/ai/generate"),
        world.anonymous(Method::POST, "/ai/generate"),
    ] {
        let answer = send(keyed(request, "k", "a window")).await;
        assert_eq!(answer.status, 200, "{answer:#?}");
        assert_ne!(answer.body["run_id"], first.body["run_id"]);
    }
    assert_eq!(count_runs(&world).await.as_deref(), Some("3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_failed_without_being_billed_frees_its_key_and_one_that_may_have_been_keeps_it()
{
    let world = World::start(&[("RETRY_DELAYS_MS", "0")]).await;
    let refused = json!({"status": 400, "code": "moderation_blocked"});
    world
        .openai(json!({"script": [refused, {"drop": "mid_body"}]}))
        .await;
    let refused = ask(&world, "k", "a door").await;
    refused.problem_fields(422);
    let lost = ask(&world, "k", "a door").await;
    lost.problem_fields(502);
    assert_ne!(lost.body["run_id"], refused.body["run_id"], "a new run");

    let again = ask(&world, "k", "a door").await;
    again.problem_fields(502);
    assert_eq!(again.body["run_id"], lost.body["run_id"], "the same run");
    assert_eq!(again.body["error_code"], "answer_lost");
    assert_eq!(world.openai_calls().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_flight_the_same_request_leads_to_the_same_run() {
    let world = World::start(&SHORT).await;
    let run = async |request: RequestBuilder| {
        let request = request.header("prefer", "respond-async");
        let answer = send(keyed(request, "k", "a door")).await;
        assert_eq!(answer.status, 202, "{answer:#?}");
        answer.body["run_id"].clone()
    };
    world.openai(json!({"default": {"delay_ms": 800}})).await;
    let first = run(world.user(Method::POST, "/ai/generate")).await;
    let second = run(world.user(Method::POST, "/ai/generate")).await;
    assert_eq!(first, second);
    let waited = ask(&world, "k", "a door").await;
    assert_eq!(
        (waited.status.as_u16(), &waited.body["run_id"]),
        (200, &first)
    );
    assert_eq!(world.openai_calls().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canceled_run_frees_its_key() {
    let world = World::start(&[]).await;
    world.sqs_down().await;
    let begin = || async {
        let request = world
            .user(Method::POST, "/ai/generate")
            .header("prefer", "respond-async");
        send(keyed(request, "k", "a door")).await.body["run_id"].clone()
    };
    let first = begin().await;
    let cancel = format!("/ai/runs/{}/cancel", first.as_str().unwrap());
    assert_eq!(send(world.user(Method::POST, &cancel)).await.status, 200);
    let second = begin().await;
    assert_ne!(second, Value::Null);
    assert_ne!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_none_is_refused() {
    let world = World::start(&[]).await;
    for key in ["", "\"\"", &"k".repeat(256)] {
        let answer = ask(&world, key, "a door").await;
        assert_eq!(answer.problem_fields(400), ["Idempotency-Key"], "{key:?}");
    }
    assert_eq!(count_runs(&world).await.as_deref(), Some("0"));
}
