//! Making an image again: a new run with the saved settings, but for what the request says.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, World, send},
    site::{Page, png, site},
};

fn path_of(image: &Value) -> String {
    format!(
        "/ai/generated-images/{}/regenerate",
        image["id"].as_str().unwrap()
    )
}

impl World {
    /// Makes an image of the test user's again.
    async fn again(&self, image: &Value, body: Value) -> Answer {
        let request = self.user(Method::POST, &path_of(image));
        send(request.body(body.to_string())).await
    }

    /// The run that made an image.
    async fn run_of(&self, image: &Value) -> Value {
        self.row(image["run_id"].as_str().unwrap()).await
    }
}

/// A request in which nothing is left at its default.
fn everything(dataset: &str) -> Value {
    json!({
        "prompt": "a lighthouse", "dataset_id": dataset, "style": "woodcut", "aspect_ratio": "4:3", "quality": "high",
        "format": "webp", "resolution": "1K", "model": "gpt-image-2", "background": "opaque", "asset_kind": "hero-banner",
        "metadata": {"page": {"id": 7, "title": null}}, "retry_unknown": true,
    })
}

async fn dataset(world: &World) -> String {
    let body = json!({"name": "Shops", "brand": "Coffee Co", "vibe": "cozy", "unique_visual_elements": ["brick"]});
    let request = world.user(Method::POST, "/ai/datasets");
    let answer = send(request.body(body.to_string())).await;
    assert_eq!(answer.status, 201, "{answer:#?}");
    answer.body["id"].as_str().unwrap().to_owned()
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
async fn an_edit_is_edited_again_from_its_own_images_and_mask() {
    let world = World::start(&[]).await;
    let site = site([
        ("/picture", Page::of(png(1024, 1024))),
        ("/mask", Page::of(png(1024, 1024))),
    ])
    .await;
    let own = world.picture("1:1").await;
    let asked = json!({
        "instruction": "make it night", "images": [own["id"], format!("{site}/picture")], "mask_url": format!("{site}/mask"),
        "aspect_ratio": "3:2", "resolution": "1K", "style": "woodcut",
    });
    let edit = world.edit(asked).await;
    assert_eq!(edit.status, 200, "{edit:#?}");
    let edit = edit.body;
    let call = world.last_call().await;
    let again = world.again(&edit, json!({"style": null})).await;
    assert_eq!(again.status, 200, "{again:#?}");
    assert_eq!(
        (&again.body["parent_image_id"], &again.body["prompt_used"]),
        (&edit["id"], &json!("make it night"))
    );
    assert_eq!(again.body["aspect_ratio"], "3:2");
    let repeated = world.last_call().await;
    assert_eq!(repeated["path"], "/images/edits");
    for part in ["image[]", "mask"] {
        assert_eq!(repeated["fields"][part], call["fields"][part], "{part}");
    }
    let (run, row) = (world.run_of(&edit).await, world.run_of(&again.body).await);
    for place in ["sources", "mask", "resolution"] {
        assert_eq!(row["options"][place], run["options"][place], "{place}");
    }
    assert_eq!(row["mode"], "edit");

    let other = world
        .again(&edit, json!({"instruction": "make it day"}))
        .await;
    assert_eq!(other.body["caption"], "make it day", "{other:#?}");
    let answer = world.again(&edit, json!({"prompt": "x"})).await;
    assert_eq!(answer.problem_fields(400), ["prompt"]);
    let long = json!({"instruction": "x".repeat(32_000), "style": "woodcut"});
    let answer = world.again(&edit, long).await;
    assert_eq!(answer.problem_fields(400), ["instruction"]);

    // One of the images it was made of is gone: there is nothing to edit, and nothing to pay.
    let path = format!("/ai/generated-images/{}", own["id"].as_str().unwrap());
    assert_eq!(send(world.user(Method::DELETE, &path)).await.status, 204);
    let calls = world.openai_calls().await.len();
    let answer = world.again(&edit, json!({})).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["code"]),
        (422, &json!("source_not_found")),
        "{answer:#?}"
    );
    assert_eq!(world.openai_calls().await.len(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dataset_is_drawn_on_as_it_is_now_or_not_at_all() {
    let world = World::start(&[]).await;
    let dataset = dataset(&world).await;
    let asked = json!({"prompt": "a corner", "dataset_id": dataset, "resolution": "1K"});
    let image = world.generate(asked).await.body;
    let path = format!("/ai/datasets/{dataset}");
    let change = json!({"vibe": "loud"}).to_string();
    let changed = send(world.user(Method::PATCH, &path).body(change)).await;
    assert_eq!(changed.status, 200);
    let again = world.again(&image, json!({})).await;
    assert_eq!(
        again.body["prompt_used"],
        "Brand: Coffee Co. Vibe: loud. UNIQUE ELEMENTS: brick. SCENE: a corner",
        "{again:#?}"
    );

    // Of somebody else's now, or gone.
    let other_user = &world.stack.ready().other_user.id;
    for sql in [
        format!("update datasets set user_id = '{other_user}' where id = '{dataset}'"),
        format!("delete from datasets where id = '{dataset}'"),
    ] {
        world.rows(&sql).await;
        let again = world.again(&image, json!({})).await;
        assert_eq!(again.status, 200, "{again:#?}");
        assert_eq!(
            (&again.body["prompt_used"], &again.body["dataset_id"]),
            (&json!("a corner"), &Value::Null)
        );
        let answer = world.again(&image, json!({"dataset_id": dataset})).await;
        assert_eq!(answer.problem_fields(404), ["dataset_id"]);
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn one_makes_again_what_one_may_see() {
    let world = World::start(&[]).await;
    let image = world.picture("1:1").await;
    let ownerless = world.ownerless_picture().await;
    for request in [
        world.other_user(Method::POST, &path_of(&image)),
        world.anonymous(Method::POST, &path_of(&image)),
    ] {
        let answer = send(request).await;
        assert_eq!(answer.problem_fields(404), ["image_id"]);
        assert!(!answer.body.to_string().contains("street"));
    }
    let user = json!(world.stack.ready().user.id);
    for (request, owner) in [
        (world.user(Method::POST, &path_of(&ownerless)), user),
        (
            world.anonymous(Method::POST, &path_of(&ownerless)),
            Value::Null,
        ),
    ] {
        let answer = send(request).await;
        assert_eq!(answer.status, 200, "{answer:#?}");
        assert_eq!(answer.body["parent_image_id"], ownerless["id"]);
        assert_eq!(world.run_of(&answer.body).await["owner_user_id"], owner);
    }
    let world = World::start(&[("ANONYMOUS_GENERATION", "off")]).await;
    let answer = send(world.anonymous(Method::POST, &path_of(&ownerless))).await;
    answer.problem_fields(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_keys_and_quotas_are_as_for_any_image() {
    let world = World::start(&[("USER_DAILY_IMAGES", "4")]).await;
    let image = world.picture("1:1").await;
    let other = world.picture("1:1").await;
    let ask = |image: &Value, body: &'static str| {
        let request = world.user(Method::POST, &path_of(image));
        request.header("idempotency-key", "k").body(body)
    };
    let asynchronously = |request: RequestBuilder| send(request.header("prefer", "respond-async"));
    let accepted = asynchronously(ask(&image, "")).await;
    assert_eq!(accepted.status, 202, "{accepted:#?}");
    assert_eq!(accepted.header("preference-applied"), "respond-async");
    let run = accepted.body["run_id"].as_str().unwrap();
    assert!(
        accepted
            .header("location")
            .ends_with(&format!("/ai/runs/{run}"))
    );
    let ended = world.ended(run).await;
    assert_eq!(
        (&ended["status"], &ended["parent_image_id"]),
        (&json!("succeeded"), &image["id"])
    );

    // The key stands for this image and this body, however they are spelled.
    for body in ["", "{}", " {\n}"] {
        let answer = send(ask(&image, body)).await;
        assert_eq!(answer.status, 200, "{answer:#?}");
        assert_eq!(answer.body["run_id"], run);
        assert_eq!(answer.body["parent_image_id"], image["id"]);
    }
    for request in [
        ask(&other, ""),
        ask(&image, r#"{"quality": "low"}"#),
        world
            .user(Method::POST, "/ai/generate")
            .header("idempotency-key", "k")
            .body(r#"{"prompt": "x"}"#),
    ] {
        let answer = send(request).await;
        answer.problem_fields(422);
        assert_eq!(answer.body["code"], "idempotency-key-reused");
    }

    // Two pictures and one made again; a fourth, and no fifth.
    assert_eq!(world.again(&image, json!({})).await.status, 200);
    let answer = world.again(&image, json!({})).await;
    answer.problem_fields(429);
    assert_eq!(answer.body["code"], "quota-exceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_once_is_tried_again_and_what_is_refused_is_told() {
    let world = World::start(&[("RETRY_DELAYS_MS", "0,10")]).await;
    let image = world.picture("1:1").await;
    let script = [
        json!({"status": 500}),
        json!({}),
        json!({"status": 400, "code": "moderation_blocked"}),
    ];
    world.openai(json!({"script": script})).await;
    let again = world.again(&image, json!({})).await;
    assert_eq!(again.status, 200, "{again:#?}");
    let row = world.run_of(&again.body).await;
    assert_eq!(row["attempts"].as_array().unwrap().len(), 2);
    let refused = world.again(&image, json!({})).await;
    refused.problem_fields(422);
    assert_eq!(refused.body["code"], "moderation_blocked");
    assert!(refused.body["run_id"].is_string());
}
