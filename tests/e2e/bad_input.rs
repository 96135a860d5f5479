//! What callers may get wrong: each mistake is an answer of 400 or so that names its field, and nothing is made of it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, World, send};

const RUN: &str = "5f0c6f0e-8f1d-4c39-a5e4-52d94a9dfb1e";

/// Bodies of `POST /ai/generate` with one mistake: the body, the field that is named, words of the message.
fn wrong_bodies() -> Vec<(Value, &'static str, &'static str)> {
    let long = |length| "x".repeat(length);
    let field = |name: &str, value: Value| {
        let mut body = json!({"prompt": "a red bicycle"});
        body[name] = value;
        body
    };
    vec![
        (json!({}), "prompt", "required"),
        (field("prompt", Value::Null), "prompt", "required"),
        (field("prompt", json!(7)), "prompt", "string"),
        (field("prompt", json!(["a"])), "prompt", "string"),
        (field("prompt", json!("")), "prompt", "empty"),
        (field("prompt", json!(" \n\t ")), "prompt", "empty"),
        (field("prompt", json!(long(32_001))), "prompt", "32001"),
        (field("prompt", json!("a\u{0}b")), "prompt", "NUL"),
        (field("dataset_id", json!(7)), "dataset_id", "string"),
        (field("dataset_id", json!("seven")), "dataset_id", "UUID"),
        (field("dataset_id", json!("")), "dataset_id", "UUID"),
        (field("style", json!(1.5)), "style", "string"),
        (field("style", json!(long(201))), "style", "201"),
        (field("style", json!("\u{0}")), "style", "NUL"),
        (field("aspect_ratio", json!("2:1")), "aspect_ratio", "16:9"),
        (field("aspect_ratio", json!(1)), "aspect_ratio", "string"),
        (field("quality", json!("best")), "quality", "standard"),
        (field("quality", json!(false)), "quality", "string"),
        (field("quality", json!("max")), "quality", "gpt-image-2"),
        (
            json!({"prompt": "a", "quality": "xhigh", "model": "gpt-image-2"}),
            "quality",
            "xhigh",
        ),
        (field("format", json!("gif")), "format", "png"),
        (field("format", json!({})), "format", "string"),
        (field("resolution", json!("8K")), "resolution", "1K"),
        (field("resolution", json!(2)), "resolution", "string"),
        (field("model", json!("dall-e-3")), "model", "retired"),
        (field("model", json!("gpt-image-1")), "model", "retired"),
        (field("model", json!("../files")), "model", ""),
        (field("model", json!("")), "model", "empty"),
        (field("model", json!(long(101))), "model", "101"),
        (field("model", json!(2)), "model", "string"),
        (field("background", json!("green")), "background", "opaque"),
        (field("background", json!(true)), "background", "string"),
        (
            json!({"prompt": "a", "background": "transparent", "format": "jpg"}),
            "background",
            "jpg",
        ),
        (
            json!({"prompt": "a", "background": "transparent", "format": "jpeg"}),
            "background",
            "jpg",
        ),
        (field("asset_kind", json!("Avatar")), "asset_kind", "a-z"),
        (field("asset_kind", json!("an_avatar")), "asset_kind", "a-z"),
        (field("asset_kind", json!("")), "asset_kind", "empty"),
        (field("asset_kind", json!(long(65))), "asset_kind", "65"),
        (field("asset_kind", json!([])), "asset_kind", "string"),
        (field("metadata", json!("text")), "metadata", "object"),
        (field("metadata", json!([1])), "metadata", "object"),
        (
            field("metadata", json!({"a": long(4096)})),
            "metadata",
            "4104 bytes",
        ),
        (field("metadata", json!({"a": "\u{0}"})), "metadata", "NUL"),
        (field("metadata", json!({"\u{0}": 1})), "metadata", "NUL"),
        (
            field("metadata", json!({"a": [{"b": "\u{0}"}]})),
            "metadata",
            "NUL",
        ),
        (
            field("retry_unknown", json!("yes")),
            "retry_unknown",
            "true",
        ),
        (field("promt", json!("a")), "promt", "prompt?"),
        (field("Quality", json!("hd")), "Quality", "quality?"),
        (
            field("aspectRatio", json!("1:1")),
            "aspectRatio",
            "aspect_ratio?",
        ),
        (field("user_id", json!(RUN)), "user_id", "not a known field"),
    ]
}

/// The message about a field of a problem.
fn message<'a>(answer: &'a Answer, field: &str) -> &'a str {
    let errors = answer.body["errors"].as_array().unwrap();
    let error = errors.iter().find(|error| error["field"] == field).unwrap();
    assert!(!error["allowed"].is_null(), "{error}");
    error["message"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_generate_is_checked_and_named() {
    let world = World::start(&[]).await;
    for (body, field, words) in wrong_bodies() {
        let answer = world.generate(body.clone()).await;
        let fields = answer.problem_fields(400);
        assert_eq!(fields, [field], "{body} {answer:#?}");
        assert_eq!(answer.body["code"], "invalid-request");
        let message = message(&answer, field);
        let known = answer.body["errors"][0]["allowed"].to_string();
        assert!(
            message.contains(words) || known.contains(words),
            "{body}: {message}"
        );
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(
            detail.contains(field) && detail.contains(message),
            "{detail}"
        );
    }

    // All mistakes of a request in one pass, those of its headers too.
    let all_wrong = json!({
        "prompt": "", "dataset_id": 1, "style": 2, "aspect_ratio": 3, "quality": 4, "format": 5, "resolution": 6, "model": 7,
        "background": 8, "asset_kind": 9, "metadata": 10, "retry_unknown": 11, "colour": "red",
    });
    let answer = send(
        world
            .user(Method::POST, "/ai/generate")
            .header("idempotency-key", "k".repeat(256))
            .header("cancel-after", "soon")
            .body(all_wrong.to_string()),
    )
    .await;
    let mut fields = answer.problem_fields(400);
    fields.sort();
    let expected = [
        "Cancel-After",
        "Idempotency-Key",
        "aspect_ratio",
        "asset_kind",
        "background",
        "colour",
        "dataset_id",
        "format",
        "metadata",
        "model",
        "prompt",
        "quality",
        "resolution",
        "retry_unknown",
        "style",
    ];
    assert_eq!(fields, expected);

    // A dataset that is not there, as one that is somebody else's.
    let answer = world
        .generate(json!({"prompt": "a", "dataset_id": RUN}))
        .await;
    assert_eq!(answer.problem_fields(404), ["dataset_id"]);

    // A prompt that only the style makes too long.
    let answer = world
        .generate(json!({"prompt": "x".repeat(32_000), "style": "watercolor"}))
        .await;
    assert_eq!(answer.problem_fields(400), ["prompt"]);

    assert_eq!(world.openai_calls().await, Vec::<Value>::new());
    assert_eq!(
        world.value("select count(*) from ai_image_runs").await,
        Some("0".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_of_any_field_makes_a_server_error() {
    let world = World::start(&[]).await;
    // The worker has nothing to do with this test; its runs are refused at once.
    world
        .openai(json!({"default": {"status": 400, "code": "moderation_blocked"}}))
        .await;
    let fields = [
        "prompt",
        "dataset_id",
        "style",
        "aspect_ratio",
        "quality",
        "format",
        "resolution",
        "model",
        "background",
        "asset_kind",
        "metadata",
        "retry_unknown",
        "constructor",
        "",
        "\u{0}",
        "prompt\u{0}",
    ];
    let nested = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!("\u{0}"),
        json!("\u{feff}\u{202e}\u{fffd}\u{10ffff}"),
        json!("'; drop table ai_image_runs; --"),
        json!("x".repeat(100_000)),
        json!([]),
        json!({}),
        json!({"a": nested}),
        json!([[{"a": null}]]),
    ];
    for field in fields {
        for value in &values {
            let mut body = json!({"prompt": "a red bicycle"});
            body[field] = value.clone();
            let answer = send(
                world
                    .user(Method::POST, "/ai/generate")
                    .header("prefer", "respond-async")
                    .body(body.to_string()),
            )
            .await;
            if answer.status != 202 {
                let named = answer.problem_fields(400);
                assert_eq!(named, [field], "{body}");
            }
        }
    }

    // What Postgres keeps of the oddest text is what came in.
    let odd = "\u{feff}\u{202e} \"quoted\" \\u0000 \u{10ffff} z\u{301}";
    let body = json!({"prompt": odd, "style": "\\u0000", "metadata": {"\\u0000": "\\u0000"}});
    let run_id = world.begin(body).await;
    let run = world.ended(&run_id).await;
    assert_eq!(run["user_prompt"], odd.trim());
    assert_eq!(
        run["options"]["metadata"],
        json!({"\\u0000": "\\u0000"}),
        "{run:#}"
    );

    // The longest prompt, in characters of four bytes.
    let long = "\u{1f6b2}".repeat(32_000);
    let run_id = world.begin(json!({"prompt": long})).await;
    let run = world.ended(&run_id).await;
    assert_eq!(run["user_prompt"].as_str().unwrap().chars().count(), 32_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_json_object_are_told_so() {
    let world = World::start(&[]).await;
    let post = async |body: Vec<u8>, content_type: &str| {
        let request = world
            .user(Method::POST, "/ai/generate")
            .header("content-type", content_type)
            .body(body);
        Answer::of(request.send().await.unwrap()).await
    };
    let deep = format!(
        r#"{{"prompt": "a", "metadata": {{"a": {}{}}}}}"#,
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    for body in [
        &b""[..],
        b"{",
        b"{\"prompt\": \"a\"",
        b"{\"prompt\": \"a\"}}",
        b"{'prompt': 'a'}",
        b"prompt=a",
        b"\xff\xfe{}",
        b"{\"prompt\": \"\xff\"}",
        b"{\"prompt\": \"\\ud800\"}",
        b"{\"prompt\": \"a\", \"metadata\": {\"a\": 1e999}}",
        deep.as_bytes(),
    ] {
        let answer = post(body.to_vec(), "application/json").await;
        assert_eq!(answer.problem_fields(400), Vec::<String>::new());
        assert_eq!(answer.body["code"], "malformed-json", "{body:?}");
    }
    for body in ["[]", "null", "7", "\"a red bicycle\"", "[{\"prompt\": 1}]"] {
        let answer = post(body.into(), "application/json").await;
        assert_eq!(answer.problem_fields(400), ["body"], "{body}");
    }

    // What a form or an image is, is no JSON, whatever it is called.
    for content_type in ["application/x-www-form-urlencoded", "image/png"] {
        let answer = post(b"\x89PNG\r\n\x1a\n".to_vec(), content_type).await;
        answer.problem_fields(400);
    }
    // And JSON is JSON: a page without leave for a content type of its own sends text.
    let padded = |length: usize| {
        let mut body = b"{\"prompt\": \"\"}".to_vec();
        body.resize(length, b' ');
        body
    };
    let answer = post(padded(256 * 1024), "text/plain;charset=UTF-8").await;
    assert_eq!(answer.problem_fields(400), ["prompt"]);

    let answer = post(padded(256 * 1024 + 1), "application/json").await;
    assert_eq!(answer.problem_fields(413), ["body"]);
    assert_eq!(answer.body["code"], "body-too-large");
    // More than API Gateway itself takes.
    let answer = post(padded(11 * 1024 * 1024), "application/json").await;
    answer.problem_fields(413);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_parameters_are_checked_and_named() {
    let world = World::start(&[]).await;
    let lists = [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=201", "limit"),
        ("limit=9999", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("offset=-1", "offset"),
        ("offset=1.5", "offset"),
        ("offset=9223372036854775808", "offset"),
        ("offset=%00", "offset"),
        ("cursor=here", "cursor"),
        ("cursor=%00", "cursor"),
        ("limti=5", "limti"),
    ];
    let of_images = [
        ("dataset_id=7", "dataset_id"),
        ("dataset_id=%27", "dataset_id"),
    ];
    let of_runs = [("status=done", "status"), ("status=%00", "status")];
    let cases = lists
        .iter()
        .flat_map(|(query, field)| {
            let path = |list: &str| (format!("{list}?{query}"), *field);
            [path("/ai/generated-images"), path("/ai/runs")]
        })
        .chain(of_images.map(|(query, field)| (format!("/ai/generated-images?{query}"), field)))
        .chain(of_runs.map(|(query, field)| (format!("/ai/runs?{query}"), field)))
        .chain(
            ["after=-1", "after=x", "after=99999999999", "after=%00"]
                .map(|query| (format!("/ai/runs/{RUN}/events?{query}"), "after")),
        );
    for (path, field) in cases {
        let answer = world.get(&path).await;
        assert_eq!(answer.problem_fields(400), [field], "{path}");
    }
    let several = world
        .get("/ai/generated-images?limit=0&offset=-1&dataset_id=7&cursor=7&sort=asc")
        .await;
    let mut fields = several.problem_fields(400);
    fields.sort();
    assert_eq!(fields, ["cursor", "dataset_id", "limit", "offset", "sort"]);

    for id in [
        "7",
        "5f0c6f0e",
        "%00",
        "..%2f..",
        "%F0%9F%9A%B2",
        "' or 1=1",
    ] {
        for (method, path, field) in [
            (
                Method::GET,
                format!("/ai/generated-images/{id}"),
                "image_id",
            ),
            (Method::GET, format!("/ai/runs/{id}"), "run_id"),
            (Method::GET, format!("/ai/runs/{id}/events"), "run_id"),
            (Method::POST, format!("/ai/runs/{id}/cancel"), "run_id"),
        ] {
            let answer = send(world.user(method, &path)).await;
            assert_eq!(answer.problem_fields(400), [field], "{path}");
        }
    }
    for (method, path, status) in [
        (Method::GET, "/ai/generate", 404),
        (Method::DELETE, "/ai/generated-images", 404),
        (Method::GET, "/ai/nothing", 404),
        (Method::GET, "/", 404),
    ] {
        send(world.user(method, path)).await.problem_fields(status);
    }

    // The ends of what is allowed.
    for query in [
        "limit=1",
        "limit=200",
        "offset=0",
        "offset=9223372036854775807",
        "limit=200&offset=9223372036854775807",
    ] {
        for list in ["/ai/generated-images", "/ai/runs"] {
            let answer = world.get(&format!("{list}?{query}")).await;
            assert_eq!(answer.status, 200, "{list}?{query} {answer:#?}");
        }
    }
    let upper = world.get(&format!("/ai/runs/{}", RUN.to_uppercase())).await;
    assert_eq!(upper.problem_fields(404), ["run_id"]);
}
