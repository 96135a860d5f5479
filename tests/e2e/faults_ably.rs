//! Ably out of order: runs go on, and in the end everybody has heard everything, once and in order.

use serde_json::{Value, json};

use crate::harness::World;

async fn unpublished(world: &World) -> Option<String> {
    world
        .value("select count(*) from ai_image_run_events where published_at is null")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn down_for_the_whole_run_then_up_everything_arrives_in_order_once() {
    let world = World::start(&[("RETRY_DELAYS_MS", "0,50")]).await;
    world.ably(json!({"down": true})).await;
    world.openai(json!({"script": [{"status": 500}]})).await;
    let answer = world
        .generate(json!({"prompt": "a bell", "resolution": "1K"}))
        .await;
    assert_eq!(answer.status, 200, "no event fails a run: {answer:#?}");
    let run = answer.body["run_id"].as_str().unwrap();
    let log = world.log(run).await;
    assert_eq!(
        log.len(),
        6,
        "started, twice begun, failed, succeeded, completed: {log:#?}"
    );
    assert_eq!(world.told(&world.row(run).await), Vec::<Value>::new());

    // The sweep cannot do it either as long as Ably is down, and says so.
    let found = world
        .until("events that are old enough for the sweep", || async {
            let report = world.invoke("sweep", json!({"dry_run": true})).await;
            (report["events_published"] == 6).then_some(report)
        })
        .await;
    assert_eq!(found["errors"], json!([]), "{found:#}");
    assert_eq!(unpublished(&world).await.as_deref(), Some("6"));
    let failed = world.sweep().await;
    assert_eq!(
        (&failed["events_published"], &failed["errors"]),
        (&json!(0), &json!(["events"])),
        "{failed:#}"
    );

    world.ably(json!({"down": false})).await;
    let report = world.sweep().await;
    assert_eq!(report["events_published"], 6, "{report:#}");
    assert_eq!(unpublished(&world).await.as_deref(), Some("0"));
    world.consistent(run).await;
    assert_eq!(world.sweep().await["events_published"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hiccup_in_the_middle_of_a_run_disturbs_no_order() {
    let world = World::start(&[("RETRY_DELAYS_MS", "0,50")]).await;
    for failures in [1, 2, 3, 4] {
        world
            .openai(json!({"script": [{"status": 500}, {"delay_ms": 300}]}))
            .await;
        world
            .ably(json!({"fail_next": failures, "status": 500}))
            .await;
        let run = world
            .begin(json!({"prompt": "a bell", "resolution": "1K"}))
            .await;
        let row = world.settled(&run).await;
        assert_eq!(row["status"], "succeeded");
    }
}
