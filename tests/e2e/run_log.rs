//! What a run leaves in the log: one line at its end with its figures, its metrics, and the trace of the request that made it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{World, send};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The lines of a function's log that are JSON objects.
fn lines(world: &World, function: &str) -> Vec<Value> {
    let log = world.function_log(function);
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// The one line that the worker wrote at a run's end, and the line of its metrics.
async fn ended(world: &World, run: &str) -> (Value, Value) {
    let written = || async {
        let of_run = |name: &str| {
            let mut lines = lines(world, "worker");
            lines.retain(|line| line[name] == run);
            lines
        };
        let mut ends = of_run("run_id");
        ends.retain(|line| line["message"] == "a run ended");
        let metrics = of_run("runId");
        assert!(
            ends.len() < 2 && metrics.len() < 2,
            "{ends:#?} {metrics:#?}"
        );
        Some((ends.pop()?, metrics.into_iter().next()?))
    };
    world.until("the lines of the run's end", written).await
}

/// `POST /ai/generate` as part of a trace, without waiting; the run's id.
async fn begin_traced(world: &World, trace: &str) -> String {
    let request = world
        .user(Method::POST, "/ai/generate")
        .header("prefer", "respond-async")
        .header("traceparent", trace)
        .body(json!({"prompt": "a kite", "resolution": "1K"}).to_string());
    let answer = send(request).await;
    assert_eq!(answer.status, 202, "{answer:#?}");
    answer.body["run_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_from_the_request_through_the_queue_to_the_worker() {
    let world = World::start(&[]).await;
    let sent = begin_traced(&world, TRACE).await;
    world.sqs_down().await;
    let unsent = begin_traced(&world, TRACE).await;
    world.sqs(json!({"default": {}})).await;
    // The sweep carries it on, too.
    assert_eq!(world.sweep().await["runs_resent"], 1);
    for run in [&sent, &unsent] {
        assert_eq!(world.ended(run).await["status"], "succeeded");
        let (line, metrics) = ended(&world, run).await;
        // Of the run's row; of the message; beside the metrics.
        for found in [
            &line["traceparent"],
            &line["span"]["traceparent"],
            &metrics["traceparent"],
        ] {
            assert_eq!(found, TRACE, "{line:#} {metrics:#}");
        }
    }
    let answered = lines(&world, "generate");
    let answered = answered
        .iter()
        .filter(|line| line["message"] == "answered" && line["span"]["traceparent"] == TRACE);
    assert_eq!(answered.count(), 2);

    // What is no trace is not carried on.
    let run = begin_traced(&world, "00-no-trace-at-all").await;
    world.ended(&run).await;
    let (line, _) = ended(&world, &run).await;
    assert!(!line.to_string().contains("no-trace-at-all"), "{line:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runs_end_leaves_its_figures() {
    let world = World::start(&[("RETRY_DELAYS_MS", "0,20,20")]).await;
    world
        .openai(json!({"script": [{"status": 500}, {"delay_ms": 50}]}))
        .await;
    let answer = world
        .generate(json!({"prompt": "a kite", "style": "watercolor", "resolution": "1K", "asset_kind": "poster"}))
        .await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    let run_id = answer.body["run_id"].as_str().unwrap();
    let run = world.get(&format!("/ai/runs/{run_id}")).await.body;
    let (line, metrics) = ended(&world, run_id).await;
    for (field, expected) in [
        ("status", &json!("succeeded")),
        ("mode", &json!("generate")),
        ("asset_kind", &json!("poster")),
        ("style_preset", &json!("watercolor")),
        ("model", &run["model"]),
        ("attempts", &json!(2)),
        ("cost_usd", &run["cost_usd"]),
    ] {
        assert_eq!(&line[field], expected, "{field} {line:#}");
    }
    assert_eq!(line.get("resolved_prompt"), None, "LOG_PROMPTS is off");
    let ids = run["attempts"].as_array().unwrap().iter();
    let ids: Vec<&str> = ids
        .map(|attempt| attempt["requestId"].as_str().unwrap())
        .collect();
    assert_eq!(line["vendor_request_ids"], ids.join(" "));
    let milliseconds = |field: &str| line[field].as_u64().unwrap();
    assert!(milliseconds("calls_ms") >= 50, "{line:#}");
    assert!(milliseconds("duration_ms") >= milliseconds("queued_ms") + milliseconds("calls_ms"));

    let definition = &metrics["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(definition["Namespace"], "Darkroom");
    assert_eq!(definition["Dimensions"], json!([["Function"]]));
    for metric in definition["Metrics"].as_array().unwrap() {
        let name = metric["Name"].as_str().unwrap();
        assert!(metrics[name].is_number(), "{name} {metrics:#}");
    }
    for (name, field) in [
        ("Attempts", "attempts"),
        ("RunDuration", "duration_ms"),
        ("QueueDuration", "queued_ms"),
        ("CallDuration", "calls_ms"),
        ("CostUsd", "cost_usd"),
    ] {
        assert_eq!(metrics[name], line[field], "{name}");
    }
    assert_eq!(metrics["RunsSucceeded"], 1);
}

/// While somebody looks for a fault.
#[tokio::test(flavor = "multi_thread")]
async fn no_level_of_the_log_tells_secrets() {
    for level in ["DEBUG", "TRACE"] {
        let world = World::start(&[("AWS_LAMBDA_LOG_LEVEL", level)]).await;
        let prompt = "a kite with unloggable tails";
        let answer = world
            .generate(json!({"prompt": prompt, "resolution": "1K"}))
            .await;
        assert_eq!(answer.status, 200, "{answer:#?}");
        world.sweep().await;
        send(world.user(Method::POST, "/api/realtime/token")).await;
        let logs = world.logs();
        assert!(logs.contains("\"level\":\"DEBUG\""), "{logs}");
        let settings = world.stack.settings();
        let ready = world.stack.ready();
        let ably = settings["ABLY_API_KEY"].rsplit(':').next().unwrap();
        for secret in [
            &settings["OPENAI_API_KEY"],
            &settings["SUPABASE_SECRET_KEY"],
            &ready.user.token,
            ably,
            "unloggable",
        ] {
            let found = logs.lines().find(|line| line.contains(secret));
            assert_eq!(found, None, "at {level}");
        }
    }
}
