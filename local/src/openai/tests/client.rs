//! The client that the worker uses, against the stand-in: every fault means to it what it should, and both agree on who pays.

use std::time::Duration;

use shared::domain::cost::CostUsd;
use shared::domain::failure::{Billed, FailureClass};
use shared::domain::image::{AspectRatio, Background, ImageFormat as Format, Quality, Resolution};
use shared::domain::model::{MODELS, Model, ModelState, openai_quality};
use shared::domain::size::size_for;
use shared::openai::client::{OpenAiClient, OpenAiOptions};
use shared::openai::request::{EditRequest, ImageRequest, SourceImage};

use super::*;

fn client(stand_in: &Running) -> OpenAiClient {
    OpenAiClient::new(OpenAiOptions {
        base_url: format!("{}/v1", stand_in.url()),
        api_key: "sk-test".into(),
        timeout: Duration::from_secs(60),
    })
}

fn request(model: &Model) -> ImageRequest<'_> {
    ImageRequest {
        model,
        prompt: "a cat",
        size: Some(size_for(model, AspectRatio::ThreeTwo, Resolution::OneK)),
        quality: Quality::Low,
        format: Format::Jpg,
        background: Background::Auto,
        safety_identifier: Some("0123abcd"),
        timeout: Some(Duration::from_secs(2)),
    }
}

#[tokio::test]
async fn every_fault_means_what_it_should_and_both_agree_on_who_pays() {
    let (stand_in, address) = stand_in().await;
    let client = client(&stand_in);
    let model: Model = "gpt-image-2".parse().unwrap();
    use FailureClass::{BadAnswer, Config, NotAccepted, Quota, Refused, Unknown};
    let cases = [
        (json!({}), None),
        (json!({"slow_bytes_per_s": 200_000}), None),
        (
            json!({"status": 429, "code": "rate_limit_exceeded", "headers": {"retry-after": "1"}}),
            Some(NotAccepted),
        ),
        (
            json!({"status": 429, "code": "slow_down"}),
            Some(NotAccepted),
        ),
        (
            json!({"status": 429, "code": "insufficient_quota"}),
            Some(Quota),
        ),
        (
            json!({"status": 429, "code": "credit_balance_exhausted"}),
            Some(Quota),
        ),
        (
            json!({"status": 400, "code": "billing_hard_limit_reached"}),
            Some(Quota),
        ),
        (
            json!({"status": 400, "code": "moderation_blocked"}),
            Some(Refused),
        ),
        (
            json!({"status": 400, "code": "invalid_value"}),
            Some(Refused),
        ),
        (
            json!({"status": 401, "code": "invalid_api_key"}),
            Some(Config),
        ),
        (json!({"status": 403}), Some(Config)),
        (json!({"status": 500}), Some(NotAccepted)),
        (json!({"status": 502}), Some(NotAccepted)),
        (
            json!({"status": 503, "code": "server_is_overloaded"}),
            Some(NotAccepted),
        ),
        (json!({"body": "truncated"}), Some(BadAnswer)),
        (json!({"body": "empty_data"}), Some(BadAnswer)),
        (json!({"body": "not_an_image"}), Some(BadAnswer)),
        (json!({"body": "html"}), Some(BadAnswer)),
        (json!({"drop": "before_headers"}), Some(Unknown)),
        (json!({"drop": "after_headers"}), Some(Unknown)),
        (json!({"drop": "mid_body"}), Some(Unknown)),
        (json!({"delay_ms": 30_000}), Some(Unknown)),
    ];
    for (entry, class) in cases {
        control(address, &json!({"script": [&entry]})).await;
        let outcome = client.generate(&request(&model)).await;
        let billed = match &outcome {
            Ok(_) => Billed::Yes,
            Err(error) => error.failure.billed,
        };
        let failure = outcome.as_ref().err().map(|error| &error.failure);
        assert_eq!(
            failure.map(|failure| failure.class),
            class,
            "{entry} {failure:?}"
        );
        // What is billed is never called unbilled. A lost or broken answer may have been, which is called unknown.
        let paid = stand_in.script().calls().last().unwrap().billed;
        match billed {
            Billed::Yes => assert!(paid, "{entry}"),
            Billed::No => assert!(!paid, "{entry}"),
            Billed::Unknown => assert!(matches!(class, Some(Unknown | BadAnswer)), "{entry}"),
        }
        if let Ok(answer) = outcome {
            assert_eq!(Some(answer.inspected.size()), request(&model).size);
            assert!(CostUsd::of(&model, &answer.usage.unwrap()).is_some());
            assert!(answer.headers.request_id.is_some());
        }
    }
}

#[tokio::test]
async fn every_model_accepts_the_sizes_qualities_and_formats_of_the_table() {
    let (stand_in, _) = stand_in().await;
    let client = client(&stand_in);
    let live = MODELS
        .iter()
        .filter(|info| info.state != ModelState::Retired);
    for (index, info) in live.enumerate() {
        let model: Model = info.name.parse().unwrap();
        // All fields take turns, so that each value meets several models without drawing hundreds of pictures.
        for (step, aspect_ratio) in AspectRatio::ALL
            .iter()
            .enumerate()
            .skip(index % 3)
            .step_by(3)
        {
            let quality = info.qualities[step % info.qualities.len()];
            let format = Format::ALL[(step + index) % Format::ALL.len()];
            let size = size_for(&model, *aspect_ratio, Resolution::OneK);
            let asked = ImageRequest {
                size: Some(size),
                quality,
                format,
                timeout: None,
                ..request(&model)
            };
            let answer = client
                .generate(&asked)
                .await
                .unwrap_or_else(|error| panic!("{asked:?} {error:?}"));
            assert_eq!(
                (answer.inspected.size(), answer.inspected.format),
                (size, format)
            );
            let usage = answer.usage.unwrap();
            let cost = CostUsd::of(&model, &usage).unwrap();
            // The formula is for what is made; the prompt comes on top.
            let word = openai_quality(&model, quality).unwrap();
            if let Some(estimate) = CostUsd::estimate(&model, word, size) {
                assert!(
                    estimate < cost && cost.nanos() - estimate.nanos() < 1_000_000,
                    "{model} {word} {estimate} {cost}"
                );
            }
        }
    }
}

#[tokio::test]
async fn edits_with_one_image_with_several_and_with_a_mask() {
    let (stand_in, _) = stand_in().await;
    let client = client(&stand_in);
    let model: Model = "gpt-image-2".parse().unwrap();
    let made = client
        .generate(&ImageRequest {
            format: Format::Png,
            ..request(&model)
        })
        .await
        .unwrap();
    let source = SourceImage {
        bytes: made.image.clone(),
        format: Format::Png,
    };
    let mut mask = std::io::Cursor::new(Vec::new());
    let (width, height) = (made.inspected.width, made.inspected.height);
    image::RgbaImage::new(width, height)
        .write_to(&mut mask, ImageFormat::Png)
        .unwrap();
    let mask = mask.into_inner();
    for (count, mask) in [
        (1, None),
        (3, None),
        (1, Some(mask.clone())),
        (2, Some(mask)),
    ] {
        let edit = EditRequest {
            image: ImageRequest {
                format: Format::Webp,
                background: Background::Transparent,
                ..request(&model)
            },
            sources: vec![source.clone(); count],
            mask: mask.map(Into::into),
        };
        let answer = client
            .edit(&edit)
            .await
            .unwrap_or_else(|error| panic!("{count} {error:?}"));
        assert_eq!(answer.inspected.format, Format::Webp);
        assert!(CostUsd::of(&model, &answer.usage.unwrap()).is_some());
    }
}
