//! The worker killed at every step of a run: nothing is lost that was safe, nothing is bought twice.

use serde_json::{Value, json};

use crate::{
    faults::{Gate, Mode, SHORT},
    harness::World,
    truth::attempts,
};

fn prompt() -> Value {
    json!({"prompt": "a lighthouse", "resolution": "1K"})
}

fn may_pay_twice() -> Value {
    json!({"prompt": "a lighthouse", "resolution": "1K", "retry_unknown": true})
}

/// A stack whose worker reaches the image vendor through a gate.
async fn world_behind_gate(mode: Mode) -> (World, Gate) {
    let gate = Gate::build(mode).await;
    let url = format!("{}/v1", gate.url());
    let mut settings = SHORT.to_vec();
    settings.push(("OPENAI_BASE_URL", &url));
    let world = World::start(&settings).await;
    gate.lead_to(&world.stack.openai().unwrap().url());
    (world, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_when_it_has_claimed_the_run() {
    let mut settings = SHORT.to_vec();
    settings[2] = ("RETRY_DELAYS_MS", "1500,50");
    let world = World::start(&settings).await;
    // The first worker cannot tell of its claim either.
    world.ably(json!({"down": true})).await;
    let run = world.begin(prompt()).await;
    world
        .until("the claim", || async {
            (world.row(&run).await["status"] == "running").then_some(())
        })
        .await;
    world.kill_worker().await;
    assert_eq!(world.row(&run).await["attempts"], json!([]));
    world.ably(json!({"down": false})).await;

    let row = world.settled(&run).await;
    assert_eq!(row["status"], "succeeded", "{row:#}");
    assert_eq!(attempts(&row), [("succeeded", "yes")]);
    assert_eq!(world.billed_calls().await, 1);
    world.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_two_attempts() {
    let mut settings = SHORT.to_vec();
    settings[2] = ("RETRY_DELAYS_MS", "0,2000");
    let world = World::start(&settings).await;
    world.openai(json!({"script": [{"status": 500}]})).await;
    let run = world.begin(prompt()).await;
    world
        .until("the first failure", || async {
            (world.row(&run).await["attempts"][0]["status"] == "failed").then_some(())
        })
        .await;
    world.kill_worker().await;

    let row = world.settled(&run).await;
    assert_eq!(row["status"], "succeeded", "{row:#}");
    assert_eq!(attempts(&row), [("failed", "no"), ("succeeded", "yes")]);
    assert_eq!(row["retry_count"], 1);
    assert_eq!(world.openai_calls().await.len(), 2);
    world.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_when_the_attempt_is_recorded_and_nothing_is_sent() {
    let (world, gate) = world_behind_gate(Mode::Deaf).await;
    let run = world.begin(prompt()).await;
    gate.connected(1).await;
    world.kill_worker().await;
    gate.set(Mode::Open);

    // Nobody can know that nothing arrived: the record says so, and nothing is bought again.
    let row = world.settled(&run).await;
    assert_eq!(row["status"], "failed", "{row:#}");
    assert_eq!(row["error_code"], "answer_lost");
    assert_eq!(attempts(&row), [("failed", "unknown")]);
    assert_eq!(row["cost_usd"], Value::Null);
    assert_eq!(world.openai_calls().await.len(), 0);
    world.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_when_the_request_is_sent_the_call_is_not_repeated() {
    let world = World::start(&SHORT).await;
    world
        .openai(json!({"script": [{"delay_ms": 60_000}]}))
        .await;
    let caller = world
        .user(reqwest::Method::POST, "/ai/generate")
        .body(prompt().to_string());
    let waiting = tokio::spawn(crate::harness::send(caller));
    world.calls(1).await;
    world.kill_worker().await;

    let answer = waiting.await.unwrap();
    answer.problem_fields(502);
    assert_eq!(answer.body["error_code"], "answer_lost", "{answer:#?}");
    let row = world.settled(answer.body["run_id"].as_str().unwrap()).await;
    assert_eq!(attempts(&row), [("failed", "unknown")]);
    assert_eq!(row["error_meta"]["class"], "unknown");
    assert_eq!(world.openai_calls().await.len(), 1);
    world.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_when_the_request_is_sent_the_call_is_repeated_where_the_caller_wants_that() {
    let world = World::start(&SHORT).await;
    world
        .openai(json!({"script": [{"delay_ms": 60_000}]}))
        .await;
    let run = world.begin(may_pay_twice()).await;
    world.calls(1).await;
    world.kill_worker().await;

    let row = world.settled(&run).await;
    assert_eq!(row["status"], "succeeded", "{row:#}");
    assert_eq!(
        attempts(&row),
        [("failed", "unknown"), ("succeeded", "yes")]
    );
    assert_eq!(
        row["cost_usd"],
        Value::Null,
        "what the first cost is not known"
    );
    assert_eq!(world.billed_calls().await, 2);
    world.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_when_half_of_the_answer_is_read() {
    let (world, gate) = world_behind_gate(Mode::AnswerUpTo(200_000)).await;
    world
        .openai(json!({"script": [{"image_bytes": 400_000}]}))
        .await;
    let run = world.begin(prompt()).await;
    gate.answer_stuck().await;
    world.kill_worker().await;
    gate.set(Mode::Open);

    let row = world.settled(&run).await;
    assert_eq!(row["status"], "failed", "{row:#}");
    assert_eq!(row["error_code"], "answer_lost");
    assert_eq!(attempts(&row), [("failed", "unknown")]);
    assert_eq!(world.billed_calls().await, 1);
    world.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_upload() {
    let world = World::start(&SHORT).await;
    let upload = json!({"match": {"method": "POST", "path": "/object/"}, "delay_ms": 60_000});
    world.storage(json!({"script": [upload]})).await;
    let run = world.begin(prompt()).await;
    world
        .until("the attempt's end", || async {
            let uploads = world.stack.supabase().unwrap().script().call_count();
            let row = world.row(&run).await;
            (row["attempts"][0]["status"] == "succeeded" && uploads > 0).then_some(())
        })
        .await;
    world.kill_worker().await;

    // The bytes were in the dead worker's memory alone. They were paid for, and the record says so.
    let row = world.settled(&run).await;
    assert_eq!(row["status"], "failed", "{row:#}");
    assert_eq!(row["error_code"], "answer_lost");
    assert_eq!(attempts(&row), [("failed", "yes")]);
    assert_ne!(row["cost_usd"], Value::Null, "{row:#}");
    assert_eq!(row["cost_usd"], row["attempts"][0]["costUsd"]);
    assert_eq!(world.object(&run), None);
    assert_eq!(world.billed_calls().await, 1);
    world.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_upload_the_image_is_recorded_from_storage() {
    let world = World::start(&SHORT).await;
    world.openai(json!({"script": [{"delay_ms": 1000}]})).await;
    let run = world.begin(prompt()).await;
    world.calls(1).await;
    let held = world
        .hold(&format!(
            "select from ai_image_runs where id = '{run}' for update"
        ))
        .await;
    world
        .until("the object", || async { world.object(&run) })
        .await;
    world.waits_for_lock("end_attempt").await;
    world.kill_worker().await;
    world.end_sessions("worker").await;
    held.release().await;
    assert_eq!(
        world.row(&run).await["attempts"][0]["status"],
        "started",
        "the row knows nothing of the answer"
    );

    let row = world.settled(&run).await;
    assert_eq!(row["status"], "succeeded", "{row:#}");
    assert_eq!(attempts(&row), [("succeeded", "yes")]);
    let attempt = &row["attempts"][0];
    assert_eq!(attempt["costUsd"], row["cost_usd"]);
    assert_ne!(
        attempt["usage"],
        Value::Null,
        "usage travels with the object"
    );
    assert_ne!(attempt["requestId"], Value::Null);
    let record = &world.records(&run).await[0];
    assert_eq!(
        (&record["width"], &record["height"], &record["cost_usd"]),
        (&json!(1024), &json!(1024), &row["cost_usd"])
    );
    assert_eq!(world.openai_calls().await.len(), 1);
    world.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_final_statement() {
    let world = World::start(&SHORT).await;
    let held = world
        .hold("lock table generated_images in share mode")
        .await;
    let run = world.begin(prompt()).await;
    world.waits_for_lock("succeed").await;
    world.kill_worker().await;
    world.end_sessions("worker").await;
    held.release().await;
    assert_eq!(world.row(&run).await["status"], "running");

    let row = world.settled(&run).await;
    assert_eq!(row["status"], "succeeded", "{row:#}");
    assert_eq!(attempts(&row), [("succeeded", "yes")]);
    assert_eq!(world.openai_calls().await.len(), 1);
    world.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_during_the_final_statement_which_is_carried_out() {
    let world = World::start(&SHORT).await;
    let held = world
        .hold("lock table generated_images in share mode")
        .await;
    let run = world.begin(prompt()).await;
    world.waits_for_lock("succeed").await;
    world.kill_worker().await;
    // The database goes on with a statement whose client is gone.
    held.release().await;

    let row = world.settled(&run).await;
    assert_eq!(row["status"], "succeeded", "{row:#}");
    assert_eq!(attempts(&row), [("succeeded", "yes")]);
    assert_eq!(world.openai_calls().await.len(), 1);
    world.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_final_statement_before_the_message_is_deleted() {
    let world = World::start(&SHORT).await;
    // The worker's invocation lasts until the events are published.
    world.ably(json!({"delay_ms": 60_000})).await;
    let answer = world.generate(prompt()).await;
    assert_eq!(
        answer.status, 200,
        "the caller does not wait for the events: {answer:#?}"
    );
    let run = answer.body["run_id"].as_str().unwrap();
    world.kill_worker().await;
    world.ably(json!({"delay_ms": 0})).await;

    let row = world.settled(run).await;
    assert_eq!(row["status"], "succeeded", "{row:#}");
    assert_eq!(attempts(&row), [("succeeded", "yes")]);
    assert_eq!(world.openai_calls().await.len(), 1);
    world.queue_is_empty().await;
}
