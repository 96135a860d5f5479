//! The queue delivers twice, or nonsense, or nothing.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    faults::SHORT,
    harness::{World, send},
    truth::attempts,
};

fn prompt() -> Value {
    json!({"prompt": "a mailbox", "resolution": "1K"})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_message_five_times_at_once_makes_one_call() {
    let world = World::start(&SHORT).await;
    let run = world.begin_unsent(prompt()).await;
    world.openai(json!({"default": {"delay_ms": 500}})).await;
    for _ in 0..5 {
        world.deliver(&run);
    }
    world.calls(1).await;
    // To other instances, too.
    for _ in 0..5 {
        world.deliver(&run);
    }
    let row = world.settled(&run).await;
    assert_eq!(attempts(&row), [("succeeded", "yes")]);
    world.queue_is_empty().await;
    assert_eq!(world.openai_calls().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_messages_two_malformed_ones_keep_nobody_up() {
    let mut settings = SHORT.to_vec();
    settings[1] = ("VISIBILITY_TIMEOUT_S", "1");
    let world = World::start(&settings).await;
    let mut runs = Vec::new();
    for _ in 0..8 {
        runs.push(world.begin_unsent(prompt()).await);
    }
    let send_raw = |body: &str| {
        let sqs = world.stack.sqs();
        sqs.send(&world.queue(), body, Default::default()).unwrap();
    };
    for (index, run) in runs.iter().enumerate() {
        match index {
            2 => send_raw("{\"v\": 1, \"type\": \"generate\""),
            5 => send_raw("{\"v\": 99, \"type\": \"generate\", \"run_id\": \"0\"}"),
            _ => {}
        }
        world.deliver(run);
    }
    for run in &runs {
        let row = world.settled(run).await;
        assert_eq!(attempts(&row), [("succeeded", "yes")]);
    }
    assert_eq!(world.openai_calls().await.len(), 8);
    // The two are tried as often as the queue allows; the sweep takes them out of the dead letters, and says so.
    world.queue_is_empty().await;
    world
        .until("the end of both letters", || async {
            let depth = world.stack.sqs().depth(&world.dead_letters());
            world.sweep().await;
            (depth.visible + depth.in_flight == 0).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_a_run_that_does_not_exist_is_done_with() {
    let world = World::start(&[]).await;
    world.deliver("6f1c3d0e-6c57-4f3c-9a53-0d1f6f6b8f11");
    world.queue_is_empty().await;
    let letters = world.stack.sqs().depth(&world.dead_letters());
    assert_eq!(letters.visible + letters.in_flight, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn down_when_generate_sends_the_sweep_sends_later() {
    let world = World::start(&[]).await;
    world.sqs_down().await;
    let run = world.begin(prompt()).await;
    let row = world.row(&run).await;
    assert_eq!(
        (&row["status"], &row["queued_at"]),
        (&json!("pending"), &Value::Null)
    );
    let caller = world
        .user(Method::POST, "/ai/generate")
        .body(prompt().to_string());
    let waiting = tokio::spawn(send(caller));
    world
        .until("the second run", || async {
            let sql = "select from ai_image_runs where queued_at is null";
            (world.rows(sql).await.len() == 2).then_some(())
        })
        .await;

    // Still down: nothing is lost by a sweep that fails.
    let report = world.sweep().await;
    assert_eq!(
        (&report["runs_resent"], &report["errors"]),
        (&json!(0), &json!(["runs"])),
        "{report:#}"
    );
    world.sqs(json!({"default": {}})).await;
    let report = world.sweep().await;
    assert_eq!(report["runs_resent"], 2, "{report:#}");
    let answer = waiting.await.unwrap();
    assert_eq!(answer.status, 200, "{answer:#?}");
    world.settled(&run).await;
    world.queue_is_empty().await;
    assert_eq!(world.openai_calls().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_sent_though_the_answer_was_lost_makes_one_call() {
    let world = World::start(&SHORT).await;
    let lost = json!({"match": {"path": "/SendMessage"}, "drop": "before_headers"});
    world.sqs(json!({"script": [lost, lost]})).await;
    let answer = world.generate(prompt()).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    world.settled(answer.body["run_id"].as_str().unwrap()).await;
    world.queue_is_empty().await;
    assert_eq!(world.openai_calls().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_lost_is_sent_anew() {
    let world = World::start(&SHORT).await;
    let run = world.begin_unsent(prompt()).await;
    // As if it had been sent, long ago.
    world
        .rows("update ai_image_runs set queued_at = now() - interval '1 hour'")
        .await;
    let row = world.settled(&run).await;
    assert_eq!(attempts(&row), [("succeeded", "yes")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_ends_its_run_with_the_reason() {
    let world = World::start(&[("USER_DAILY_IMAGES", "5")]).await;
    let letter = |run: &str| {
        let body = json!({"v": 1, "type": "generate", "run_id": run}).to_string();
        let sqs = world.stack.sqs();
        sqs.send(&world.dead_letters(), body, Default::default())
            .unwrap();
    };
    let run = world.begin_unsent(prompt()).await;
    // This one has ended, and that one is gone.
    let over = world.generate(prompt()).await.body["run_id"].clone();
    letter(&run);
    letter(over.as_str().unwrap());
    letter("6f1c3d0e-6c57-4f3c-9a53-0d1f6f6b8f11");

    let tasks = json!(["dead_letters"]);
    let dry = json!({"dry_run": true, "tasks": tasks});
    let report = world.invoke("sweep", dry).await;
    assert_eq!(report["dead_letters"], 3, "{report:#}");
    assert_eq!(world.row(&run).await["status"], "pending");

    let report = world.invoke("sweep", json!({"tasks": tasks})).await;
    assert_eq!(
        (
            &report["dead_letters"],
            &report["dead_letter_runs_ended"],
            &report["errors"]
        ),
        (&json!(3), &json!(1), &json!([])),
        "{report:#}"
    );
    let row = world.settled(&run).await;
    assert_eq!(
        (&row["status"], &row["error_code"], &row["quota_state"]),
        (&json!("failed"), &json!("dead_letter"), &json!("released")),
        "{row:#}"
    );
    assert_eq!(
        world.row(over.as_str().unwrap()).await["status"],
        "succeeded"
    );
}
