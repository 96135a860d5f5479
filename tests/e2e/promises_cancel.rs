//! Canceling, and deadlines: nothing is begun that nobody wants, and what was paid for is kept.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    faults::SHORT,
    harness::{Answer, World, send},
    truth::attempts,
};

fn prompt() -> Value {
    json!({"prompt": "a train", "resolution": "1K"})
}

async fn cancel(world: &World, run: &str) -> Answer {
    send(world.user(Method::POST, &format!("/ai/runs/{run}/cancel"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_run_is_canceled_at_once() {
    let world = World::start(&[("USER_DAILY_IMAGES", "1")]).await;
    let run = world.begin_unsent(prompt()).await;
    let answer = cancel(&world, &run).await;
    assert_eq!(
        (
            answer.status.as_u16(),
            &answer.body["status"],
            &answer.body["error_code"]
        ),
        (200, &json!("canceled"), &json!("canceled")),
        "{answer:#?}"
    );
    let row = world.settled(&run).await;
    assert_eq!(row["quota_state"], "released");
    let log = world.log(&run).await;
    assert_eq!(log.len(), 1);
    assert_eq!(
        (&log[0]["status"], &log[0]["errorCode"]),
        (&json!("failed"), &json!("canceled")),
        "no fourth status surprises a page of before"
    );

    // Once more is no mistake; a message that comes late begins nothing.
    assert_eq!(cancel(&world, &run).await.status, 200);
    world.deliver(&run);
    world.queue_is_empty().await;
    assert_eq!(world.openai_calls().await.len(), 0);
    // Its place in the day's quota is free again.
    assert_eq!(world.generate(prompt()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_run_is_canceled_before_its_next_attempt() {
    let world = World::start(&[("RETRY_DELAYS_MS", "0,1000,1000")]).await;
    world.openai(json!({"default": {"status": 500}})).await;
    let caller = world
        .user(Method::POST, "/ai/generate")
        .body(prompt().to_string());
    let waiting = tokio::spawn(send(caller));
    world.calls(1).await;
    let run = world.value("select id from ai_image_runs").await.unwrap();
    let answer = cancel(&world, &run).await;
    assert_eq!(answer.status, 202, "{answer:#?}");
    assert_ne!(answer.body["cancel_requested_at"], Value::Null);

    let told = waiting.await.unwrap();
    told.problem_fields(409);
    assert_eq!(told.body["code"], "canceled");
    let row = world.settled(&run).await;
    assert_eq!(row["status"], "canceled", "{row:#}");
    assert_eq!(attempts(&row), [("failed", "no")]);
    assert_eq!(world.openai_calls().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_the_call_in_flight_is_kept() {
    let world = World::start(&[]).await;
    world.openai(json!({"default": {"delay_ms": 800}})).await;
    let run = world.begin(prompt()).await;
    world.calls(1).await;
    assert_eq!(cancel(&world, &run).await.status, 202);
    let row = world.settled(&run).await;
    assert_eq!(row["status"], "succeeded", "{row:#}");
    assert_eq!(attempts(&row), [("succeeded", "yes")]);

    let late = cancel(&world, &run).await;
    late.problem_fields(409);
    assert_eq!(late.body["code"], "run-over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_worker_died_is_canceled_by_the_sweep() {
    let mut settings = SHORT.to_vec();
    settings[1] = ("VISIBILITY_TIMEOUT_S", "600");
    settings[2] = ("RETRY_DELAYS_MS", "0,60000");
    let world = World::start(&settings).await;
    world.openai(json!({"script": [{"status": 500}]})).await;
    let run = world.begin(prompt()).await;
    world
        .until("the first failure", || async {
            (world.row(&run).await["attempts"][0]["status"] == "failed").then_some(())
        })
        .await;
    world.kill_worker().await;
    assert_eq!(cancel(&world, &run).await.status, 202);
    let row = world.settled(&run).await;
    assert_eq!(row["status"], "canceled", "{row:#}");
    assert_eq!(world.openai_calls().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_ones_own_runs_can_be_canceled() {
    let world = World::start(&[]).await;
    let run = world.begin_unsent(prompt()).await;
    let path = format!("/ai/runs/{run}/cancel");
    for request in [
        world.other_user(Method::POST, &path),
        world.anonymous(Method::POST, &path),
    ] {
        send(request).await.problem_fields(404);
    }
    let unknown = "6f1c3d0e-6c57-4f3c-9a53-0d1f6f6b8f11";
    cancel(&world, unknown).await.problem_fields(404);
    let bad = cancel(&world, "seven").await;
    assert_eq!(bad.problem_fields(400), ["run_id"]);
    assert_eq!(world.row(&run).await["status"], "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_attempt_begins_after_the_deadline() {
    let world = World::start(&[("RETRY_DELAYS_MS", "0,2000")]).await;
    world.openai(json!({"default": {"status": 500}})).await;
    let answer = send(
        world
            .user(Method::POST, "/ai/generate")
            .header("cancel-after", "1s")
            .body(prompt().to_string()),
    )
    .await;
    answer.problem_fields(504);
    assert_eq!(answer.body["error_code"], "deadline_exceeded");
    let row = world.settled(answer.body["run_id"].as_str().unwrap()).await;
    assert_eq!(attempts(&row), [("failed", "no")]);
    assert_eq!(world.openai_calls().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_nobody_took_up_ends_at_its_deadline() {
    let world = World::start(&[("USER_DAILY_IMAGES", "5")]).await;
    world.sqs_down().await;
    let answer = send(
        world
            .user(Method::POST, "/ai/generate")
            .header("cancel-after", "1s")
            .header("prefer", "respond-async")
            .body(prompt().to_string()),
    )
    .await;
    let run = answer.body["run_id"].as_str().unwrap();
    let row = world.settled(run).await;
    assert_eq!(
        (&row["status"], &row["error_code"], &row["quota_state"]),
        (
            &json!("failed"),
            &json!("deadline_exceeded"),
            &json!("released")
        ),
        "{row:#}"
    );
    assert_eq!(world.openai_calls().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_is_none_is_refused() {
    let world = World::start(&[]).await;
    for deadline in ["soon", "0s", "-5s", "25h", "1.5s", ""] {
        let answer = send(
            world
                .user(Method::POST, "/ai/generate")
                .header("cancel-after", deadline)
                .body(prompt().to_string()),
        )
        .await;
        assert_eq!(answer.problem_fields(400), ["Cancel-After"], "{deadline:?}");
    }
}
