//! Pictures from a prompt, and requests that are wrong.

use image::ImageFormat;
use serde_json::{Value, json};

use super::{generate, order, send, stand_in, with};

#[tokio::test]
async fn pictures_have_the_size_and_format_asked_for() {
    let (_running, address) = stand_in().await;
    let table = [
        ("1024x1024", "png", ImageFormat::Png, (1024, 1024)),
        ("auto", "png", ImageFormat::Png, (1024, 1024)),
        ("1264x848", "jpeg", ImageFormat::Jpeg, (1264, 848)),
        ("768x1376", "webp", ImageFormat::WebP, (768, 1376)),
        ("1584x672", "png", ImageFormat::Png, (1584, 672)),
        ("3840x2160", "jpeg", ImageFormat::Jpeg, (3840, 2160)),
    ];
    for (size, format, expected, dimensions) in table {
        let answer = generate(
            address,
            &json!({"model": "gpt-image-2", "prompt": "a red fox", "size": size, "output_format": format}),
        )
        .await;
        let (found, picture) = answer.picture(0);
        assert_eq!(
            (found, (picture.width(), picture.height())),
            (expected, dimensions),
            "{size} {format}"
        );
        let json = answer.json();
        assert_eq!(json["size"], format!("{}x{}", dimensions.0, dimensions.1));
        assert_eq!(
            (&json["output_format"], &json["quality"]),
            (&json!(format), &json!("medium"))
        );
    }
}

#[tokio::test]
async fn usage_follows_the_formula_and_headers_are_there() {
    let (_running, address) = stand_in().await;
    let order = json!({"model": "gpt-image-2", "prompt": "x".repeat(41), "size": "1024x1024", "quality": "low", "n": 2});
    let answer = generate(address, &order).await;
    assert_eq!(
        answer.json()["usage"],
        json!({
            "input_tokens": 11, "input_tokens_details": {"text_tokens": 11, "image_tokens": 0},
            "output_tokens": 392, "output_tokens_details": {"text_tokens": 0, "image_tokens": 392},
            "total_tokens": 403,
        })
    );
    assert_eq!(answer.json()["data"].as_array().map(Vec::len), Some(2));
    assert_ne!(answer.file(0), answer.file(1));
    assert_eq!(answer.headers["x-request-id"].len(), "req_".len() + 32);
    for name in [
        "openai-processing-ms",
        "x-ratelimit-limit-requests",
        "openai-version",
    ] {
        assert!(answer.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn a_transparent_background_is_transparent() {
    let (_running, address) = stand_in().await;
    for format in ["png", "webp"] {
        let mut order = with("background", json!("transparent"));
        order["output_format"] = json!(format);
        let answer = generate(address, &order).await;
        let picture = answer.picture(0).1.to_rgba8();
        assert_eq!(answer.json()["background"], "transparent");
        assert_eq!(picture.get_pixel(2, 2).0[3], 0, "{format}");
        assert!(picture.get_pixel(512, 320).0[3] > 200, "{format}");
    }
    assert_eq!(
        generate(address, &order()).await.json()["background"],
        "opaque"
    );
}

#[tokio::test]
async fn two_calls_never_give_the_same_file() {
    let (_running, address) = stand_in().await;
    assert_ne!(
        generate(address, &order()).await.file(0),
        generate(address, &order()).await.file(0)
    );
}

#[tokio::test]
async fn wrong_requests_are_refused_by_code_and_parameter() {
    let (running, address) = stand_in().await;
    let table: [(&str, Value, u16, &str); 31] = [
        ("prompt", Value::Null, 400, "missing_required_parameter"),
        ("prompt", json!(""), 400, "invalid_value"),
        ("prompt", json!("x".repeat(32_001)), 400, "invalid_value"),
        ("prompt", json!(["a"]), 400, "invalid_type"),
        ("model", Value::Null, 400, "missing_required_parameter"),
        ("model", json!("midjourney"), 400, "invalid_value"),
        ("model", json!(2), 400, "invalid_type"),
        ("n", json!(0), 400, "invalid_value"),
        ("n", json!(11), 400, "invalid_value"),
        ("n", json!("1"), 400, "invalid_type"),
        ("n", json!(1.5), 400, "invalid_type"),
        ("size", json!("1000x1000"), 400, "invalid_value"),
        ("size", json!("512x512"), 400, "invalid_value"),
        ("size", json!("3840x3840"), 400, "invalid_value"),
        ("size", json!("1K"), 400, "invalid_value"),
        ("quality", json!("hd"), 400, "invalid_value"),
        ("quality", json!("standard"), 400, "invalid_value"),
        ("quality", json!("xhigh"), 400, "invalid_value"),
        ("output_format", json!("jpg"), 400, "invalid_value"),
        ("output_format", json!("gif"), 400, "invalid_value"),
        ("output_compression", json!(50), 400, "invalid_value"),
        ("output_compression", json!(101), 400, "invalid_value"),
        ("background", json!("clear"), 400, "invalid_value"),
        ("moderation", json!("off"), 400, "invalid_value"),
        (
            "response_format",
            json!("b64_json"),
            400,
            "unknown_parameter",
        ),
        ("style", json!("vivid"), 400, "unknown_parameter"),
        ("aspect_ratio", json!("1:1"), 400, "unknown_parameter"),
        (
            "safety_identifier",
            json!("x".repeat(129)),
            400,
            "invalid_value",
        ),
        ("stream", json!("true"), 400, "invalid_type"),
        ("partial_images", json!(4), 400, "invalid_value"),
        ("frame_count", json!(4), 400, "invalid_value"),
    ];
    for (name, value, status, code) in table {
        let answer = generate(address, &with(name, value.clone())).await;
        let expected = (status, Some(code.to_owned()), Some(name.to_owned()));
        assert_eq!(answer.error(), expected, "{name}: {}", answer.json());
    }
    for model in ["dall-e-2", "dall-e-3", "gpt-image-1"] {
        let answer = generate(address, &with("model", json!(model))).await;
        assert_eq!(
            answer.error(),
            (404, Some("model_not_found".to_owned()), None),
            "{model}"
        );
    }
    let mut jpeg = with("background", json!("transparent"));
    jpeg["output_format"] = json!("jpeg");
    assert_eq!(
        generate(address, &jpeg).await.error().2.as_deref(),
        Some("background")
    );

    assert!(
        running
            .script()
            .calls()
            .iter()
            .all(|call| !call.billed && call.status.is_some())
    );
}

#[tokio::test]
async fn each_model_takes_what_it_knows() {
    let (_running, address) = stand_in().await;
    let table = [
        ("gpt-image-2.5-flare", "xhigh", "1024x640", 200),
        ("gpt-image-2.6-sunburst", "max", "1024x640", 200),
        ("gpt-image-1.5", "high", "1536x1024", 200),
        ("gpt-image-1-mini", "low", "1024x640", 400),
        ("gpt-image-1.5", "xhigh", "1024x1024", 400),
        ("gpt-image-4", "low", "1024x640", 200),
    ];
    for (model, quality, size, status) in table {
        let order =
            json!({"model": model, "prompt": "a red fox", "quality": quality, "size": size});
        assert_eq!(
            generate(address, &order).await.status,
            status,
            "{model} {quality} {size}"
        );
    }
}

#[tokio::test]
async fn keys_paths_and_bodies_are_checked() {
    let (running, address) = stand_in().await;
    let body = order().to_string();
    let json_type = ("content-type", "application/json");
    let table = [
        ("POST", "/v1/images/generations", vec![json_type], 401),
        (
            "POST",
            "/v1/images/generations",
            vec![json_type, ("authorization", "Bearer ")],
            401,
        ),
        (
            "POST",
            "/v1/images/generations",
            vec![json_type, ("authorization", "Bearer sk-invalid")],
            401,
        ),
        (
            "POST",
            "/images/generations",
            vec![json_type, ("authorization", "Bearer any")],
            200,
        ),
        (
            "POST",
            "/v1/images/generations",
            vec![("authorization", "Bearer any")],
            400,
        ),
        (
            "POST",
            "/v1/images/variations",
            vec![json_type, ("authorization", "Bearer any")],
            404,
        ),
        (
            "GET",
            "/v1/images/generations",
            vec![("authorization", "Bearer any")],
            405,
        ),
    ];
    for (method, path, headers, status) in table {
        let answer = send(address, method, path, &headers, body.as_bytes())
            .await
            .unwrap();
        assert_eq!(answer.status, status, "{method} {path} {headers:?}");
    }
    let headers = [json_type, ("authorization", "Bearer any")];
    let answer = send(
        address,
        "POST",
        "/v1/images/generations",
        &headers,
        b"{not json",
    )
    .await
    .unwrap();
    assert_eq!((answer.status, answer.error().1), (400, None));

    // Each call is in the log, without its key.
    let calls = send(address, "GET", "/v1/_calls", &[], b"").await.unwrap();
    let text = String::from_utf8(calls.body.clone()).unwrap();
    assert!(
        !text.contains("Bearer") && !text.contains("sk-invalid"),
        "{text}"
    );
    let paid = running
        .script()
        .calls()
        .into_iter()
        .filter(|call| call.billed)
        .collect::<Vec<_>>();
    assert_eq!(paid.len(), 1);
    assert_eq!(
        (paid[0].path.as_str(), &paid[0].fields),
        ("/images/generations", &order())
    );
}

#[tokio::test]
async fn a_stream_has_partial_pictures_and_then_the_finished_one() {
    let (_running, address) = stand_in().await;
    let mut order = with("stream", json!(true));
    order["partial_images"] = json!(2);
    let answer = generate(address, &order).await;
    assert!(answer.headers["content-type"].starts_with("text/event-stream"));
    let text = String::from_utf8(answer.body).unwrap();
    let events = text
        .split("\n\n")
        .filter_map(|event| event.split_once("data: "))
        .collect::<Vec<_>>();
    assert_eq!(events.last().map(|event| event.1), Some("[DONE]"));
    let parsed = events[..events.len() - 1]
        .iter()
        .map(|(_, data)| serde_json::from_str::<Value>(data).unwrap())
        .collect::<Vec<_>>();
    let kinds = parsed
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect::<Vec<_>>();
    let partial = "image_generation.partial_image";
    assert_eq!(kinds, [partial, partial, "image_generation.completed"]);
    assert_eq!(parsed[1]["partial_image_index"], 1);
    assert_eq!(parsed[2]["usage"]["input_tokens"], 3);
}
