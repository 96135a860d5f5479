//! `GET /ai/runs/{id}/events`: the log as JSON and as a stream.

use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{World, send},
    truth::events_of_stream,
};

fn prompt() -> Value {
    json!({"prompt": "a clock", "resolution": "1K"})
}

fn path(run: &str) -> String {
    format!("/ai/runs/{run}/events")
}

#[tokio::test(flavor = "multi_thread")]
async fn as_json_from_any_number_on() {
    let world = World::start(&[]).await;
    let run = world.begin(prompt()).await;
    world.settled(&run).await;
    let log = world.log(&run).await;
    assert_eq!(log.len(), 4);
    for after in 0..=5 {
        let answer = world.get(&format!("{}?after={after}", path(&run))).await;
        assert_eq!(answer.status, 200, "{answer:#?}");
        assert_eq!(
            (
                &answer.body["run_id"],
                &answer.body["status"],
                &answer.body["sequence"]
            ),
            (&json!(run), &json!("succeeded"), &json!(4))
        );
        let events = answer.body["events"].as_array().unwrap();
        let data: Vec<_> = events.iter().map(|event| event["data"].clone()).collect();
        assert_eq!(data, log[after.min(4)..]);
    }
    let whole = world.get(&path(&run)).await;
    let unchanged = send(
        world
            .user(Method::GET, &path(&run))
            .header("if-none-match", whole.header("etag")),
    )
    .await;
    assert_eq!(unchanged.status, 304);

    let bad = world.get(&format!("{}?after=-1", path(&run))).await;
    assert_eq!(bad.problem_fields(400), ["after"]);
    for id in [&b"x"[..], b"-1", b"\xc2\x84"] {
        let request = world.user(Method::GET, &path(&run));
        let bad = send(request.header("last-event-id", id)).await;
        assert_eq!(bad.problem_fields(400), ["Last-Event-ID"]);
    }
    for request in [
        world.other_user(Method::GET, &path(&run)),
        world.anonymous(Method::GET, &path(&run)),
    ] {
        send(request).await.problem_fields(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_tells_each_event_as_it_comes_and_ends_with_the_run() {
    let world = World::start(&[("RETRY_DELAYS_MS", "0,50")]).await;
    world
        .openai(json!({"script": [{"status": 500}, {"delay_ms": 1500}]}))
        .await;
    let run = world.begin(prompt()).await;
    let response = world
        .user(Method::GET, &path(&run))
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/event-stream");
    assert_eq!(header("cache-control"), "no-store");

    let mut body = response.bytes_stream();
    let mut text = String::new();
    let mut seen_before_the_end = 0;
    while let Some(piece) = body.next().await {
        text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        if world.row(&run).await["status"] == "running" {
            seen_before_the_end = events_of_stream(&text).len();
        }
    }
    assert!(
        seen_before_the_end >= 2,
        "nothing came before the end: {text}"
    );
    world.settled(&run).await;
    let data: Vec<_> = events_of_stream(&text)
        .into_iter()
        .map(|(id, data)| {
            assert_eq!(data["sequence"], id);
            data
        })
        .collect();
    assert_eq!(data, world.log(&run).await);
}

/// A proxy on the way gives a stream up after half a minute without a byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_is_kept_open_by_comments() {
    let world = World::start(&[]).await;
    world
        .openai(json!({"script": [{"delay_ms": 30_000}]}))
        .await;
    let run = world.begin(prompt()).await;
    let request = world
        .user(Method::GET, &path(&run))
        .header("accept", "text/event-stream");
    let mut body = request.send().await.unwrap().bytes_stream();
    let begun = std::time::Instant::now();
    let mut text = String::new();
    while !text.lines().any(|line| line.starts_with(':')) {
        let piece = body.next().await.expect("the run is not over");
        text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        assert!(begun.elapsed().as_secs() < 60, "{text}");
    }
    // What is a comment to `EventSource` is no event.
    let told = events_of_stream(&text);
    assert!(told.len() <= 2, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_comes_back_hears_what_it_missed() {
    let world = World::start(&[]).await;
    let run = world.begin(prompt()).await;
    world.settled(&run).await;
    let from = |id: &str| {
        world
            .user(Method::GET, &path(&run))
            .header("accept", "text/event-stream")
            .header("last-event-id", id)
            .send()
    };
    let missed = from("2").await.unwrap().text().await.unwrap();
    let numbers: Vec<_> = events_of_stream(&missed)
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(numbers, [3, 4]);
    // `EventSource` comes back for ever, unless it is told that there is no more.
    let nothing = from("4").await.unwrap();
    assert_eq!(nothing.status(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_that_does_not_stream_gets_what_there_is() {
    let world = World::start(&[("RESPONSE_MODE", "buffered")]).await;
    world.openai(json!({"default": {"delay_ms": 20_000}})).await;
    let run = world.begin(prompt()).await;
    world.calls(1).await;
    let response = world
        .user(Method::GET, &path(&run))
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    let text = response.text().await.unwrap();
    let numbers: Vec<_> = events_of_stream(&text)
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(numbers, [1, 2], "{text}");
}
