//! Making an image again: what it is made of, by whom, and how its run goes. What it is made with is in `regenerating_settings.rs`.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, World, send},
    site::{Page, png, site},
};

/// Where an image is made again.
pub(crate) fn path_of(image: &Value) -> String {
    format!(
        "/ai/generated-images/{}/regenerate",
        image["id"].as_str().unwrap()
    )
}

impl World {
    /// Makes an image of the test user's again.
    pub(crate) async fn again(&self, image: &Value, body: Value) -> Answer {
        let request = self.user(Method::POST, &path_of(image));
        send(request.body(body.to_string())).await
    }

    /// The run that made an image.
    pub(crate) async fn run_of(&self, image: &Value) -> Value {
        self.row(image["run_id"].as_str().unwrap()).await
    }
}

/// A dataset of the test user's.
pub(crate) async fn dataset(world: &World) -> String {
    let body = json!({"name": "Shops", "brand": "Coffee Co", "vibe": "cozy", "unique_visual_elements": ["brick"]});
    let request = world.user(Method::POST, "/ai/datasets");
    let answer = send(request.body(body.to_string())).await;
    assert_eq!(answer.status, 201, "{answer:#?}");
    answer.body["id"].as_str().unwrap().to_owned()
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
