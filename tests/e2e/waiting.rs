//! How long a caller waits, and what it gets when the image takes longer.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, World, send};

fn cheap() -> Value {
    json!({"prompt": "a red bicycle", "quality": "low", "resolution": "1K"})
}

/// Asks for an image, and says how long the answer took.
async fn ask(world: &World, prefer: &str) -> (Answer, Duration) {
    let request = world
        .user(Method::POST, "/ai/generate")
        .header("prefer", prefer)
        .body(cheap().to_string());
    let begun = Instant::now();
    let answer = send(request).await;
    (answer, begun.elapsed())
}

/// Asserts that this is an accepted run, whose URLs begin with `base`; its id.
fn accepted(world: &World, answer: &Answer, base: &str) -> String {
    assert_eq!(answer.status, 202, "{answer:#?}");
    let run_id = answer.body["run_id"].as_str().unwrap().to_owned();
    let run = format!("{base}/ai/runs/{run_id}");
    let expected = json!({
        "run_id": run_id,
        "status": "pending",
        "urls": {"run": run, "events": format!("{run}/events"), "cancel": format!("{run}/cancel")},
        "channel": format!("ai:image:{}", world.stack.ready().user.id),
    });
    assert_eq!(answer.body, expected);
    assert_eq!(answer.header("location"), run);
    assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
    run_id
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_held_as_prefer_says_and_the_run_goes_on_whatever_the_caller_does() {
    // Without a setting, the URLs of an answer are those that the request was sent to.
    let world = World::start(&[("PUBLIC_URL", "")]).await;
    let api_url = world.stack.ready().api_url.clone();
    world.openai(json!({"default": {"delay_ms": 1800}})).await;

    let (answer, took) = ask(&world, "respond-async").await;
    let asynchronous = accepted(&world, &answer, &api_url);
    assert_eq!(answer.header("preference-applied"), "respond-async");
    assert!(took < Duration::from_millis(1500), "{took:?}");
    let run = world.get(&format!("/ai/runs/{asynchronous}")).await;
    assert!(["pending", "running"].contains(&run.body["status"].as_str().unwrap()));
    assert_eq!(run.header("retry-after"), "2");
    assert_eq!(run.body["urls"]["run"], answer.body["urls"]["run"]);
    for url in ["run", "events"] {
        let path = answer.body["urls"][url].as_str().unwrap();
        let path = path.strip_prefix(&api_url).unwrap();
        assert_eq!(world.get(path).await.status, 200, "{url}");
    }

    let (answer, took) = ask(&world, "wait=1").await;
    let too_short = accepted(&world, &answer, &api_url);
    assert_eq!(answer.header("preference-applied"), "wait=1");
    assert!(took >= Duration::from_secs(1), "{took:?}");

    let (answer, took) = ask(&world, "respond-async, wait=30, handling=lenient").await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(answer.header("preference-applied"), "wait=30");
    assert!(took >= Duration::from_millis(1800), "{took:?}");

    // A caller that hangs up.
    let gone = world
        .user(Method::POST, "/ai/generate")
        .body(cheap().to_string())
        .timeout(Duration::from_millis(900))
        .send()
        .await;
    assert!(gone.unwrap_err().is_timeout());
    let runs = world.get("/ai/runs?limit=1").await.body;
    let hung_up = runs["runs"][0]["id"].as_str().unwrap().to_owned();

    for run_id in [&asynchronous, &too_short, &hung_up] {
        let run = world.ended(run_id).await;
        assert_eq!(run["status"], "succeeded", "{run:#}");
        let image = world.get(
            run["urls"]["image"]
                .as_str()
                .unwrap()
                .strip_prefix(&api_url)
                .unwrap(),
        );
        assert_eq!(image.await.body["run_id"], **run_id);
    }
    assert_eq!(world.openai_calls().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_bound_the_wait_and_name_the_public_address() {
    let base = "https://images.example/v1";
    let world = World::start(&[
        ("PUBLIC_URL", "https://images.example/v1/"),
        ("WAIT_MAX_S", "1"),
    ])
    .await;
    world
        .openai(json!({"script": [{"delay_ms": 3000}, {"delay_ms": 3000}]}))
        .await;
    for (prefer, applied) in [("return=minimal", "respond-async"), ("wait=100", "wait=1")] {
        let (answer, took) = ask(&world, prefer).await;
        let run_id = accepted(&world, &answer, base);
        assert_eq!(answer.header("preference-applied"), applied);
        assert!(took >= Duration::from_secs(1), "{took:?}");
        world.ended(&run_id).await;
    }
    // What cannot be understood is passed over, and an image in time is an image.
    for prefer in [
        "wait=soon",
        "wait=-1",
        "wait",
        "wait=",
        ";;=,,",
        "=",
        "wait=99999999999999999999",
        "\"",
        "é",
    ] {
        let (answer, _) = ask(&world, prefer).await;
        assert!(
            [200, 202].contains(&answer.status.as_u16()),
            "{prefer} {answer:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_caller_has_its_answer_soon_after_the_runs_end() {
    let world = World::start(&[]).await;
    let mut delays = Vec::new();
    for delay_ms in [0, 150, 300, 450, 600] {
        world
            .openai(json!({"script": [{"delay_ms": delay_ms}]}))
            .await;
        let (answer, _) = ask(&world, "wait=60").await;
        let answered = Timestamp::now();
        assert_eq!(answer.status, 200, "{answer:#?}");
        let run_id = answer.body["run_id"].as_str().unwrap();
        let run = world.get(&format!("/ai/runs/{run_id}")).await.body;
        let completed: Timestamp = run["completed_at"].as_str().unwrap().parse().unwrap();
        delays.push(answered.duration_since(completed).as_millis());
    }
    // Reported, not asserted: a busy machine is no fault of the code.
    println!("from the run's end to the answer, in milliseconds: {delays:?}");
}
