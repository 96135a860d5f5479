use serde_json::json;

use super::*;

fn model(name: &str) -> Model {
    name.parse().unwrap()
}

#[test]
fn cost_from_usage() {
    let cases = [
        // The example of OpenAI's own document.
        (
            "gpt-image-2",
            json!({"input_tokens": 11, "output_tokens": 439, "total_tokens": 450,
            "input_tokens_details": {"text_tokens": 11, "image_tokens": 0},
            "output_tokens_details": {"text_tokens": 0, "image_tokens": 439}}),
            Some("0.013225"),
        ),
        // No details of the output: all of it is the image.
        (
            "gpt-image-2",
            json!({"input_tokens": 10, "output_tokens": 1756,
            "input_tokens_details": {"text_tokens": 10, "image_tokens": 0}}),
            Some("0.05273"),
        ),
        // An edit: image tokens have their own price.
        (
            "gpt-image-2",
            json!({"input_tokens": 110, "output_tokens": 100,
            "input_tokens_details": {"text_tokens": 10, "image_tokens": 100}}),
            Some("0.00385"),
        ),
        // One part of the split is enough.
        (
            "gpt-image-2",
            json!({"input_tokens": 110, "output_tokens": 100,
            "input_tokens_details": {"image_tokens": 100}}),
            Some("0.00385"),
        ),
        // Cached tokens, with and without their split.
        (
            "gpt-image-2",
            json!({"input_tokens": 110, "output_tokens": 100, "input_tokens_details": {"text_tokens": 10,
            "image_tokens": 100, "cached_tokens": 54, "cached_tokens_details": {"text_tokens": 4, "image_tokens": 50}}}),
            Some("0.003535"),
        ),
        (
            "gpt-image-2",
            json!({"input_tokens": 110, "output_tokens": 100, "input_tokens_details": {"text_tokens": 10,
            "image_tokens": 100, "cached_tokens": 60}}),
            Some("0.0035125"),
        ),
        // Text in the output: priced for 1.5, not for 2.
        (
            "gpt-image-1.5",
            json!({"input_tokens": 0, "output_tokens": 110,
            "output_tokens_details": {"text_tokens": 10, "image_tokens": 100}}),
            Some("0.0033"),
        ),
        (
            "gpt-image-2",
            json!({"input_tokens": 0, "output_tokens": 110,
            "output_tokens_details": {"text_tokens": 10, "image_tokens": 100}}),
            None,
        ),
        (
            "gpt-image-1-mini",
            json!({"input_tokens": 5, "output_tokens": 100,
            "input_tokens_details": {"text_tokens": 5, "image_tokens": 0}}),
            Some("0.00081"),
        ),
        (
            "gpt-image-2-2026-04-21",
            json!({"input_tokens": 0, "output_tokens": 1000}),
            Some("0.03"),
        ),
        // What is not known is not 0.
        (
            "gpt-image-2",
            json!({"input_tokens": 11, "output_tokens": 439}),
            None,
        ),
        ("gpt-image-2", json!({}), None),
        (
            "gpt-image-3",
            json!({"input_tokens": 0, "output_tokens": 1000}),
            None,
        ),
        (
            "dall-e-3",
            json!({"input_tokens": 0, "output_tokens": 1000}),
            None,
        ),
        // Nonsense does not overflow or wrap.
        (
            "gpt-image-2",
            json!({"input_tokens": 1, "output_tokens": u64::MAX,
            "input_tokens_details": {"text_tokens": 1, "image_tokens": 0}}),
            None,
        ),
        (
            "gpt-image-2",
            json!({"input_tokens": 1, "output_tokens": 1, "input_tokens_details": {"text_tokens": 5}}),
            None,
        ),
    ];
    for (name, usage, expected) in cases {
        let read: Usage = serde_json::from_value(usage.clone()).unwrap();
        let cost = CostUsd::of(&model(name), &read).map(|cost| cost.to_string());
        assert_eq!(cost.as_deref(), expected, "{name} {usage}");
    }
}

#[test]
fn the_estimate_matches_the_published_prices() {
    let square = PixelSize::new(1024, 1024);
    let cases = [
        ("low", 196, "0.006"),
        ("medium", 1756, "0.053"),
        ("high", 7024, "0.211"),
    ];
    for (quality, tokens, dollars) in cases {
        assert_eq!(
            estimated_output_tokens(&model("gpt-image-2"), quality, square),
            Some(tokens)
        );
        let cost = CostUsd::estimate(&model("gpt-image-2"), quality, square).unwrap();
        assert_eq!(format!("{:.3}", cost.to_f64()), dollars);
    }
    assert_eq!(
        CostUsd::estimate(&model("gpt-image-2"), "auto", square),
        None
    );
    assert_eq!(
        CostUsd::estimate(&model("gpt-image-2.6-flare"), "low", square),
        None
    );
    assert_eq!(CostUsd::estimate(&model("unknown"), "low", square), None);
    assert_eq!(
        CostUsd::estimate(&model("gpt-image-2"), "low", PixelSize::new(0, 1024)),
        None
    );
}

#[test]
fn amounts_are_written_and_read() {
    let cases = [
        (0, "0"),
        (1, "0.000000001"),
        (52_680_000, "0.05268"),
        (1_000_000_000, "1"),
        (12_500_000_000, "12.5"),
    ];
    for (nanos, text) in cases {
        let amount = CostUsd::from_nanos(nanos);
        assert_eq!(amount.to_string(), text);
        assert_eq!(text.parse(), Ok(amount));
        let json = serde_json::to_string(&amount).unwrap();
        assert_eq!(
            serde_json::from_str::<CostUsd>(&json).unwrap(),
            amount,
            "{json}"
        );
    }
    assert_eq!(
        "0.052680000000".parse(),
        Ok(CostUsd::from_nanos(52_680_000))
    );
    for bad in [
        "",
        ".5",
        "-1",
        "1e3",
        "0.0000000001",
        "1.2.3",
        "99999999999999999999",
    ] {
        assert_eq!(bad.parse::<CostUsd>(), Err(NotAnAmount), "{bad}");
    }
    assert!(serde_json::from_str::<CostUsd>("-1").is_err());
    let sum: CostUsd = [1, 2, 3].map(CostUsd::from_nanos).into_iter().sum();
    assert_eq!(sum, CostUsd::from_nanos(6));
}

#[test]
fn usage_travels_in_openais_shape() {
    let json = json!({"input_tokens": 11, "output_tokens": 439, "total_tokens": 450,
        "input_tokens_details": {"text_tokens": 11, "image_tokens": 0}});
    let usage: Usage = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(usage).unwrap(), json);
}
