//! Everything that the image vendor can do wrong: what is tried again, what is not, and who pays.

use serde_json::{Value, json};

use crate::{
    harness::{Answer, World, send},
    truth::attempts,
};

/// A fault, and what must become of a run that meets it.
struct Case {
    name: &'static str,
    /// What the vendor does; afterwards it is well.
    script: Value,
    /// Whether the caller would rather pay twice than have no image.
    retry_unknown: bool,
    /// HTTP status to a waiting caller.
    status: u16,
    /// Error code and `billed` of each attempt; no code for the one that succeeds.
    attempts: Vec<(Option<&'static str>, &'static str)>,
}

impl Case {
    fn new(name: &'static str, script: Value, status: u16) -> Self {
        Self {
            name,
            script,
            retry_unknown: false,
            status,
            attempts: Vec::new(),
        }
    }

    fn fails(mut self, code: &'static str, billed: &'static str) -> Self {
        self.attempts.push((Some(code), billed));
        self
    }

    fn then_succeeds(mut self) -> Self {
        self.attempts.push((None, "yes"));
        self
    }

    fn may_pay_twice(mut self) -> Self {
        self.retry_unknown = true;
        self
    }
}

fn not_accepted() -> Vec<Case> {
    let busy = || json!({"status": 429, "code": "rate_limit_exceeded"});
    let broken = || json!({"status": 500});
    let overloaded = || json!({"status": 503});
    vec![
        Case::new("429", json!([busy()]), 200)
            .fails("rate_limit_exceeded", "no")
            .then_succeeds(),
        Case::new("500 and 503", json!([broken(), overloaded()]), 200)
            .fails("server_error", "no")
            .fails("server_is_overloaded", "no")
            .then_succeeds(),
        Case::new(
            "500 for good",
            json!([broken(), broken(), broken(), broken()]),
            502,
        )
        .fails("server_error", "no")
        .fails("server_error", "no")
        .fails("server_error", "no"),
        Case::new(
            "503 for good",
            json!([overloaded(), overloaded(), overloaded(), overloaded()]),
            503,
        )
        .fails("server_is_overloaded", "no")
        .fails("server_is_overloaded", "no")
        .fails("server_is_overloaded", "no"),
    ]
}

fn answer_lost() -> Vec<Case> {
    vec![
        Case::new(
            "reset before the headers",
            json!([{"drop": "before_headers"}]),
            502,
        )
        .fails("answer_lost", "unknown"),
        Case::new(
            "reset after the headers",
            json!([{"drop": "after_headers"}]),
            502,
        )
        .fails("answer_lost", "unknown"),
        Case::new(
            "reset in the middle of the body",
            json!([{"drop": "mid_body"}]),
            502,
        )
        .fails("answer_lost", "unknown"),
        Case::new("slow drip", json!([{"slow_bytes_per_s": 2000}]), 502)
            .fails("answer_lost", "unknown"),
        Case::new("no answer in time", json!([{"delay_ms": 20_000}]), 502)
            .fails("answer_lost", "unknown"),
        Case::new(
            "a reset, and a caller who may pay twice",
            json!([{"drop": "mid_body"}]),
            200,
        )
        .may_pay_twice()
        .fails("answer_lost", "unknown")
        .then_succeeds(),
    ]
}

fn bad_answer() -> Vec<Case> {
    vec![
        Case::new("truncated JSON", json!([{"body": "truncated"}]), 502)
            .fails("answer_truncated", "unknown"),
        Case::new("no data", json!([{"body": "empty_data"}]), 502).fails("answer_empty", "yes"),
        Case::new("no image", json!([{"body": "not_an_image"}]), 502)
            .fails("answer_not_an_image", "yes"),
        Case::new("HTML", json!([{"body": "html"}]), 502).fails("answer_not_json", "unknown"),
        Case::new(
            "no data, and a caller who may pay twice",
            json!([{"body": "empty_data"}]),
            200,
        )
        .may_pay_twice()
        .fails("answer_empty", "yes")
        .then_succeeds(),
    ]
}

fn refused() -> Vec<Case> {
    let of_code = |status: u16, code: &str| json!([{"status": status, "code": code}]);
    vec![
        Case::new("moderation", of_code(400, "moderation_blocked"), 422)
            .fails("moderation_blocked", "no"),
        Case::new(
            "moderation, and a caller who may pay twice",
            of_code(400, "moderation_blocked"),
            422,
        )
        .may_pay_twice()
        .fails("moderation_blocked", "no"),
        Case::new("no quota", of_code(429, "insufficient_quota"), 502)
            .fails("insufficient_quota", "no"),
        Case::new("no money", of_code(400, "billing_hard_limit_reached"), 502)
            .fails("billing_hard_limit_reached", "no"),
        Case::new("a wrong key", of_code(401, "invalid_api_key"), 502)
            .fails("invalid_api_key", "no"),
    ]
}

async fn ask(world: &World, prompt: &str, retry_unknown: bool) -> Answer {
    world
        .generate(json!({"prompt": prompt, "resolution": "1K", "retry_unknown": retry_unknown}))
        .await
}

async fn meet_all(cases: Vec<Case>) {
    let settings = [
        ("RETRY_DELAYS_MS", "0,50,50"),
        ("OPENAI_TIMEOUT_MS", "1500"),
    ];
    let world = World::start(&settings).await;
    for case in cases {
        world.openai(json!({"script": case.script})).await;
        world.stack.openai().unwrap().script().clear_calls();
        let answer = ask(&world, case.name, case.retry_unknown).await;
        assert_eq!(answer.status, case.status, "{}: {answer:#?}", case.name);

        let run = answer.body["run_id"].as_str().unwrap();
        let row = world.settled(run).await;
        let got: Vec<_> = row["attempts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|attempt| {
                (
                    attempt["errorCode"].as_str(),
                    attempt["billed"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(got, case.attempts, "{}: {row:#}", case.name);
        assert_eq!(row["retry_count"], case.attempts.len() - 1);
        let calls = world.openai_calls().await;
        assert_eq!(calls.len(), case.attempts.len(), "{}", case.name);
        let paid = case.attempts.iter().filter(|(_, billed)| *billed != "no");
        assert_eq!(
            calls.iter().filter(|call| call["billed"] == true).count(),
            paid.count(),
            "{}: what the vendor charged for",
            case.name
        );
        if answer.status != 200 {
            assert_eq!(answer.body["error_code"], row["error_code"]);
            assert_eq!(answer.body["retryable"], row["error_meta"]["retryable"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_accepted_is_tried_again() {
    meet_all(not_accepted()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_answer_was_lost_is_repeated_only_if_the_caller_says_so() {
    meet_all(answer_lost()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_answer_is_no_success_and_not_bought_again() {
    meet_all(bad_answer()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_quotas_are_told_at_once() {
    meet_all(refused()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_vendor_asks_to_wait_is_waited() {
    let world = World::start(&[("RETRY_DELAYS_MS", "0,50,50")]).await;
    let busy =
        |headers: Value| json!({"status": 429, "code": "rate_limit_exceeded", "headers": headers});
    let cases = [
        (json!({"retry-after": "1"}), 1000),
        (json!({"retry-after-ms": "300", "retry-after": "60"}), 300),
        (json!({}), 50),
    ];
    for (headers, delay_ms) in cases {
        world.openai(json!({"script": [busy(headers)]})).await;
        let answer = ask(&world, "patience", false).await;
        assert_eq!(answer.status, 200, "{answer:#?}");
        let row = world.row(answer.body["run_id"].as_str().unwrap()).await;
        let second = &row["attempts"][1];
        assert_eq!(second["delayMs"], delay_ms, "{row:#}");
        let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let waited =
            time(&second["startedAt"]).duration_since(time(&row["attempts"][0]["completedAt"]));
        assert!(waited.as_millis() >= i128::from(delay_ms), "{waited:?}");
    }

    // Longer than a run waits: the caller is told when to come back.
    world
        .openai(json!({"script": [busy(json!({"retry-after": "600"}))]}))
        .await;
    let answer = ask(&world, "too long", false).await;
    answer.problem_fields(503);
    assert_eq!(answer.header("retry-after"), "600");
    assert_eq!(answer.body["retryable"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_cannot_be_reached_is_not_paid() {
    // Bound and let go: nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let settings = [
        ("RETRY_DELAYS_MS", "0,50"),
        ("OPENAI_BASE_URL", url.as_str()),
        ("USER_DAILY_IMAGES", "1"),
    ];
    let world = World::start(&settings).await;
    let answer = ask(&world, "nobody there", false).await;
    answer.problem_fields(503);
    assert_ne!(answer.header("retry-after"), "");
    let row = world.settled(answer.body["run_id"].as_str().unwrap()).await;
    assert_eq!(row["error_code"], "connection_failed");
    assert_eq!(attempts(&row), [("failed", "no"), ("failed", "no")]);
    assert_eq!(row["cost_usd"], 0.0);
    assert_eq!(row["quota_state"], "released");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_model_is_asked_when_one_is_out_of_order() {
    let settings = [
        ("RETRY_DELAYS_MS", "0,50"),
        ("OPENAI_IMAGE_MODELS", "gpt-image-2,gpt-image-1-mini"),
    ];
    let world = World::start(&settings).await;
    let script = json!([{"status": 500}, {"status": 500}]);
    world.openai(json!({"script": script})).await;
    let answer = send(
        world
            .user(reqwest::Method::POST, "/ai/generate")
            .body(json!({"prompt": "two models", "resolution": "1K"}).to_string()),
    )
    .await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(answer.body["model"], "gpt-image-1-mini");
    let row = world.settled(answer.body["run_id"].as_str().unwrap()).await;
    let models: Vec<_> = row["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| attempt["model"].as_str().unwrap())
        .collect();
    assert_eq!(models, ["gpt-image-2", "gpt-image-2", "gpt-image-1-mini"]);
}
