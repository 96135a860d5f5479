//! Making an image again: the saved settings, and others in their place.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{World, send},
    regenerating::{dataset, path_of},
};

/// A request in which nothing is left at its default.
fn everything(dataset: &str) -> Value {
    json!({
        "prompt": "a lighthouse", "dataset_id": dataset, "style": "woodcut", "aspect_ratio": "4:3", "quality": "high",
        "format": "webp", "resolution": "1K", "model": "gpt-image-2", "background": "opaque", "asset_kind": "hero-banner",
        "metadata": {"page": {"id": 7, "title": null}}, "retry_unknown": true,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_made_again_with_everything_that_was_saved() {
    let world = World::start(&[("USER_DAILY_IMAGES", "10")]).await;
    let dataset = dataset(&world).await;
    let first = world.generate(everything(&dataset)).await;
    assert_eq!(first.status, 200, "{first:#?}");
    let first = first.body;
    let run = world.run_of(&first).await;
    // No body, an empty one, and one that says nothing: all the same.
    for body in ["", "  ", "{}"] {
        let request = world.user(Method::POST, &path_of(&first)).body(body);
        let answer = send(request).await;
        assert_eq!(answer.status, 200, "{body:?} {answer:#?}");
        assert!(answer.header("ratelimit").contains("daily"));
        let again = answer.body;
        assert_eq!(again["parent_image_id"], first["id"]);
        for (field, value) in first.as_object().unwrap() {
            let same = again[field] == *value;
            let new = ["id", "image_url", "run_id", "created_at"].contains(&field.as_str());
            assert_eq!(same, !new, "{field}: {again:#}");
        }
        let row = world.run_of(&again).await;
        for column in [
            "mode",
            "asset_kind",
            "user_prompt",
            "resolved_prompt",
            "style_preset",
            "model",
            "options",
            "dataset_id",
            "owner_user_id",
        ] {
            assert_eq!(row[column], run[column], "{column}");
        }
        // Whether something may be paid for twice is said each time.
        assert_eq!(
            (&run["retry_unknown"], &row["retry_unknown"]),
            (&json!(true), &json!(false))
        );
        let record = world.records(again["run_id"].as_str().unwrap()).await;
        assert_eq!(record[0]["parent_image_id"], first["id"]);
    }
    let calls = world.openai_calls().await;
    assert_eq!(calls.len(), 4);
    for call in &calls {
        assert_eq!(call["fields"], calls[0]["fields"]);
    }
    let family = format!(
        "/ai/generated-images/{}?lineage=true",
        first["id"].as_str().unwrap()
    );
    let family = world.get(&family).await.body;
    assert_eq!(
        family["lineage"]["descendants"].as_array().unwrap().len(),
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_setting_can_be_another() {
    let world = World::start(&[]).await;
    let (before, other) = (dataset(&world).await, dataset(&world).await);
    let first = world.generate(everything(&before)).await.body;
    let run = world.run_of(&first).await;
    // The field, its value, where the run's row has it, and what is there then.
    let table = [
        ("prompt", json!("a mill"), "/user_prompt", json!("a mill")),
        ("dataset_id", json!(other), "/dataset_id", json!(other)),
        ("dataset_id", Value::Null, "/dataset_id", Value::Null),
        ("style", json!("etching"), "/style_preset", json!("etching")),
        ("style", Value::Null, "/style_preset", Value::Null),
        (
            "aspect_ratio",
            json!("1:1"),
            "/options/aspect_ratio",
            json!("1:1"),
        ),
        ("quality", json!("low"), "/options/quality", json!("low")),
        (
            "quality",
            Value::Null,
            "/options/quality",
            json!("standard"),
        ),
        ("format", json!("jpeg"), "/options/format", json!("jpg")),
        (
            "resolution",
            json!("2K"),
            "/options/resolution",
            json!("2K"),
        ),
        ("model", Value::Null, "/options/model_named", json!(false)),
        (
            "background",
            json!("transparent"),
            "/options/background",
            json!("transparent"),
        ),
        ("asset_kind", json!("icon"), "/asset_kind", json!("icon")),
        (
            "metadata",
            json!({"b": 1}),
            "/options/metadata",
            json!({"b": 1}),
        ),
        ("metadata", Value::Null, "/options/metadata", json!({})),
        ("retry_unknown", json!(true), "/retry_unknown", json!(true)),
    ];
    let saved = [
        "/user_prompt",
        "/dataset_id",
        "/style_preset",
        "/options/aspect_ratio",
        "/options/quality",
        "/options/format",
        "/options/resolution",
        "/options/model_named",
        "/options/background",
        "/asset_kind",
        "/options/metadata",
    ];
    for (field, value, place, expected) in table {
        let mut body = json!({});
        body[field] = value.clone();
        let answer = world.again(&first, body).await;
        assert_eq!(answer.status, 200, "{field} {value} {answer:#?}");
        let row = world.run_of(&answer.body).await;
        assert_eq!(row.pointer(place), Some(&expected), "{field} {value}");
        for other in saved.iter().filter(|other| **other != place) {
            assert_eq!(row.pointer(other), run.pointer(other), "{field} {other}");
        }
        let words = row["resolved_prompt"].as_str().unwrap();
        assert_eq!(words.contains("a mill"), field == "prompt", "{words}");
        let without = field == "dataset_id" && value.is_null();
        assert_eq!(words.contains("Coffee Co"), !without, "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_do_not_fit_together_are_refused_by_name() {
    let world = World::start(&[]).await;
    let asked = json!({"prompt": "a cup", "resolution": "1K", "background": "transparent"});
    let image = world.generate(asked).await.body;
    let calls = world.openai_calls().await.len();
    let table = [
        (json!({"format": "jpg"}), vec!["background"], "saved value"),
        (
            json!({"format": "jpg", "background": "transparent"}),
            vec!["background"],
            "jpg",
        ),
        (json!({"quality": "max"}), vec!["quality"], "gpt-image-2"),
        (
            json!({"promt": "a mug", "resolution": "8K"}),
            vec!["promt", "resolution"],
            "did you mean prompt",
        ),
        (
            json!({"instruction": "x"}),
            vec!["instruction"],
            "made with prompt",
        ),
        (
            json!({"image_id": image["id"]}),
            vec!["image_id"],
            "not a known field",
        ),
        (json!({"prompt": null}), vec!["prompt"], "required"),
        (json!({"prompt": " "}), vec!["prompt"], "empty"),
        (json!([]), vec!["body"], "object"),
        (json!({"dataset_id": "x"}), vec!["dataset_id"], "UUID"),
    ];
    for (body, fields, words) in table {
        let answer = world.again(&image, body.clone()).await;
        assert_eq!(answer.problem_fields(400), fields, "{body}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{body} {detail}");
        if body == json!({"format": "jpg", "background": "transparent"}) {
            assert!(!detail.contains("saved"), "{detail}");
        }
    }
    let request = world.user(Method::POST, &path_of(&image)).body("{");
    assert_eq!(send(request).await.body["code"], "malformed-json");
    let request = world.user(Method::POST, &path_of(&image));
    let request = request
        .header("idempotency-key", "")
        .header("cancel-after", "soon");
    assert_eq!(
        send(request).await.problem_fields(400),
        ["Idempotency-Key", "Cancel-After"]
    );
    let gone = "5f0c6f0e-8f1d-4c39-a5e4-52d94a9dfb1e";
    let answer = world.again(&image, json!({"dataset_id": gone})).await;
    assert_eq!(answer.problem_fields(404), ["dataset_id"]);
    let answer = world.again(&json!({"id": gone}), json!({})).await;
    assert_eq!(answer.problem_fields(404), ["image_id"]);
    let answer = world.again(&json!({"id": "1"}), json!({})).await;
    assert_eq!(answer.problem_fields(400), ["image_id"]);
    let path = format!("{}?prompt=x", path_of(&image));
    let answer = send(world.user(Method::POST, &path)).await;
    assert_eq!(answer.problem_fields(400), ["prompt"]);
    assert_eq!(world.openai_calls().await.len(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_record_without_a_run_its_own_columns_count() {
    let world = World::start(&[]).await;
    let user = &world.stack.ready().user.id;
    let insert = async |columns: &str, values: &str| {
        let sql = format!(
            "insert into generated_images (user_id, prompt, {columns}) values ('{user}', 'an old mill', {values}) returning id::text"
        );
        json!({"id": world.value(&sql).await.unwrap()})
    };
    let old = insert(
        "image_url, style, aspect_ratio, quality, format, resolution, asset_kind, model",
        "'https://example.com/old.png', 'woodcut', '16:9', 'hd', 'jpg', '1K', 'icon', 'dall-e-3'",
    )
    .await;
    let again = world.again(&old, json!({})).await;
    assert_eq!(again.status, 200, "{again:#?}");
    let made = &again.body;
    assert_eq!(
        json!([
            made["caption"],
            made["style"],
            made["aspect_ratio"],
            made["quality"],
            made["format"],
            made["resolution"],
            made["parent_image_id"]
        ]),
        json!([
            "an old mill",
            "woodcut",
            "16:9",
            "hd",
            "jpg",
            "1K",
            old["id"]
        ])
    );
    assert_eq!(world.run_of(made).await["asset_kind"], "icon");

    let bare = insert("style", "''").await;
    let again = world.again(&bare, json!({"resolution": "1K"})).await;
    assert_eq!(
        (&again.body["quality"], &again.body["aspect_ratio"]),
        (&json!("standard"), &json!("1:1")),
        "{again:#?}"
    );

    // A word of its own that nobody knows here.
    let strange = insert("quality, resolution", "'ultra', '1K'").await;
    let answer = world.again(&strange, json!({})).await;
    assert_eq!(answer.problem_fields(400), ["quality"]);
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains("ultra") && detail.contains("saved value"));
    let answer = world.again(&strange, json!({"quality": "low"})).await;
    assert_eq!(answer.status, 200, "{answer:#?}");

    // An edit of which only the parent is known, and one of which nothing is.
    let parent = world.picture("1:1").await["id"].clone();
    let parent = parent.as_str().unwrap();
    let edit = insert(
        "mode, parent_image_id, resolution",
        &format!("'edit', '{parent}', '1K'"),
    )
    .await;
    let again = world.again(&edit, json!({})).await;
    assert_eq!(again.status, 200, "{again:#?}");
    assert_eq!(again.body["parent_image_id"], edit["id"]);
    let row = world.run_of(&again.body).await;
    assert_eq!(row["options"]["sources"][0]["image_id"], parent);
    let edit = insert("mode", "'edit'").await;
    let answer = world.again(&edit, json!({})).await;
    answer.problem_fields(422);
    assert_eq!(answer.body["code"], "sources-unknown");
}
