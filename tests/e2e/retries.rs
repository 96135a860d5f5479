//! What is tried again, when, and what the caller hears of it.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Answer, World};

const DELAYS: [u64; 3] = [0, 300, 700];

/// A stack whose schedule is [`DELAYS`].
async fn start(settings: &[(&str, &str)]) -> World {
    World::start(&[&[("RETRY_DELAYS_MS", "0,300,700")], settings].concat()).await
}

/// Asks for an image after the stand-in was told what comes; the answer, the run's record, and the names of its events.
async fn ask(world: &World, script: Value, more: Value) -> (Answer, Value, Vec<String>) {
    world.openai(json!({"script": script})).await;
    let mut body = json!({"prompt": "a red bicycle", "quality": "low", "resolution": "1K"});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let answer = world.generate(body).await;
    let run_id = answer.body["run_id"].as_str().unwrap();
    let run = world.get(&format!("/ai/runs/{run_id}")).await.body;
    let log = world.get(&format!("/ai/runs/{run_id}/events")).await.body;
    let events = log["events"].as_array().unwrap().iter();
    let events = events.map(|event| {
        let data = &event["data"];
        let name = event["name"]
            .as_str()
            .unwrap()
            .trim_start_matches("ai.image.run.");
        let words = [&data["attempt"], &data["status"], &data["errorCode"]];
        let words = words.iter().filter(|word| !word.is_null());
        words.fold(name.to_owned(), |text, word| {
            format!("{text} {}", word.to_string().trim_matches('"'))
        })
    });
    (answer, run, events.collect())
}

/// A field of all attempts.
fn of_attempts(run: &Value, field: &str) -> Vec<Value> {
    let attempts = run["attempts"].as_array().unwrap();
    attempts
        .iter()
        .map(|attempt| attempt[field].clone())
        .collect()
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// Asserts that each attempt began no sooner after the one before it than its own record says, nor much later.
fn waits_were_kept(run: &Value) {
    for pair in run["attempts"].as_array().unwrap().windows(2) {
        let waited = time(&pair[1]["startedAt"]).duration_since(time(&pair[0]["completedAt"]));
        let delay = pair[1]["delayMs"].as_i64().unwrap();
        let waited = i64::try_from(waited.as_millis()).unwrap();
        assert!(waited >= delay - 1, "{waited} ms of {delay}: {run:#}");
        assert!(waited < delay + 2000, "{waited} ms of {delay}: {run:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_vendor_is_asked_again_by_the_schedule() {
    let world = start(&[]).await;
    let script = json!([{"status": 429, "code": "rate_limit_exceeded"}, {"status": 500}, {}]);
    let (answer, run, events) = ask(&world, script, json!({})).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(
        (&run["status"], &run["retry_count"]),
        (&json!("succeeded"), &json!(2))
    );
    for (field, expected) in [
        ("attempt", json!([1, 2, 3])),
        ("status", json!(["failed", "failed", "succeeded"])),
        ("httpStatus", json!([429, 500, 200])),
        ("delayMs", json!(DELAYS)),
        ("billed", json!(["no", "no", "yes"])),
        ("retryable", json!([true, true, null])),
        (
            "errorCode",
            json!(["rate_limit_exceeded", "server_error", null]),
        ),
    ] {
        assert_eq!(Value::from(of_attempts(&run, field)), expected, "{field}");
    }
    waits_were_kept(&run);
    assert_eq!(
        events,
        [
            "started",
            "attempt 1 started",
            "attempt 1 failed rate_limit_exceeded",
            "attempt 2 started",
            "attempt 2 failed server_error",
            "attempt 3 started",
            "attempt 3 succeeded",
            "completed succeeded",
        ]
    );
    assert_eq!(answer.body["cost_usd"], run["cost_usd"]);

    // The vendor's own wish wins, whether it is longer or shorter than the schedule.
    for (headers, delay) in [
        (json!({"retry-after": "1"}), 1000),
        (json!({"retry-after-ms": "40"}), 40),
    ] {
        let script = json!([{"status": 429, "code": "slow_down", "headers": headers}, {}]);
        let (answer, run, _) = ask(&world, script, json!({})).await;
        assert_eq!(answer.status, 200, "{answer:#?}");
        let delays = of_attempts(&run, "delayMs");
        assert_eq!(delays, [json!(0), json!(delay)], "{headers}");
        waits_were_kept(&run);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_hears_what_a_failed_run_means() {
    let world = start(&[]).await;
    let last = json!({"status": 429, "code": "slow_down", "headers": {"retry-after-ms": "6200"}});
    let busy = json!({"status": 429, "code": "slow_down"});
    let broken = json!({"status": 500});
    let far = json!({"status": 429, "code": "slow_down", "headers": {"retry-after": "600"}});
    let table = [
        // What comes, attempts, status, code, whether trying again may help, and when.
        (
            json!([{"status": 400, "code": "moderation_blocked"}]),
            1,
            422,
            "moderation_blocked",
            false,
            "",
        ),
        (
            json!([{"status": 400, "code": "invalid_value"}]),
            1,
            422,
            "invalid_value",
            false,
            "",
        ),
        (json!([busy, busy, last]), 3, 503, "slow_down", true, "7"),
        (json!([busy, busy, busy]), 3, 503, "slow_down", true, "30"),
        // Longer than a run waits.
        (json!([far]), 1, 503, "slow_down", true, "600"),
        (
            json!([broken, broken, broken]),
            3,
            502,
            "server_error",
            true,
            "",
        ),
        (
            json!([{"status": 429, "code": "insufficient_quota"}]),
            1,
            502,
            "insufficient_quota",
            false,
            "",
        ),
        (
            json!([{"status": 401, "code": "invalid_api_key"}]),
            1,
            502,
            "invalid_api_key",
            false,
            "",
        ),
        (
            json!([{"body": "empty_data"}]),
            1,
            502,
            "answer_empty",
            true,
            "",
        ),
        (
            json!([{"drop": "after_headers"}]),
            1,
            502,
            "answer_lost",
            true,
            "",
        ),
    ];
    for (script, attempts, status, code, retryable, retry_after) in table {
        let calls = world.openai_calls().await.len();
        let (answer, run, events) = ask(&world, script.clone(), json!({})).await;
        assert!(answer.problem_fields(status).is_empty());
        let body = &answer.body;
        for (field, expected) in [
            ("code", json!(code)),
            ("error_code", json!(code)),
            ("run_id", run["id"].clone()),
            ("error_message", run["error_message"].clone()),
            ("retryable", json!(retryable)),
        ] {
            assert_eq!(body[field], expected, "{field} {script} {body:#}");
        }
        assert!(!run["error_message"].as_str().unwrap().is_empty());
        assert_eq!(answer.header("retry-after"), retry_after, "{script}");
        assert_eq!(
            (&run["status"], &run["error_code"]),
            (&json!("failed"), &json!(code))
        );
        assert_eq!(of_attempts(&run, "attempt").len(), attempts, "{run:#}");
        assert_eq!(run["retry_count"], attempts - 1);
        assert_eq!(world.openai_calls().await.len(), calls + attempts);
        assert_eq!(*events.last().unwrap(), format!("completed failed {code}"));
        waits_were_kept(&run);
    }
    assert_eq!(
        world
            .value("select count(*) from generated_images")
            .await
            .as_deref(),
        Some("0")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_fails_is_asked_again_and_the_vendor_is_not() {
    let world = start(&[]).await;
    let fails = json!({"status": 503, "match": {"method": "POST"}});
    world.storage(json!({"script": [fails, fails]})).await;
    let (answer, run, events) = ask(&world, json!([]), json!({})).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(of_attempts(&run, "billed"), [json!("yes")]);
    assert_eq!(events.len(), 4, "{events:?}");
    assert_eq!(world.openai_calls().await.len(), 1);
    let image = world
        .fetch(answer.body["image_url"].as_str().unwrap())
        .await;
    assert!(image::load_from_memory(&image).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_model_is_asked_unless_the_caller_named_one() {
    let world = start(&[("OPENAI_IMAGE_MODELS", "gpt-image-2.5-flare, gpt-image-2")]).await;
    let (first, second) = (json!("gpt-image-2.5-flare"), json!("gpt-image-2"));
    let busy = json!({"status": 503});

    let (answer, run, _) = ask(&world, json!([busy, busy, busy, {}]), json!({})).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(
        of_attempts(&run, "model"),
        [&first, &first, &first, &second].map(Clone::clone)
    );
    assert_eq!(
        of_attempts(&run, "delayMs"),
        [0, 300, 700, 0].map(Value::from)
    );
    assert_eq!(run["retry_count"], 3);
    assert_eq!((&run["model"], &answer.body["model"]), (&second, &second));
    waits_were_kept(&run);

    // What no other model will take ends the run; what is this model's matter does not.
    let spent = json!({"status": 429, "code": "insufficient_quota"});
    let (answer, run, _) = ask(&world, json!([spent, {}]), json!({})).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(of_attempts(&run, "model"), [first.clone(), second.clone()]);
    let refused = json!([{"status": 400, "code": "moderation_blocked"}]);
    let (answer, run, _) = ask(&world, refused, json!({})).await;
    answer.problem_fields(422);
    assert_eq!(of_attempts(&run, "model"), std::slice::from_ref(&first));

    let named = json!({"model": first});
    let (answer, run, _) = ask(&world, json!([busy, busy, busy]), named.clone()).await;
    answer.problem_fields(503);
    assert_eq!(
        of_attempts(&run, "model"),
        [&first, &first, &first].map(Clone::clone)
    );

    // A model that is not there is the fault of whoever named it.
    let gone = json!({"status": 404, "code": "model_not_found"});
    let (answer, _, _) = ask(&world, json!([gone]), named).await;
    answer.problem_fields(422);
    assert_eq!(answer.body["retryable"], false);
    let (answer, run, _) = ask(&world, json!([gone, gone]), json!({})).await;
    answer.problem_fields(502);
    assert_eq!(of_attempts(&run, "model"), [first, second]);
}
