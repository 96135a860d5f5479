//! The sweep: what got stuck is brought to its end; a dry run only says what it would do.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{World, send},
    truth::attempts,
};

fn prompt() -> Value {
    json!({"prompt": "a broom", "resolution": "1K"})
}

/// Everything that a sweep could change.
async fn everything(world: &World) -> Vec<String> {
    let mut all = Vec::new();
    for table in [
        "ai_image_runs",
        "ai_image_run_events",
        "generated_images",
        "image_quotas",
        "storage_deletions",
    ] {
        let sql = format!("select to_jsonb(t)::text from {table} t order by 1");
        all.extend(world.rows(&sql).await.into_iter().flatten().flatten());
    }
    for queue in [world.queue(), world.dead_letters()] {
        all.push(format!("{queue}: {:?}", world.stack.sqs().depth(&queue)));
    }
    let objects = world.stack.supabase().unwrap();
    let folder = objects.object_file(local::supabase::BUCKET, "generated");
    let files = std::fs::read_dir(folder).unwrap().flatten();
    all.extend(files.map(|file| file.file_name().to_string_lossy().into_owned()));
    all.push(format!(
        "{} publishes",
        world.stack.ably().unwrap().calls().len()
    ));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_everything_and_does_nothing() {
    let settings = [
        ("RETRY_DELAYS_MS", "0"),
        ("ORPHANS", "delete"),
        ("ORPHAN_GRACE_S", "0"),
        ("USER_DAILY_IMAGES", "50"),
    ];
    let world = World::start(&settings).await;
    // A run without a message, one whose worker is dead, one past its deadline, one to be canceled, events that nobody has heard,
    // a dead letter, a deletion that storage has not done, and an object without an owner.
    let made = world.generate(prompt()).await.body["run_id"].clone();
    world.settled(made.as_str().unwrap()).await;
    world.ably(json!({"down": true})).await;
    let quiet = world.generate(prompt()).await;
    assert_eq!(quiet.status, 200);
    world
        .until("a publisher that gives up", || async {
            let idle = world.stack.lambda().instances();
            (!idle.iter().any(|one| one.busy)).then_some(())
        })
        .await;
    world.ably(json!({"down": false})).await;
    for state in [
        "queued_at = null",
        "status = 'running', started_at = now(), sequence = 1, lease_token = id, lease_expires_at = now() - interval '1 s', \
         queued_at = now() - interval '1 day'",
        "deadline_at = now()",
        "status = 'running', started_at = now(), sequence = 1, cancel_requested_at = now()",
    ] {
        let run = world.begin_unsent(prompt()).await;
        world
            .rows(&format!(
                "update ai_image_runs set {state} where id = '{run}'"
            ))
            .await;
    }
    let letter = world.begin_unsent(prompt()).await;
    let body = json!({"v": 1, "type": "generate", "run_id": letter}).to_string();
    world
        .stack
        .sqs()
        .send(&world.dead_letters(), body, Default::default())
        .unwrap();
    let made_id = made.as_str().unwrap();
    world
        .rows(&format!(
            "delete from generated_images where run_id = '{made_id}'"
        ))
        .await;
    world
        .rows("insert into storage_deletions values ('generated/deleted.png')")
        .await;

    let report = world
        .until("events that are old enough", || async {
            let report = world.invoke("sweep", json!({"dry_run": true})).await;
            (report["events_published"] == 4).then_some(report)
        })
        .await;
    let before = everything(&world).await;
    let report_again = world.invoke("sweep", json!({"dry_run": true})).await;
    assert_eq!(report_again, report, "looking changes nothing");
    assert_eq!(everything(&world).await, before);
    let mut expected = json!({
        "dry_run": true,
        "runs_resent": 3,
        "leases_expired": 2,
        "runs_ended": 2,
        "dead_letters": 1,
        "dead_letter_runs_ended": 0,
        "events_published": 4,
        "deletions_repeated": 1,
        "orphans_found": 1,
        "orphans_deleted": 0,
        "orphans": [format!("generated/{made_id}.png")],
        "errors": [],
    });
    assert_eq!(report, expected);

    let report = world.sweep().await;
    // Those that were ended need no message any more.
    expected["dry_run"] = json!(false);
    expected["runs_resent"] = json!(1);
    expected["leases_expired"] = json!(1);
    expected["dead_letter_runs_ended"] = json!(1);
    expected["orphans_deleted"] = json!(1);
    // Events of the ends are told by whoever ends; a sweep's own are fresh.
    assert_eq!(report, expected);
    assert_eq!(world.object(made_id), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_tasks_that_are_asked_for_are_done() {
    let world = World::start(&[]).await;
    let run = world.begin_unsent(prompt()).await;
    let report = world.invoke("sweep", json!({"tasks": ["events"]})).await;
    assert_eq!(report["runs_resent"], 0);
    assert_eq!(world.row(&run).await["queued_at"], Value::Null);
    let nonsense = world.invoke("sweep", json!({"tasks": ["dishes"]})).await;
    assert!(nonsense["errorMessage"].is_string(), "{nonsense:#}");
    // EventBridge's own event has none of these fields and means everything.
    let report = world
        .invoke(
            "sweep",
            json!({"detail-type": "Scheduled Event", "detail": {}}),
        )
        .await;
    assert_eq!(report["runs_resent"], 1, "{report:#}");
    world.settled(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_past_its_maximum_age_ends() {
    let world = World::start(&[("USER_DAILY_IMAGES", "5")]).await;
    let old = world.begin_unsent(prompt()).await;
    let young = world.begin_unsent(prompt()).await;
    world
        .rows(&format!(
            "update ai_image_runs set created_at = now() - interval '25 hours' where id = '{old}'"
        ))
        .await;
    let row = world.settled(&old).await;
    assert_eq!(
        (&row["status"], &row["error_code"], &row["quota_state"]),
        (&json!("failed"), &json!("run_expired"), &json!("released")),
        "{row:#}"
    );
    let row = world.settled(&young).await;
    assert_eq!(attempts(&row), [("succeeded", "yes")]);
    let answer = world.get(&format!("/ai/runs/{old}")).await;
    assert_eq!(answer.body["error_code"], "run_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_a_deleted_user_are_reported_and_deleted_where_that_is_wanted() {
    for (orphans, grace, gone) in [
        ("report", "0", false),
        ("delete", "86400", false),
        ("delete", "0", true),
    ] {
        let world = World::start(&[("ORPHANS", orphans), ("ORPHAN_GRACE_S", grace)]).await;
        let other = send(
            world
                .other_user(Method::POST, "/ai/generate")
                .body(prompt().to_string()),
        )
        .await;
        let kept = world.generate(prompt()).await.body["run_id"].clone();
        let run = other.body["run_id"].as_str().unwrap();
        assert!(world.object(run).is_some());
        let id = &world.stack.ready().other_user.id;
        world
            .rows(&format!("delete from auth.users where id = '{id}'"))
            .await;
        assert_eq!(world.rows("select from ai_image_runs").await.len(), 1);

        let report = world.invoke("sweep", json!({"tasks": ["orphans"]})).await;
        assert_eq!(
            (&report["orphans"], &report["orphans_deleted"]),
            (
                &json!([format!("generated/{run}.png")]),
                &json!(usize::from(gone))
            ),
            "{report:#}"
        );
        assert_eq!(world.object(run).is_none(), gone);
        assert!(world.object(kept.as_str().unwrap()).is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_did_is_a_metric() {
    let world = World::start(&[]).await;
    world.begin_unsent(prompt()).await;
    world.sweep().await;
    let log = world.function_log("sweep");
    let line = log
        .lines()
        .find(|line| line.contains("CloudWatchMetrics"))
        .unwrap();
    let metric: Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&metric["RunsResent"], &metric["Function"]),
        (&json!(1), &json!("sweep"))
    );
    let about = &metric["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(about["Namespace"], "Darkroom");
}
