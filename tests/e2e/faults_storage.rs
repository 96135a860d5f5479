//! Storage out of order: the upload is repeated, never the call.

use serde_json::{Value, json};

use crate::{
    faults::SHORT,
    harness::{Answer, World},
    truth::attempts,
};

async fn generate(world: &World) -> Answer {
    world
        .generate(json!({"prompt": "a harbour", "resolution": "1K"}))
        .await
}

/// How many uploads were tried.
fn uploads(world: &World) -> usize {
    let calls = world.stack.supabase().unwrap().script().calls();
    calls
        .iter()
        .filter(|call| call.method == "POST" && call.path.contains("/object/"))
        .count()
}

fn upload(mut fault: Value) -> Value {
    fault["match"] = json!({"method": "POST", "path": "/object/"});
    fault
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_upload_repeats_the_upload_not_the_call() {
    let world = World::start(&[]).await;
    let script = [
        upload(json!({"status": 500})),
        upload(json!({"status": 429})),
        // Stored, and nobody hears of it.
        upload(json!({"drop": "before_headers"})),
    ];
    world.storage(json!({"script": script})).await;
    let answer = generate(&world).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    let row = world.settled(answer.body["run_id"].as_str().unwrap()).await;
    assert_eq!(attempts(&row), [("succeeded", "yes")]);
    assert_eq!(uploads(&world), 4);
    assert_eq!(world.openai_calls().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_is_created() {
    let world = World::start(&[("STORAGE_BUCKET", "not-there-yet")]).await;
    let answer = generate(&world).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    let row = world.settled(answer.body["run_id"].as_str().unwrap()).await;
    assert_eq!(attempts(&row), [("succeeded", "yes")]);
    let url = answer.body["image_url"].as_str().unwrap();
    assert!(url.contains("/not-there-yet/"), "{url}");
    assert!(!world.fetch(url).await.is_empty(), "anybody may see it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_stored_was_paid_for_and_is_not_made_again() {
    let world = World::start(&[("UPLOAD_PATIENCE_S", "1"), ("USER_DAILY_IMAGES", "5")]).await;
    world
        .storage(json!({"default": upload(json!({"status": 503}))}))
        .await;
    let answer = generate(&world).await;
    answer.problem_fields(502);
    assert_eq!(answer.body["error_code"], "storage_failed");
    let row = world.settled(answer.body["run_id"].as_str().unwrap()).await;
    assert_eq!(attempts(&row), [("succeeded", "yes")]);
    assert_ne!(row["cost_usd"], Value::Null);
    assert_eq!(row["quota_state"], "used");
    assert!(uploads(&world) > 1);
    assert_eq!(world.openai_calls().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_storage_cannot_be_asked_nothing_is_concluded_about_a_dead_workers_image() {
    let world = World::start(&SHORT).await;
    let held = world
        .hold("lock table generated_images in share mode")
        .await;
    let run = world
        .begin(json!({"prompt": "a harbour", "resolution": "1K"}))
        .await;
    world.waits_for_lock("succeed").await;
    let look = |fault: Value| {
        let mut fault = fault;
        fault["match"] = json!({"method": "GET", "path": "/object/info/"});
        fault
    };
    let script = [look(json!({"status": 500})), look(json!({"status": 503}))];
    world.storage(json!({"script": script})).await;
    world.kill_worker().await;
    world.end_sessions("worker").await;
    held.release().await;

    let row = world.settled(&run).await;
    assert_eq!(row["status"], "succeeded", "{row:#}");
    assert_eq!(attempts(&row), [("succeeded", "yes")]);
    assert_eq!(world.openai_calls().await.len(), 1);
}
