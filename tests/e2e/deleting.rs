//! Deleting images: the record at once, the object now or when storage is back, and what the run, its key and its children say then.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    faults::SHORT,
    harness::{Answer, World, send},
};

fn path_of(image: &Value) -> String {
    format!("/ai/generated-images/{}", image["id"].as_str().unwrap())
}

fn run_of(image: &Value) -> &str {
    image["run_id"].as_str().unwrap()
}

/// Storage refuses deletions, or hangs over them.
fn deletions(mut fault: Value) -> Value {
    fault["match"] = json!({"method": "DELETE", "path": "/object/"});
    fault
}

impl World {
    async fn delete(&self, path: &str) -> Answer {
        send(self.user(Method::DELETE, path)).await
    }

    /// An image that a caller who is not signed in had made; its answer.
    pub(crate) async fn ownerless_picture(&self) -> Value {
        let asked = json!({"prompt": "a street", "resolution": "1K"});
        let request = self.anonymous(Method::POST, "/ai/generate");
        send(request.body(asked.to_string())).await.body
    }

    async fn delete_waits_for_lock(&self) {
        let sql = "select pid from pg_stat_activity where datname = current_database() \
                   and application_name = 'darkroom-delete' and wait_event_type = 'Lock'";
        self.until("a deletion to wait for a lock", || async {
            self.value(sql).await
        })
        .await;
    }

    /// Paths whose deletion is noted.
    async fn noted(&self) -> Vec<String> {
        let sql = "select path from storage_deletions order by requested_at";
        let rows = self.rows(sql).await;
        rows.into_iter()
            .map(|row| row[0].clone().unwrap())
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_image_is_gone_everywhere_and_its_run_says_so() {
    let world = World::start(&[]).await;
    let asked = json!({"prompt": "a street", "resolution": "1K"}).to_string();
    let ask = || {
        let request = world.user(Method::POST, "/ai/generate");
        send(request.header("idempotency-key", "k").body(asked.clone()))
    };
    let image = ask().await.body;
    let child = world
        .edit(json!({"instruction": "more", "image_id": image["id"], "resolution": "1K"}))
        .await
        .body;
    assert!(world.object(run_of(&image)).is_some());

    let answer = world.delete(&path_of(&image)).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body),
        (204, &Value::Null),
        "{answer:#?}"
    );
    assert_eq!(world.object(run_of(&image)), None);
    assert_eq!(world.noted().await, Vec::<String>::new());
    let again = world.delete(&path_of(&image)).await;
    assert_eq!(again.problem_fields(404), ["image_id"]);
    let shown = world.get(&path_of(&image)).await;
    assert_eq!(shown.problem_fields(404), ["image_id"]);
    let list = world.get("/ai/generated-images").await.body;
    assert_eq!(list["images"][0]["id"], child["id"], "{list:#}");
    assert_eq!(list["count"], 1);

    // The run ended as it ended; what it promises is nothing that is not there.
    let run = world.get(&format!("/ai/runs/{}", run_of(&image))).await;
    assert_eq!(run.status, 200);
    assert_eq!(
        (
            &run.body["status"],
            &run.body["image_id"],
            &run.body["image_url"]
        ),
        (&json!("succeeded"), &Value::Null, &Value::Null)
    );
    assert!(run.body["image_deleted_at"].is_string(), "{run:#?}");
    let other = world.get(&format!("/ai/runs/{}", run_of(&child))).await;
    assert_eq!(other.body["image_deleted_at"], Value::Null);
    let events = format!("/ai/runs/{}/events", run_of(&image));
    assert_eq!(world.get(&events).await.status, 200);

    // Its key still stands for that run, which has no image to show.
    let replay = ask().await;
    assert_eq!(replay.problem_fields(410), Vec::<String>::new());
    assert_eq!(
        (
            &replay.body["code"],
            &replay.body["run_id"],
            &replay.body["retryable"]
        ),
        (&json!("image-deleted"), &image["run_id"], &json!(false))
    );
    assert_eq!(world.openai_calls().await.len(), 2);

    // What was made of it stays, without a parent.
    let child = world
        .get(&format!("{}?lineage=true", path_of(&child)))
        .await
        .body;
    assert_eq!(
        (&child["parent_image_id"], &child["lineage"]["ancestors"]),
        (&Value::Null, &json!([]))
    );
    assert!(world.object(run_of(&child)).is_some());
    let asked = json!({"instruction": "more", "image_id": image["id"]});
    assert_eq!(world.edit(asked).await.problem_fields(404), ["image_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_owner_deletes_an_image_and_nobody_one_without_an_owner() {
    let world = World::start(&[]).await;
    let image = world.picture("1:1").await;
    let ownerless = world.ownerless_picture().await;
    for (path, request, status) in [
        (path_of(&image), "other", 404),
        (path_of(&image), "nobody", 401),
        (path_of(&ownerless), "user", 403),
        (path_of(&ownerless), "nobody", 401),
        (
            format!("/ai/generated-images/{}", run_of(&image)),
            "user",
            404,
        ),
        ("/ai/generated-images/1".to_owned(), "user", 400),
        (format!("{}?force=true", path_of(&image)), "user", 400),
    ] {
        let request = match request {
            "user" => world.user(Method::DELETE, &path),
            "other" => world.other_user(Method::DELETE, &path),
            _ => world.anonymous(Method::DELETE, &path),
        };
        let answer = send(request).await;
        let fields = answer.problem_fields(status);
        let expected = match (status, path.contains('?')) {
            (401, _) => vec![],
            (_, true) => vec!["force"],
            _ => vec!["image_id"],
        };
        assert_eq!(fields, expected, "{path}");
    }
    for image in [image, ownerless] {
        assert_eq!(world.get(&path_of(&image)).await.status, 200);
        assert!(world.object(run_of(&image)).is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_storage_does_not_delete_the_sweep_does() {
    let world = World::start(&[("ORPHANS", "delete"), ("ORPHAN_GRACE_S", "0")]).await;
    for fault in [json!({"status": 503}), json!({"delay_ms": 60_000})] {
        let image = world.picture("1:1").await;
        let object = format!("generated/{}.png", run_of(&image));
        world
            .storage(json!({"default": deletions(fault.clone())}))
            .await;
        let begun = std::time::Instant::now();
        let answer = world.delete(&path_of(&image)).await;
        assert_eq!(answer.status, 204, "{fault} {answer:#?}");
        assert!(begun.elapsed().as_secs() < 15, "{fault}");
        world.get(&path_of(&image)).await.problem_fields(404);
        assert_eq!(world.noted().await, [object.as_str()]);
        assert!(world.object(run_of(&image)).is_some());

        // It is known, so it is no orphan.
        let report = world
            .invoke("sweep", json!({"tasks": ["orphans"], "dry_run": true}))
            .await;
        assert_eq!(report["orphans_found"], 0, "{report:#}");
        let only = json!({"tasks": ["deletions"]});
        if fault["status"].is_number() {
            let report = world.invoke("sweep", only.clone()).await;
            assert_eq!(
                (&report["deletions_repeated"], &report["errors"]),
                (&json!(0), &json!(["deletions"]))
            );
            assert_eq!(world.noted().await, [object.as_str()]);
        }

        world.storage(json!({"default": {}})).await;
        let dry = json!({"tasks": ["deletions"], "dry_run": true});
        let report = world.invoke("sweep", dry).await;
        assert_eq!(report["deletions_repeated"], 1, "{report:#}");
        assert!(world.object(run_of(&image)).is_some());
        let report = world.invoke("sweep", only).await;
        assert_eq!(
            (&report["deletions_repeated"], &report["errors"]),
            (&json!(1), &json!([]))
        );
        assert_eq!(world.object(run_of(&image)), None);
        assert_eq!(world.noted().await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_deletes_nothing_that_is_owned_and_one_refusal_stops_no_other() {
    let world = World::start(&[]).await;
    let kept = world.picture("1:1").await;
    let gone = world.picture("1:1").await;
    let pending = world.begin_unsent(json!({"prompt": "a street"})).await;
    world
        .storage(json!({"default": deletions(json!({"status": 503}))}))
        .await;
    assert_eq!(world.delete(&path_of(&gone)).await.status, 204);
    let noted = [&kept["run_id"], &json!(pending)];
    for run in noted {
        let path = format!("generated/{}.png", run.as_str().unwrap());
        world
            .rows(&format!(
                "insert into storage_deletions values ('{path}', now() - interval '1 day')"
            ))
            .await;
    }
    // The first call, for all of them, is refused as a request that never works; then each has one of its own.
    let refused = json!({"status": 400, "code": "InvalidKey"});
    world
        .storage(json!({"script": [deletions(refused)], "default": {}}))
        .await;
    let report = world.invoke("sweep", json!({"tasks": ["deletions"]})).await;
    assert_eq!(
        (&report["deletions_repeated"], &report["errors"]),
        (&json!(3), &json!([])),
        "{report:#}"
    );
    assert_eq!(world.noted().await, Vec::<String>::new());
    assert!(world.object(run_of(&kept)).is_some());
    assert_eq!(world.object(run_of(&gone)), None);
    world.settled(run_of(&kept)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_deletions_at_once_are_one() {
    let world = World::start(&[]).await;
    let image = world.picture("1:1").await;
    let path = path_of(&image);
    let answers = join_all((0..10).map(|_| world.delete(&path))).await;
    let count = |status: u16| {
        let with = answers.iter().filter(|answer| answer.status == status);
        with.count()
    };
    assert_eq!((count(204), count(404)), (1, 9), "{answers:#?}");
    assert_eq!(world.object(run_of(&image)), None);
    assert_eq!(world.noted().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_runs_outlives_its_source() {
    let world = World::start(&SHORT).await;
    let image = world.picture("1:1").await;
    world.openai(json!({"default": {"delay_ms": 1500}})).await;
    let edit = async || {
        let asked = json!({"instruction": "more", "image_id": image["id"], "resolution": "1K"});
        world.edit(asked).await
    };
    let before = world.openai_calls().await.len();
    let (answer, deleted) = tokio::join!(edit(), async {
        world.calls(before + 1).await;
        world.delete(&path_of(&image)).await
    });
    assert_eq!(deleted.status, 204);
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert!(answer.body.get("parent_image_id").is_none());
    let record = world.get(&path_of(&answer.body)).await;
    assert_eq!(record.body["parent_image_id"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_deleted_in_the_moment_its_child_is_recorded_stands_in_nobodys_way() {
    let world = World::start(&[]).await;
    let user = &world.stack.ready().user.id;
    for delete_first in [true, false] {
        let parent = world.picture("1:1").await;
        world.openai(json!({"default": {"delay_ms": 500}})).await;
        let calls = world.openai_calls().await.len();
        let asked = json!({"instruction": "more", "image_id": parent["id"], "resolution": "1K"});
        let request = world.user(Method::POST, "/ai/edit");
        let request = request.header("prefer", "respond-async");
        let begun = send(request.body(asked.to_string())).await.body;
        let run = run_of(&begun);
        world.calls(calls + 1).await;

        // What either statement touches after the parent's row, which it has locked by then.
        let held = if delete_first {
            let parents_run = run_of(&parent);
            format!("select from ai_image_runs where id = '{parents_run}' for update")
        } else {
            format!("select from auth.users where id = '{user}' for update")
        };
        let held = world.hold(&held).await;
        if !delete_first {
            world.waits_for_lock("succeed").await;
        }
        let path = path_of(&parent);
        let (deleted, ()) = tokio::join!(world.delete(&path), async {
            world.delete_waits_for_lock().await;
            world.waits_for_lock("succeed").await;
            held.release().await;
        });
        assert_eq!(deleted.status, 204, "{deleted:#?}");
        let row = world.settled(run).await;
        assert_eq!(row["status"], "succeeded", "{row:#}");
        let child = world.records(run).await.pop().unwrap();
        assert_eq!(child["parent_image_id"], Value::Null);
        assert!(!world.function_log("worker").contains("ERROR"));
        world.openai(json!({"default": {}})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_record_without_a_run_or_a_path_is_deleted_too() {
    let world = World::start(&[]).await;
    let user = &world.stack.ready().user.id;
    let sql = format!(
        "insert into generated_images (user_id, prompt, image_url) values ('{user}', 'old', 'https://example.com/old.png') returning id::text"
    );
    let id = world.value(&sql).await.unwrap();
    let path = format!("/ai/generated-images/{id}");
    assert_eq!(world.get(&path).await.status, 200);
    assert_eq!(world.delete(&path).await.status, 204);
    assert_eq!(world.get(&path).await.status, 404);
    assert_eq!(world.noted().await, Vec::<String>::new());
}
