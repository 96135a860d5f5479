//! Postgres gone for a while, and connections cut: nothing is lost, nothing is done twice, nobody sees a 500.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    faults::SHORT,
    harness::{World, send},
    truth::attempts,
};

fn prompt() -> Value {
    json!({"prompt": "a dam", "resolution": "1K"})
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_during_a_call_and_started_again() {
    let mut world = World::start_with_own_server(&[]).await;
    world.openai(json!({"script": [{"delay_ms": 700}]})).await;
    let caller = world
        .user(Method::POST, "/ai/generate")
        .body(prompt().to_string());
    let waiting = tokio::spawn(send(caller));
    world.calls(1).await;
    let run = world.value("select id from ai_image_runs").await.unwrap();
    world.stack.postgres().unwrap().crash().await.unwrap();
    // The answer comes while nothing can be written down; the image goes to where it is safe.
    world
        .until("the object", || async { world.object(&run) })
        .await;
    world.stack.postgres().unwrap().resume().await.unwrap();

    let answer = waiting.await.unwrap();
    assert_eq!(answer.status, 200, "the caller has waited: {answer:#?}");
    let row = world.settled(&run).await;
    assert_eq!(attempts(&row), [("succeeded", "yes")]);
    assert_eq!(world.openai_calls().await.len(), 1);
    world.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_while_a_retry_is_waited_for_and_started_again() {
    let mut world = World::start_with_own_server(&[("RETRY_DELAYS_MS", "0,600,50")]).await;
    world.openai(json!({"script": [{"status": 500}]})).await;
    let run = world.begin(prompt()).await;
    world
        .until("the first failure", || async {
            (world.row(&run).await["attempts"][0]["status"] == "failed").then_some(())
        })
        .await;
    world.stack.postgres().unwrap().restart().await.unwrap();
    let row = world.settled(&run).await;
    assert_eq!(row["status"], "succeeded", "{row:#}");
    assert_eq!(attempts(&row), [("failed", "no"), ("succeeded", "yes")]);
    assert_eq!(world.openai_calls().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_while_it_is_down_is_worked_on_when_it_is_up() {
    // The message itself would come back after an hour and a half.
    let mut world = World::start_with_own_server(&[]).await;
    let run = world.begin_unsent(prompt()).await;
    world.stack.postgres().unwrap().crash().await.unwrap();
    world.deliver(&run);
    world
        .until("a worker that tries", || async {
            let instances = world.stack.lambda().instances();
            instances
                .iter()
                .any(|one| one.function == "worker" && one.busy)
                .then_some(())
        })
        .await;
    let trying = world.stack.sqs().depth(&world.queue());
    assert_eq!((trying.visible, trying.in_flight), (0, 1));
    world.stack.postgres().unwrap().resume().await.unwrap();
    let row = world.settled(&run).await;
    assert_eq!(attempts(&row), [("succeeded", "yes")]);
    world.queue_is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn down_requests_are_refused_with_503_and_may_be_tried_again() {
    let mut world = World::start_with_own_server(&[]).await;
    let made = world.generate(prompt()).await;
    assert_eq!(made.status, 200, "{made:#?}");
    world.stack.postgres().unwrap().crash().await.unwrap();
    for (method, path) in [
        (Method::POST, "/ai/generate"),
        (Method::GET, "/ai/generated-images"),
        (Method::GET, "/ai/runs"),
    ] {
        let answer = send(world.user(method, path).body(prompt().to_string())).await;
        answer.problem_fields(503);
        assert_ne!(answer.header("retry-after"), "", "{path}");
    }
    world.stack.postgres().unwrap().resume().await.unwrap();
    let again = world.get("/ai/generated-images").await;
    assert_eq!(
        (again.status.as_u16(), &again.body["count"]),
        (200, &json!(1))
    );
    assert_eq!(world.generate(prompt()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_between_two_events_of_warm_functions_are_not_noticed() {
    let world = World::start(&[]).await;
    let functions = [
        "generate", "worker", "list", "runs", "cancel", "events", "sweep",
    ];
    for round in 0..3 {
        let answer = world.generate(prompt()).await;
        assert_eq!(answer.status, 200, "round {round}: {answer:#?}");
        let run = answer.body["run_id"].as_str().unwrap();
        world.settled(run).await;
        let cancel = format!("/ai/runs/{run}/cancel");
        assert_eq!(send(world.user(Method::POST, &cancel)).await.status, 409);
        assert_eq!(world.get("/ai/generated-images").await.status, 200);
        assert_eq!(world.get("/ai/runs").await.status, 200);
        assert_eq!(world.sweep().await["errors"], json!([]));
        for function in functions {
            world.end_sessions(function).await;
        }
    }
    assert_eq!(world.openai_calls().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_during_a_run_again_and_again() {
    let world = World::start(&SHORT).await;
    world
        .openai(json!({"default": {"delay_ms": 200}, "script": [{"status": 500}, {"status": 500}]}))
        .await;
    let run = world.begin(prompt()).await;
    let cutting = async {
        loop {
            world.end_sessions("worker").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let row = tokio::select! {
        row = world.until("the run's end", || async {
            Some(world.row(&run).await).filter(crate::truth::is_over)
        }) => row,
        () = cutting => unreachable!(),
    };
    assert_eq!(row["status"], "succeeded", "{row:#}");
    let row = world.settled(&run).await;
    assert_eq!(
        attempts(&row),
        [("failed", "no"), ("failed", "no"), ("succeeded", "yes")]
    );
    assert_eq!(world.openai_calls().await.len(), 3);
}
