//! Images made of others.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, World, send},
    site::{Page, png, site},
};

impl World {
    /// `POST /ai/edit` by the test user.
    pub(crate) async fn edit(&self, body: Value) -> Answer {
        send(self.user(Method::POST, "/ai/edit").body(body.to_string())).await
    }

    /// An image of the test user; its answer.
    pub(crate) async fn picture(&self, aspect_ratio: &str) -> Value {
        let asked = json!({"prompt": "a street", "resolution": "1K", "aspect_ratio": aspect_ratio});
        let answer = self.generate(asked).await;
        assert_eq!(answer.status, 200, "{answer:#?}");
        answer.body
    }

    /// The latest call of the image vendor.
    pub(crate) async fn last_call(&self) -> Value {
        self.openai_calls().await.pop().unwrap()
    }

    async fn family(&self, id: &str) -> (Vec<String>, Vec<String>) {
        let answer = self
            .get(&format!("/ai/generated-images/{id}?lineage=true"))
            .await;
        assert_eq!(answer.status, 200, "{answer:#?}");
        let ids = |name: &str| {
            let records = answer.body["lineage"][name].as_array().unwrap().iter();
            records
                .map(|record| record["id"].as_str().unwrap().to_owned())
                .collect()
        };
        (ids("ancestors"), ids("descendants"))
    }
}

fn id_of(image: &Value) -> String {
    image["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_a_run_like_any_other_and_points_to_its_parent() {
    let world = World::start(&[]).await;
    let parent = world.picture("16:9").await;
    let asked = json!({"instruction": "make it night", "image_id": parent["id"], "resolution": "1K", "style": "woodcut"});
    let answer = world.edit(asked).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    let edit = &answer.body;
    assert_eq!(edit["parent_image_id"], parent["id"]);
    assert_eq!(edit["caption"], "make it night");
    assert_eq!(edit["prompt_used"], "make it night. STYLE: woodcut");
    // An own image keeps its shape unless another is asked for.
    assert_eq!(edit["aspect_ratio"], "16:9");
    assert_eq!(
        (
            &edit["width"],
            &edit["height"],
            &edit["reference_images_count"]
        ),
        (&json!(1376), &json!(768), &json!(0))
    );
    for field in parent.as_object().unwrap().keys() {
        assert!(edit.get(field).is_some(), "{field}");
    }
    let bytes = world.fetch(edit["image_url"].as_str().unwrap()).await;
    let picture = image::load_from_memory(&bytes).unwrap();
    assert_eq!((picture.width(), picture.height()), (1376, 768));

    let run = world
        .get(&format!("/ai/runs/{}", edit["run_id"].as_str().unwrap()))
        .await
        .body;
    assert_eq!(
        (&run["mode"], &run["status"], &run["parent_image_id"]),
        (&json!("edit"), &json!("succeeded"), &parent["id"])
    );
    assert_eq!(run["options"]["sources"][0]["image_id"], parent["id"]);
    let call = world.last_call().await;
    assert_eq!(call["path"], "/images/edits");
    let sent = &call["fields"]["image"];
    assert_eq!(sent["content_type"], "image/png", "{call:#}");
    let original = world.fetch(parent["image_url"].as_str().unwrap()).await;
    assert_eq!(sent["bytes"], original.len());

    let log = world
        .get(&format!(
            "/ai/runs/{}/events",
            edit["run_id"].as_str().unwrap()
        ))
        .await
        .body;
    assert_eq!(log["events"][0]["data"]["mode"], "edit", "{log:#}");
    assert_eq!(log["events"].as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_family_of_an_image_is_told_above_and_below_it() {
    let world = World::start(&[]).await;
    let root = world.picture("1:1").await;
    let mut ids = vec![id_of(&root)];
    for parent in [0, 0, 1] {
        let asked = json!({"instruction": "more", "image_id": ids[parent], "resolution": "1K"});
        ids.push(id_of(&world.edit(asked).await.body));
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(
        world.family(ids[0]).await,
        (vec![], vec![ids[1].into(), ids[2].into(), ids[3].into()])
    );
    assert_eq!(
        world.family(ids[1]).await,
        (vec![ids[0].into()], vec![ids[3].into()])
    );
    assert_eq!(
        world.family(ids[3]).await,
        (vec![ids[1].into(), ids[0].into()], vec![])
    );
    let plain = world.get(&format!("/ai/generated-images/{}", ids[0])).await;
    assert!(plain.body.get("lineage").is_none());
    let path = format!("/ai/generated-images/{}?lineage=perhaps", ids[0]);
    assert_eq!(world.get(&path).await.problem_fields(400), ["lineage"]);

    // Another user sees none of it, even below an image that has no owner.
    let anonymous = json!({"prompt": "a street", "resolution": "1K"});
    let anonymous = send(
        world
            .anonymous(Method::POST, "/ai/generate")
            .body(anonymous.to_string()),
    )
    .await
    .body;
    let asked = json!({"instruction": "more", "image_id": anonymous["id"], "resolution": "1K"});
    let below = world.edit(asked).await;
    assert_eq!(below.status, 200, "{below:#?}");
    assert_eq!(
        world.family(&id_of(&below.body)).await,
        (vec![id_of(&anonymous)], vec![])
    );
    let path = format!("/ai/generated-images/{}?lineage=true", id_of(&anonymous));
    for request in [
        world.other_user(Method::GET, &path),
        world.anonymous(Method::GET, &path),
    ] {
        let answer = send(request).await;
        assert_eq!(
            answer.body["lineage"],
            json!({"ancestors": [], "descendants": []})
        );
    }
    let path = format!("/ai/generated-images/{}?lineage=true", ids[1]);
    send(world.other_user(Method::GET, &path))
        .await
        .problem_fields(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_images_and_a_mask_go_with_one_request() {
    let world = World::start(&[]).await;
    let site = site([
        ("/picture", Page::of(png(64, 48))),
        ("/mask", Page::of(png(64, 48))),
        ("/again", Page::redirect("/picture")),
    ])
    .await;
    let own = world.picture("1:1").await;
    let images = json!([format!("{site}/again"), own["id"], {"image_url": own["image_url"]}, {"image_id": own["id"]}]);
    let asked = json!({"instruction": "put them together", "images": images, "mask_url": format!("{site}/mask"), "resolution": "1K", "format": "webp"});
    let answer = world.edit(asked).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(answer.body["parent_image_id"], own["id"]);
    let call = world.last_call().await;
    let sent = call["fields"]["image[]"].as_array().unwrap();
    assert_eq!(sent.len(), 4, "{call:#}");
    assert!(sent.iter().all(|part| part["content_type"] == "image/png"));
    assert!(call["fields"].get("image").is_none());
    assert_eq!(call["fields"]["mask"]["content_type"], "image/png");

    // A mask of another size is refused before anything is paid for.
    let asked = json!({"instruction": "x", "image_id": own["id"], "mask_url": format!("{site}/mask"), "resolution": "1K"});
    let answer = world.edit(asked).await;
    assert_eq!(
        answer.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{answer:#?}"
    );
    assert_eq!(answer.body["code"], "invalid_image_file");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_loaded_ends_the_run_unpaid_and_says_which_image_it_was() {
    let world = World::start(&[("USER_DAILY_IMAGES", "1")]).await;
    let site = site([
        ("/page", Page::of("<html></html>")),
        ("/half", Page::of(png(64, 48).split_off(100))),
        ("/broken", Page::status(500)),
        (
            "/inside",
            Page::redirect("http://169.254.169.254/latest/meta-data/"),
        ),
        ("/private", Page::redirect("https://10.0.0.1/")),
        ("/round", Page::redirect("/round")),
        ("/large", Page::of(vec![0; 20_000_001])),
        ("/picture", Page::of(png(64, 48))),
    ])
    .await;
    let nobody = "http://127.0.0.1:1/";
    let cases = [
        (format!("{site}/nothing"), "source_not_found"),
        (format!("{site}/page"), "source_not_an_image"),
        (format!("{site}/half"), "source_not_an_image"),
        (format!("{site}/broken"), "source_not_found"),
        (format!("{site}/inside"), "source_url_refused"),
        (format!("{site}/private"), "source_url_refused"),
        (format!("{site}/round"), "source_url_refused"),
        (format!("{site}/large"), "source_too_large"),
        (nobody.to_owned(), "source_unreachable"),
        (
            format!(
                "{}/object/public/generated-images/generated/none.png",
                world.stack.ready().storage_url
            ),
            "source_not_found",
        ),
    ];
    for (url, code) in cases {
        let images = json!([format!("{site}/picture"), url]);
        let answer = world
            .edit(json!({"instruction": "x", "images": images, "resolution": "1K"}))
            .await;
        assert_eq!(answer.status, 422, "{url} {answer:#?}");
        assert_eq!(answer.body["code"], code, "{url} {answer:#?}");
        let message = answer.body["error_message"].as_str().unwrap();
        assert!(message.contains("images[1]"), "{message}");
        let run_id = answer.body["run_id"].as_str().unwrap();
        let run = world.get(&format!("/ai/runs/{run_id}")).await.body;
        assert_eq!(
            (&run["status"], &run["attempts"], &run["cost_usd"]),
            (&json!("failed"), &json!([]), &json!(0.0)),
            "{run:#}"
        );
    }
    let answer = world
        .edit(json!({"instruction": "x", "image_url": format!("{site}/picture"), "mask_url": format!("{site}/page")}))
        .await;
    assert_eq!(answer.body["code"], "source_not_an_image");
    assert!(
        answer.body["error_message"]
            .as_str()
            .unwrap()
            .contains("mask_url")
    );
    assert!(world.openai_calls().await.is_empty());
    // None of these has used up the day's one image.
    let url = format!("{site}/picture");
    let answer = world
        .edit(json!({"instruction": "x", "image_url": url, "resolution": "1K"}))
        .await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(answer.body["aspect_ratio"], "1:1");
    assert!(
        answer
            .body
            .get("parent_image_id")
            .is_none_or(Value::is_null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn this_machine_is_out_of_reach_unless_a_setting_says_otherwise() {
    let world = World::start(&[("FETCH_ALLOW_LOCAL", "off")]).await;
    for url in [
        "http://127.0.0.1:9000/a.png",
        "https://127.0.0.1/a.png",
        "https://2130706433/",
        "https://[::ffff:10.0.0.1]/",
        "http://example.com/a.png",
        "file:///etc/passwd",
    ] {
        let answer = world
            .edit(json!({"instruction": "x", "image_url": url}))
            .await;
        assert_eq!(answer.problem_fields(400), ["image_url"], "{url}");
        let answer = world
            .edit(json!({"instruction": "x", "images": [{"image_url": url}], "mask_url": url}))
            .await;
        assert_eq!(
            answer.problem_fields(400),
            ["images[0].image_url", "mask_url"]
        );
    }
    // Only the look-up tells where a name leads; then it is the run that says so.
    let answer = world
        .edit(json!({"instruction": "x", "image_url": "https://localhost/a.png"}))
        .await;
    assert_eq!(answer.status, 422, "{answer:#?}");
    assert_eq!(answer.body["code"], "source_url_refused");
    // Our own bucket needs no fetching.
    let own = world.picture("1:1").await;
    let asked = json!({"instruction": "x", "image_id": own["id"], "resolution": "1K"});
    assert_eq!(world.edit(asked).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_and_foreign_images() {
    let world = World::start(&[]).await;
    let id = "5f0c6f0e-8f1d-4c39-a5e4-52d94a9dfb1e";
    let long = "x".repeat(32_001);
    let bad: [(Value, &[&str]); 10] = [
        (json!({}), &["instruction", "image_id"]),
        (
            json!({"instruction": " ", "image_id": id}),
            &["instruction"],
        ),
        (
            json!({"instruction": long, "image_id": id}),
            &["instruction"],
        ),
        (
            json!({"prompt": "x", "image_id": id}),
            &["prompt", "instruction"],
        ),
        (json!({"instruction": "x", "image_id": "1"}), &["image_id"]),
        (
            json!({"instruction": "x", "image_id": id, "image_url": "https://example.com/"}),
            &["image_url"],
        ),
        (json!({"instruction": "x", "images": []}), &["images"]),
        (
            json!({"instruction": "x", "images": [id, 7], "mask_id": "x"}),
            &["images[1]", "mask_id"],
        ),
        (
            json!({"instruction": "x", "image_id": id, "quality": "best", "format": "gif", "resolution": "8K", "aspect_ratio": "2:1"}),
            &["aspect_ratio", "quality", "format", "resolution"],
        ),
        (
            json!({"instruction": "x", "image_id": id, "dataset_id": 7, "metadata": []}),
            &["dataset_id", "metadata"],
        ),
    ];
    for (body, fields) in bad {
        assert_eq!(
            world.edit(body.clone()).await.problem_fields(400),
            fields,
            "{body}"
        );
    }
    let answer = send(world.user(Method::POST, "/ai/edit").body("{")).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["code"]),
        (400, &json!("malformed-json"))
    );
    send(
        world
            .anonymous(Method::POST, "/ai/edit")
            .bearer_auth("x.y.z")
            .body("{}"),
    )
    .await
    .problem_fields(401);

    let own = world.picture("1:1").await;
    let foreign = [
        (json!({"instruction": "x", "image_id": id}), "image_id"),
        (
            json!({"instruction": "x", "image_id": own["id"]}),
            "image_id",
        ),
        (
            json!({"instruction": "x", "images": ["https://example.com/", own["id"]]}),
            "images[1]",
        ),
        (
            json!({"instruction": "x", "images": [{"image_id": own["id"]}]}),
            "images[0].image_id",
        ),
        (
            json!({"instruction": "x", "image_url": "https://example.com/", "mask_id": own["id"]}),
            "mask_id",
        ),
        (
            json!({"instruction": "x", "image_url": "https://example.com/", "dataset_id": id}),
            "dataset_id",
        ),
    ];
    for (body, field) in foreign {
        for request in [
            world.other_user(Method::POST, "/ai/edit"),
            world.anonymous(Method::POST, "/ai/edit"),
        ] {
            let answer = send(request.body(body.to_string())).await;
            assert_eq!(answer.problem_fields(404), [field], "{body}");
        }
    }
}
