//! Edits, when things go wrong: as safe as images made from a prompt.

use serde_json::{Value, json};

use crate::{
    faults::SHORT,
    harness::World,
    site::{Page, png, site},
};

impl World {
    /// `POST /ai/edit` of an own image by the test user, without waiting; the run's id.
    async fn begin_edit(&self, image: &Value) -> String {
        let body =
            json!({"instruction": "make it night", "image_id": image["id"], "resolution": "1K"});
        let request = self.user(reqwest::Method::POST, "/ai/edit");
        let request = request
            .header("prefer", "respond-async")
            .body(body.to_string());
        let answer = crate::harness::send(request).await;
        assert_eq!(answer.status, 202, "{answer:#?}");
        answer.body["run_id"].as_str().unwrap().to_owned()
    }

    async fn row_of(&self, run_id: &str) -> Value {
        self.get(&format!("/ai/runs/{run_id}")).await.body
    }

    async fn edits_asked(&self) -> usize {
        let calls = self.openai_calls().await;
        calls
            .iter()
            .filter(|call| call["path"] == "/images/edits")
            .count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_and_refusals_of_the_vendor() {
    let world = World::start(&SHORT).await;
    let image = world.picture("1:1").await;
    let asked = json!({"instruction": "x", "image_id": image["id"], "resolution": "1K"});
    world
        .openai(json!({"script": [{"status": 429, "code": "rate_limit_exceeded"}, {"status": 500}, {}]}))
        .await;
    let answer = world.edit(asked.clone()).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    let run = world.row_of(answer.body["run_id"].as_str().unwrap()).await;
    assert_eq!(
        (
            &run["retry_count"],
            run["attempts"].as_array().unwrap().len()
        ),
        (&json!(2), 3)
    );
    assert_eq!(world.edits_asked().await, 3);

    world
        .openai(json!({"script": [{"status": 400, "code": "moderation_blocked"}]}))
        .await;
    let answer = world.edit(asked.clone()).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["code"]),
        (422, &json!("moderation_blocked"))
    );
    assert_eq!(world.edits_asked().await, 4);

    world
        .openai(json!({"script": [{"drop": "after_headers"}]}))
        .await;
    let answer = world.edit(asked.clone()).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["code"]),
        (502, &json!("answer_lost")),
        "{answer:#?}"
    );
    let run = world.row_of(answer.body["run_id"].as_str().unwrap()).await;
    assert_eq!(run["attempts"][0]["billed"], "unknown");
    assert_eq!(world.edits_asked().await, 5);

    world
        .openai(json!({"script": [{"body": "truncated"}]}))
        .await;
    assert_eq!(world.edit(asked).await.status, 502);
    assert_eq!(world.edits_asked().await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_fails_for_a_while_costs_nothing_but_time() {
    let world = World::start(&SHORT).await;
    let image = world.picture("1:1").await;
    let asked = json!({"instruction": "x", "image_id": image["id"], "resolution": "1K"});
    let download = json!({"method": "GET", "path": "/storage/v1/object/authenticated"});
    let upload = json!({"method": "POST", "path": "/storage/v1/object/generated-images"});
    let fault = |which: &Value, status: u16| json!({"match": which, "status": status});
    world
        .storage(json!({"script": [
            fault(&download, 500), fault(&download, 429), fault(&download, 503), fault(&download, 500),
            fault(&upload, 500), fault(&upload, 429),
        ]}))
        .await;
    let answer = world.edit(asked.clone()).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(world.edits_asked().await, 1);
    let half = json!({"match": download, "drop": "mid_body"});
    world.storage(json!({"script": [half]})).await;
    assert_eq!(world.edit(asked).await.status, 200);
    assert_eq!(world.edits_asked().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_stays_away_ends_the_run_unpaid_and_worth_another_try() {
    let world = World::start(&[("UPLOAD_PATIENCE_S", "1")]).await;
    let image = world.picture("1:1").await;
    let download = json!({"match": {"method": "GET", "path": "/storage/v1/object/authenticated"}, "status": 500});
    world.storage(json!({"script": vec![download; 40]})).await;
    let asked = json!({"instruction": "x", "image_id": image["id"], "resolution": "1K"});
    let answer = world.edit(asked).await;
    assert_eq!(answer.status, 503, "{answer:#?}");
    assert_eq!(
        (&answer.body["code"], &answer.body["retryable"]),
        (&json!("source_storage_failed"), &json!(true))
    );
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(world.edits_asked().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_it_loads_is_replaced() {
    let world = World::start(&SHORT).await;
    let image = world.picture("1:1").await;
    let slow = json!({"match": {"method": "GET", "path": "/storage/v1/object/authenticated"}, "delay_ms": 20_000});
    world.storage(json!({"script": [slow]})).await;
    let run_id = world.begin_edit(&image).await;
    world
        .until("the claim", || async {
            (world.row_of(&run_id).await["status"] == "running").then_some(())
        })
        .await;
    world.kill_worker().await;
    let run = world.settled(&run_id).await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert_eq!(run["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(world.edits_asked().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_during_the_call_is_not_paid_for_twice() {
    let world = World::start(&SHORT).await;
    let image = world.picture("1:1").await;
    world
        .openai(json!({"script": [{"delay_ms": 20_000}]}))
        .await;
    let run_id = world.begin_edit(&image).await;
    world
        .until("the call", || async {
            (world.edits_asked().await == 1).then_some(())
        })
        .await;
    world.kill_worker().await;
    let run = world.settled(&run_id).await;
    assert_eq!(
        (&run["status"], &run["error_code"]),
        (&json!("failed"), &json!("answer_lost")),
        "{run:#}"
    );
    assert_eq!(run["attempts"][0]["billed"], "unknown");
    assert_eq!(world.edits_asked().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_may_be_deleted_meanwhile() {
    let world = World::start(&SHORT).await;
    let image = world.picture("1:1").await;
    world.openai(json!({"script": [{"delay_ms": 1_500}]})).await;
    let run_id = world.begin_edit(&image).await;
    world
        .until("the call", || async {
            (world.edits_asked().await == 1).then_some(())
        })
        .await;
    let id = image["id"].as_str().unwrap();
    world
        .rows(&format!("delete from generated_images where id = '{id}'"))
        .await;
    let run = world.settled(&run_id).await;
    assert_eq!(run["status"], "succeeded", "{run:#}");
    let made = world
        .get(&format!(
            "/ai/generated-images/{}",
            run["image_id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(
        (made.status.as_u16(), &made.body["parent_image_id"]),
        (200, &Value::Null)
    );

    // Gone images cannot be edited, and their files are not looked for.
    let asked = json!({"instruction": "x", "image_id": id});
    assert_eq!(world.edit(asked).await.problem_fields(404), ["image_id"]);
    let site = site([("/picture", Page::of(png(64, 64)))]).await;
    let asked =
        json!({"instruction": "x", "image_url": format!("{site}/picture#top"), "resolution": "1K"});
    assert_eq!(world.edit(asked).await.status, 200);
}
