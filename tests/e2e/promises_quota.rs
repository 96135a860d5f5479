//! Daily quotas: parallel requests never overshoot, and what was not billed is given back.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, World, send};

fn body() -> String {
    json!({"prompt": "a scale", "resolution": "1K"}).to_string()
}

async fn used(world: &World) -> Option<String> {
    world.value("select sum(used) from image_quotas").await
}

fn is_told_to_wait(answer: &Answer, limit: u32) {
    answer.problem_fields(429);
    assert_eq!(answer.body["code"], "quota-exceeded");
    assert_eq!(answer.body["retryable"], true);
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!(
        (1..=86_400).contains(&seconds),
        "until the day's end: {seconds}"
    );
    let rate_limit = answer.header("ratelimit");
    assert!(rate_limit.starts_with("\"daily\";r=0;t="), "{rate_limit}");
    let policy = format!("\"daily\";q={limit};w=86400");
    assert_eq!(answer.header("ratelimit-policy"), policy);
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_requests_at_once_do_not_overshoot() {
    let world = World::start(&[("USER_DAILY_IMAGES", "7")]).await;
    // Nothing is given back meanwhile.
    world.openai(json!({"default": {"delay_ms": 3000}})).await;
    let ask = || async {
        send(
            world
                .user(Method::POST, "/ai/generate")
                .header("prefer", "respond-async")
                .body(body()),
        )
        .await
    };
    let answers = join_all((0..40).map(|_| ask())).await;
    let (accepted, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == 202);
    assert_eq!((accepted.len(), refused.len()), (7, 33));
    let mut left: Vec<_> = accepted
        .iter()
        .map(|answer| {
            let header = answer.header("ratelimit");
            header.split(';').nth(1).unwrap().to_owned()
        })
        .collect();
    left.sort_unstable();
    assert_eq!(left, ["r=0", "r=1", "r=2", "r=3", "r=4", "r=5", "r=6"]);
    for answer in refused {
        is_told_to_wait(answer, 7);
    }
    assert_eq!(used(&world).await.as_deref(), Some("7"));
    assert_eq!(
        world
            .value("select count(*) from ai_image_runs")
            .await
            .as_deref(),
        Some("7")
    );
    // The other user has a day of his own.
    let other = send(
        world
            .other_user(Method::POST, "/ai/generate")
            .header("prefer", "respond-async")
            .body(body()),
    )
    .await;
    assert_eq!(other.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_billed_is_given_back_and_what_may_have_been_is_not() {
    let settings = [("USER_DAILY_IMAGES", "2"), ("RETRY_DELAYS_MS", "0")];
    let world = World::start(&settings).await;
    let generate = || async { send(world.user(Method::POST, "/ai/generate").body(body())).await };
    let refused = json!({"status": 400, "code": "moderation_blocked"});
    world
        .openai(json!({"script": [refused, {"status": 500}, {}, refused, {"drop": "mid_body"}]}))
        .await;
    let statuses = [422, 502, 200, 422, 502];
    let used_after = ["0", "0", "1", "1", "2"];
    for (status, used_now) in statuses.into_iter().zip(used_after) {
        assert_eq!(generate().await.status, status);
        assert_eq!(used(&world).await.as_deref(), Some(used_now));
    }
    is_told_to_wait(&generate().await, 2);
    let states = world
        .rows("select quota_state from ai_image_runs order by created_at")
        .await;
    let states: Vec<_> = states
        .iter()
        .map(|row| row[0].as_deref().unwrap())
        .collect();
    assert_eq!(states, ["released", "released", "used", "released", "used"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymous_callers_are_counted_by_address() {
    let settings = [("ANONYMOUS_DAILY_IMAGES", "1"), ("USER_DAILY_IMAGES", "0")];
    let world = World::start(&settings).await;
    let ask = || async { send(world.anonymous(Method::POST, "/ai/generate").body(body())).await };
    let first = ask().await;
    assert_eq!(first.status, 200, "{first:#?}");
    assert!(first.header("ratelimit").starts_with("\"daily\";r=0;"));
    is_told_to_wait(&ask().await, 1);
    let user = send(world.user(Method::POST, "/ai/generate").body(body())).await;
    is_told_to_wait(&user, 0);
    let keys = world.rows("select caller_key from image_quotas").await;
    let key = keys[0][0].as_deref().unwrap();
    assert!(
        key.starts_with("address:") && !key.contains("127.0.0.1"),
        "{key}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_limit_nothing_is_counted() {
    let world = World::start(&[]).await;
    let answer = send(world.user(Method::POST, "/ai/generate").body(body())).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("ratelimit"), "");
    assert_eq!(used(&world).await, None);
}
