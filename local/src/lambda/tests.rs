use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Lambda, LogOptions, Outcome,
    for_tests::{echo, start},
    queue_trigger::{QueueTrigger, QueueTriggerOptions},
    schedule,
};
use crate::sqs::{QueueSettings, Sqs};

const LONG: Duration = Duration::from_secs(20);

async fn events(timeout: Duration) -> Lambda {
    let function = echo("work", "events", timeout).await;
    start(vec![function], LogOptions::default()).await
}

async fn invoke(lambda: &Lambda, event: Value) -> Result<Value, Value> {
    let outcome = lambda.invoke("work", event.to_string().into()).await;
    match outcome.unwrap() {
        Outcome::Payload(payload) => Ok(serde_json::from_slice(&payload).unwrap()),
        Outcome::Failure(failure) => Err(serde_json::from_slice(&failure.payload()).unwrap()),
        Outcome::Stream(_) => panic!("a stream"),
    }
}

/// Waits until this holds; the tests' own time-out ends it otherwise.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "it never came about: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn answers_and_stays_warm() {
    let lambda = events(LONG).await;

    let first = invoke(&lambda, json!({"a": 1})).await.unwrap();
    let pids = lambda.instances();
    let second = invoke(&lambda, json!({"a": 2})).await.unwrap();

    assert_eq!(first["event"], json!({"a": 1}));
    assert_eq!(second["event"], json!({"a": 2}));
    assert_ne!(first["request_id"], second["request_id"]);
    assert_eq!(pids.len(), 1);
    until("idle", || lambda.instances().iter().all(|one| !one.busy)).await;
    assert_eq!(lambda.instances()[0].pid, pids[0].pid);
    lambda.stop().await;
    assert!(lambda.instances().is_empty());
}

#[tokio::test]
async fn has_as_many_instances_as_invocations_at_once() {
    let lambda = events(LONG).await;
    let begun = Instant::now();
    let all = (0..8).map(|_| invoke(&lambda, json!({"do": "sleep:800"})));
    let answers = futures_util::future::join_all(all).await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(
        begun.elapsed() < Duration::from_millis(3_500),
        "one after another"
    );
    assert_eq!(lambda.instances().len(), 8);
    lambda.stop().await;
}

#[tokio::test]
async fn a_failed_invocation_answers_as_on_lambda() {
    let lambda = events(Duration::from_secs(1)).await;

    let reported = invoke(&lambda, json!({"do": "error:no"}))
        .await
        .unwrap_err();
    assert_eq!(reported["errorMessage"], "no");

    let exited = invoke(&lambda, json!({"do": "exit:3"})).await.unwrap_err();
    assert_eq!(exited["errorType"], "Runtime.ExitError");
    let message = exited["errorMessage"].as_str().unwrap();
    assert!(
        message.ends_with("exited with error: exit status 3"),
        "{message}"
    );

    let late = invoke(&lambda, json!({"do": "sleep:60000"}))
        .await
        .unwrap_err();
    assert_eq!(late["errorType"], "Sandbox.Timedout");
    let message = late["errorMessage"].as_str().unwrap();
    assert!(
        message.ends_with("Task timed out after 1.00 seconds"),
        "{message}"
    );

    assert!(invoke(&lambda, json!({})).await.is_ok());
    lambda.stop().await;
}

#[tokio::test]
async fn a_killed_instance_is_replaced() {
    let lambda = events(LONG).await;
    let running = tokio::spawn({
        let lambda = lambda.clone();
        async move { invoke(&lambda, json!({"do": "sleep:60000"})).await }
    });
    until("busy", || lambda.instances().iter().any(|one| one.busy)).await;

    let pid = lambda.instances()[0].pid;
    let process = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).unwrap();

    let failure = running.await.unwrap().unwrap_err();
    assert_eq!(failure["errorType"], "Runtime.ExitError");
    let message = failure["errorMessage"].as_str().unwrap();
    assert!(message.ends_with("signal: killed"), "{message}");
    until("replaced", || {
        let instances = lambda.instances();
        instances.len() == 1 && instances[0].pid != pid
    })
    .await;
    lambda.stop().await;
}

#[tokio::test]
async fn a_process_that_ends_at_start_fails_each_invocation_and_complains_once() {
    let directory = tempfile::tempdir().unwrap();
    let logs = LogOptions {
        to_stderr: false,
        directory: Some(directory.path().to_owned()),
    };
    let lambda = start(vec![echo("work", "broken", LONG).await], logs).await;
    for _ in 0..3 {
        let failure = invoke(&lambda, json!({})).await.unwrap_err();
        assert_eq!(failure["errorType"], "Runtime.ExitError");
    }
    let log = directory.path().join("work.log");
    until("logged", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("DATABASE_URL is missing"))
    })
    .await;
    let log = std::fs::read_to_string(&log).unwrap();
    assert_eq!(log.matches("DATABASE_URL is missing").count(), 1, "{log}");
    assert!(lambda.instances().is_empty());
    lambda.stop().await;
}

#[tokio::test]
async fn a_function_without_a_binary_says_so() {
    let mut function = echo("work", "events", LONG).await;
    function.binary = Some("/nowhere/at-all".into());
    let lambda = start(vec![function], LogOptions::default()).await;
    let failure = invoke(&lambda, json!({})).await.unwrap_err();
    assert_eq!(failure["errorType"], "Runtime.InvalidEntrypoint");
    lambda.stop().await;
}

#[tokio::test]
async fn serves_the_invoke_api() {
    let lambda = events(LONG).await;
    let client = http_client();
    let post = |function: &str, kind: &str, body: &'static str| {
        client
            .post(format!(
                "{}/2015-03-31/functions/{function}/invocations",
                lambda.url()
            ))
            .header("x-amz-invocation-type", kind)
            .body(body)
            .send()
    };

    let arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Awork";
    for function in ["work", "work:$LATEST", arn] {
        let answer = post(function, "RequestResponse", "").await.unwrap();
        assert_eq!(answer.status(), 200, "{function}");
        assert!(answer.headers().get("x-amz-function-error").is_none());
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["event"], json!({}));
    }

    let failed = post("work", "RequestResponse", r#"{"do": "error:no"}"#)
        .await
        .unwrap();
    assert_eq!(failed.status(), 200);
    assert_eq!(failed.headers()["x-amz-function-error"], "Unhandled");

    assert_eq!(post("work", "Event", "{}").await.unwrap().status(), 202);
    assert_eq!(post("work", "DryRun", "{}").await.unwrap().status(), 204);
    assert_eq!(
        post("work", "Event", "no JSON").await.unwrap().status(),
        400
    );
    let unknown = post("other", "RequestResponse", "{}").await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(
        unknown.headers()["x-amzn-errortype"],
        "ResourceNotFoundException"
    );

    let instances = client.get(format!("{}/_instances", lambda.url())).send();
    let instances: Vec<Value> = instances.await.unwrap().json().await.unwrap();
    let fields: Vec<_> = instances[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["busy", "function", "pid"]);
    lambda.stop().await;
}

fn http_client() -> reqwest::Client {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

fn queue(visibility: Duration) -> Sqs {
    let sqs = Sqs::new(None).unwrap();
    sqs.create_queue(QueueSettings {
        visibility_timeout: visibility,
        ..QueueSettings::new("jobs")
    })
    .unwrap();
    sqs
}

fn trigger(lambda: &Lambda, sqs: &Sqs) -> QueueTrigger {
    let options = QueueTriggerOptions {
        queue: "jobs".to_owned(),
        function: "work".to_owned(),
        batch_size: 5,
        batching_window: Duration::ZERO,
        maximum_concurrency: Some(2),
        reports_failures: true,
    };
    QueueTrigger::start(lambda.clone(), sqs.clone(), options)
}

fn in_queue(sqs: &Sqs) -> usize {
    let depth = sqs.depth("jobs");
    depth.visible + depth.in_flight + depth.delayed
}

#[tokio::test]
async fn messages_that_succeed_go_and_those_that_fail_come_back() {
    let lambda = events(LONG).await;
    let sqs = queue(Duration::from_secs(60));
    for body in ["one", "fail", "two", "three"] {
        sqs.send("jobs", body, Default::default()).unwrap();
    }
    let trigger = trigger(&lambda, &sqs);
    until("three are deleted", || in_queue(&sqs) == 1).await;
    assert_eq!(
        sqs.depth("jobs").in_flight,
        1,
        "it is hidden until its time"
    );

    sqs.send("jobs", "nonsense", Default::default()).unwrap();
    sqs.send("jobs", "last", Default::default()).unwrap();
    until("idle", || lambda.instances().iter().all(|one| !one.busy)).await;
    assert!(
        in_queue(&sqs) >= 2,
        "an answer that names nobody fails the batch"
    );

    trigger.stop();
    lambda.stop().await;
}

#[tokio::test]
async fn messages_in_hand_are_given_back_at_the_end() {
    let lambda = events(LONG).await;
    let sqs = queue(Duration::from_secs(600));
    sqs.send("jobs", "do sleep:60000", Default::default())
        .unwrap();
    let trigger = trigger(&lambda, &sqs);
    until("busy", || lambda.instances().iter().any(|one| one.busy)).await;
    trigger.stop();
    assert_eq!(sqs.depth("jobs").visible, 1);
    lambda.stop().await;
}

#[tokio::test]
async fn a_killed_batch_comes_back_when_its_visibility_ends() {
    let lambda = events(LONG).await;
    let sqs = queue(Duration::from_millis(400));
    sqs.send("jobs", "do exit:1", Default::default()).unwrap();
    let trigger = trigger(&lambda, &sqs);
    let mut pids = std::collections::BTreeSet::new();
    until("worked on again", || {
        pids.extend(lambda.instances().iter().map(|one| one.pid));
        pids.len() >= 3
    })
    .await;
    assert_eq!(in_queue(&sqs), 1);
    trigger.stop();
    lambda.stop().await;
}

#[test]
fn reads_rates() {
    for (expression, seconds) in [
        ("rate(1 minute)", 60),
        ("rate(5 minutes)", 300),
        ("rate(2 hours)", 7_200),
        ("rate(1 day)", 86_400),
        ("cron(* * * * ? *)", 60),
        ("cron(*/10 * * * ? *)", 600),
        ("cron(0 * * * ? *)", 3_600),
        ("cron(0 3 * * ? *)", 86_400),
    ] {
        let interval = schedule::interval(expression).unwrap();
        assert_eq!(interval, Duration::from_secs(seconds), "{expression}");
    }
    for expression in ["", "rate(1)", "rate(x minutes)", "at(now)"] {
        assert!(schedule::interval(expression).is_err(), "{expression}");
    }
}
