//! What an image cost: by the tokens that the vendor reports and the published prices, or null.

use serde_json::{Value, json};

use crate::harness::World;

/// US dollars for a million tokens: text in, image out, as OpenAI publishes them for gpt-image-2.
const TEXT_IN: f64 = 5.0;
const IMAGE_OUT: f64 = 30.0;

fn near(value: &Value, expected: f64) {
    let value = value
        .as_f64()
        .unwrap_or_else(|| panic!("no number: {value}"));
    assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_on_the_attempt_the_run_and_the_image() {
    let world = World::start(&[("RETRY_DELAYS_MS", "0,50")]).await;
    // The first call is charged, too: its answer holds no image, and says what it used.
    world
        .openai(json!({"script": [{"body": "empty_data"}]}))
        .await;
    let answer = world
        .generate(json!({"prompt": "a coin", "resolution": "1K", "retry_unknown": true}))
        .await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    let row = world.settled(answer.body["run_id"].as_str().unwrap()).await;
    let cost_of = |attempt: &Value| {
        let tokens = |pointer: &str| attempt["usage"].pointer(pointer).unwrap().as_f64().unwrap();
        let text = tokens("/input_tokens_details/text_tokens");
        let image = tokens("/output_tokens");
        assert!(text > 0.0 && image > 0.0);
        (text * TEXT_IN + image * IMAGE_OUT) / 1e6
    };
    let attempts = row["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{row:#}");
    for attempt in attempts {
        near(&attempt["costUsd"], cost_of(attempt));
    }
    let (first, second) = (cost_of(&attempts[0]), cost_of(&attempts[1]));
    near(&row["cost_usd"], first + second);
    near(&answer.body["cost_usd"], second);
    near(
        &world.records(row["id"].as_str().unwrap()).await[0]["cost_usd"],
        second,
    );
    assert_ne!(row["price_version"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_price_is_null_and_nothing_billed_is_zero() {
    let world = World::start(&[("RETRY_DELAYS_MS", "0")]).await;
    let answer = world
        .generate(json!({"prompt": "a coin", "resolution": "1K", "model": "gpt-image-9000"}))
        .await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(answer.body["cost_usd"], Value::Null);
    let row = world.row(answer.body["run_id"].as_str().unwrap()).await;
    assert_eq!(row["cost_usd"], Value::Null);
    assert_ne!(row["attempts"][0]["usage"], Value::Null);

    world.openai(json!({"script": [{"status": 500}]})).await;
    let failed = world
        .generate(json!({"prompt": "a coin", "resolution": "1K"}))
        .await;
    let row = world.row(failed.body["run_id"].as_str().unwrap()).await;
    near(&row["cost_usd"], 0.0);
    assert_eq!(row["price_version"], Value::Null);
}
