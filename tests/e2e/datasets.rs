//! Datasets: what a brand looks like goes into prompts, and its images go with requests.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, World, http_client, send},
    site::{Page, png, site},
};

impl World {
    async fn ask(&self, method: Method, path: &str, body: Value) -> Answer {
        send(self.user(method, path).body(body.to_string())).await
    }

    /// A dataset of the test user; its id.
    async fn coffee(&self) -> String {
        let body = json!({
            "name": "Shops", "brand": "Coffee Co", "vibe": "cozy", "unique_visual_elements": ["wooden tables", "pendant lights"],
        });
        let answer = self.ask(Method::POST, "/ai/datasets", body).await;
        assert_eq!(answer.status, 201, "{answer:#?}");
        answer.body["id"].as_str().unwrap().to_owned()
    }

    /// Adds an image by upload; the answer.
    async fn upload(&self, dataset: &str, bytes: Option<Vec<u8>>) -> Value {
        let path = format!("/ai/datasets/{dataset}/images");
        let answer = self
            .ask(Method::POST, &path, json!({"content_type": "image/png"}))
            .await;
        assert_eq!(answer.status, 201, "{answer:#?}");
        if let Some(bytes) = bytes {
            let url = answer.body["upload_url"].as_str().unwrap();
            let request = http_client().put(url).header("content-type", "image/png");
            let status = request.body(bytes).send().await.unwrap().status();
            assert_eq!(status, 200);
        }
        answer.body
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn datasets_are_made_listed_changed_and_deleted() {
    let world = World::start(&[]).await;
    let id = world.coffee().await;
    let path = format!("/ai/datasets/{id}");
    let shown = world.get(&path).await;
    assert_eq!(shown.status, 200);
    assert_eq!(
        shown.body["unique_visual_elements"],
        json!(["wooden tables", "pendant lights"])
    );
    assert_eq!(
        (
            &shown.body["brand"],
            &shown.body["style_guidelines"],
            &shown.body["image_count"]
        ),
        (&json!("Coffee Co"), &Value::Null, &json!(0))
    );
    assert!(!shown.header("etag").is_empty());

    let changed = world
        .ask(Method::PATCH, &path, json!({"vibe": null, "style_guidelines": "warm light", "unique_visual_elements": ["brick"]}))
        .await;
    assert_eq!(changed.status, 200, "{changed:#?}");
    assert_eq!(
        (
            &changed.body["name"],
            &changed.body["vibe"],
            &changed.body["style_guidelines"]
        ),
        (&json!("Shops"), &Value::Null, &json!("warm light"))
    );
    assert_eq!(changed.body["unique_visual_elements"], json!(["brick"]));

    for name in ["b", "c"] {
        let answer = world
            .ask(Method::POST, "/ai/datasets", json!({"name": name}))
            .await;
        assert_eq!(answer.status, 201);
        assert!(answer.header("location").ends_with(&format!(
            "/ai/datasets/{}",
            answer.body["id"].as_str().unwrap()
        )));
    }
    let first = world.get("/ai/datasets?limit=2").await;
    let names = |answer: &Answer| -> Vec<Value> {
        answer.body["datasets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|dataset| dataset["name"].clone())
            .collect()
    };
    assert_eq!(names(&first), ["c", "b"]);
    let next = first.body["next_cursor"].as_str().unwrap();
    let second = world
        .get(&format!("/ai/datasets?limit=2&cursor={next}"))
        .await;
    assert_eq!(
        (names(&second), &second.body["next_cursor"]),
        (vec![json!("Shops")], &Value::Null)
    );

    // Nobody else has them.
    let images = format!("{path}/images");
    let image = format!("{images}/{id}");
    let foreign = [
        (Method::GET, &path, Value::Null),
        (Method::PATCH, &path, json!({"name": "mine"})),
        (Method::DELETE, &path, Value::Null),
        (Method::GET, &images, Value::Null),
        (
            Method::POST,
            &images,
            json!({"image_url": "https://example.com/a.png"}),
        ),
        (Method::POST, &images, json!({"content_type": "image/png"})),
        (Method::DELETE, &images, Value::Null),
        (Method::DELETE, &image, Value::Null),
    ];
    for (method, path, body) in foreign {
        let request = world
            .other_user(method.clone(), path)
            .body(body.to_string());
        assert_eq!(
            send(request).await.problem_fields(404),
            ["dataset_id"],
            "{method} {path}"
        );
        let request = world.anonymous(method, path).body(body.to_string());
        send(request).await.problem_fields(401);
    }
    let generate = |request: reqwest::RequestBuilder| {
        send(request.body(json!({"prompt": "x", "dataset_id": id}).to_string()))
    };
    assert_eq!(
        generate(world.other_user(Method::POST, "/ai/generate"))
            .await
            .problem_fields(404),
        ["dataset_id"]
    );
    assert_eq!(
        generate(world.anonymous(Method::POST, "/ai/generate"))
            .await
            .problem_fields(404),
        ["dataset_id"]
    );

    // Bad input.
    assert_eq!(
        world
            .ask(
                Method::POST,
                "/ai/datasets",
                json!({"nmae": "x", "vibe": 7})
            )
            .await
            .problem_fields(400),
        ["nmae", "name", "vibe"]
    );
    assert_eq!(
        world
            .ask(Method::PATCH, &path, json!({"name": null}))
            .await
            .problem_fields(400),
        ["name"]
    );
    assert_eq!(
        world
            .get("/ai/datasets?limit=0&offset=-1")
            .await
            .problem_fields(400),
        ["limit", "offset"]
    );
    assert_eq!(
        world.get("/ai/datasets/1").await.problem_fields(400),
        ["dataset_id"]
    );
    assert_eq!(
        world
            .ask(Method::POST, &images, json!({}))
            .await
            .problem_fields(400),
        ["image_url"]
    );
    assert_eq!(
        world
            .ask(
                Method::POST,
                &images,
                json!({"content_type": "text/html", "bytes": 0})
            )
            .await
            .problem_fields(400),
        ["content_type", "bytes"]
    );
    assert_eq!(
        world
            .ask(Method::DELETE, &image, Value::Null)
            .await
            .problem_fields(404),
        ["image_id"]
    );

    assert_eq!(
        world.ask(Method::DELETE, &path, Value::Null).await.status,
        204
    );
    world.get(&path).await.problem_fields(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_gives_its_words_and_its_images_to_a_request() {
    let world = World::start(&[]).await;
    let dataset = world.coffee().await;
    let words = "Brand: Coffee Co. Vibe: cozy. UNIQUE ELEMENTS: wooden tables, pendant lights. SCENE: a corner";
    let asked = || json!({"prompt": "a corner", "dataset_id": dataset, "resolution": "1K"});

    // Without images it is a request without images.
    let answer = world.generate(asked()).await;
    assert_eq!(answer.body["prompt_used"], words, "{answer:#?}");
    assert_eq!(world.last_call().await["path"], "/images/generations");

    let site = site([("/shop.png", Page::of(png(80, 60)))]).await;
    let uploaded = world.upload(&dataset, Some(png(64, 48))).await;
    let path = format!("/ai/datasets/{dataset}/images");
    let one = world.generate(asked()).await;
    assert_eq!(one.body["reference_images_count"], 1, "{one:#?}");
    assert_eq!(
        one.body["prompt_used"],
        format!("{words}. REFERENCES: the last attached image shows the look to keep.")
    );
    assert_eq!(
        world.last_call().await["fields"]["image"]["content_type"],
        "image/png"
    );

    world
        .ask(
            Method::POST,
            &path,
            json!({"image_url": format!("{site}/shop.png")}),
        )
        .await;
    let unused = world.upload(&dataset, None).await;
    world
        .ask(
            Method::POST,
            &path,
            json!({"image_url": format!("{site}/gone.png")}),
        )
        .await;
    let list = world.get(&path).await;
    assert_eq!(list.body["count"], 4, "{list:#?}");
    assert_eq!(list.body["images"][0]["id"], uploaded["id"]);
    assert!(list.body["images"][0].get("upload_url").is_none());

    // Two of the four cannot be loaded: they are left out, named, and the prompt does not speak of them.
    let answer = world.generate(asked()).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    assert_eq!(answer.body["reference_images_count"], 2);
    let prompt = format!("{words}. REFERENCES: the last 2 attached images show the look to keep.");
    assert_eq!(answer.body["prompt_used"], prompt);
    let call = world.last_call().await;
    assert_eq!(call["path"], "/images/edits");
    assert_eq!(
        call["fields"]["image[]"].as_array().unwrap().len(),
        2,
        "{call:#}"
    );
    assert_eq!(call["fields"]["prompt"], prompt);
    let run = world
        .get(&format!(
            "/ai/runs/{}",
            answer.body["run_id"].as_str().unwrap()
        ))
        .await
        .body;
    assert_eq!(
        (&run["mode"], &run["resolved_prompt"]),
        (&json!("generate"), &json!(prompt))
    );
    let left_out = run["options"]["references_left_out"].as_array().unwrap();
    assert_eq!(left_out.len(), 2, "{run:#}");
    assert_eq!(left_out[0]["id"], unused["id"]);
    assert!(
        left_out
            .iter()
            .all(|reference| !reference["reason"].as_str().unwrap().is_empty())
    );
    assert_eq!(run["options"]["references"].as_array().unwrap().len(), 2);
    let record = world
        .get(&format!(
            "/ai/generated-images/{}",
            answer.body["id"].as_str().unwrap()
        ))
        .await
        .body;
    assert_eq!(
        record["unique_visual_elements"],
        json!(["wooden tables", "pendant lights"])
    );
    assert_eq!(
        (&record["reference_images_count"], &record["full_prompt"]),
        (&json!(2), &json!(prompt))
    );

    // An edit takes them along after its own image.
    let asked = json!({"instruction": "in this look", "image_id": record["id"], "dataset_id": dataset, "resolution": "1K"});
    let answer = world.edit(asked).await;
    assert_eq!(
        (
            answer.status.as_u16(),
            &answer.body["reference_images_count"]
        ),
        (200, &json!(2)),
        "{answer:#?}"
    );
    assert_eq!(
        world.last_call().await["fields"]["image[]"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(answer.body["parent_image_id"], record["id"]);

    // One image is deleted with its object, then all of them.
    let image = format!("{path}/{}", uploaded["id"].as_str().unwrap());
    assert_eq!(
        world.ask(Method::DELETE, &image, Value::Null).await.status,
        204
    );
    let object = world.stack.supabase().unwrap().object_file(
        "generated-images",
        uploaded["storage_path"].as_str().unwrap(),
    );
    assert!(!object.exists());
    assert_eq!(
        world.ask(Method::DELETE, &path, Value::Null).await.status,
        204
    );
    assert_eq!(world.get(&path).await.body["count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn reference_images_that_storage_does_not_delete_the_sweep_does() {
    let world = World::start(&[]).await;
    let down = json!({"match": {"method": "DELETE", "path": "/object/"}, "status": 503});
    let dataset = world.coffee().await;
    let other = world.coffee().await;
    let mut objects = Vec::new();
    for dataset in [&dataset, &other] {
        for _ in 0..2 {
            let uploaded = world.upload(dataset, Some(png(64, 48))).await;
            let path = uploaded["storage_path"].as_str().unwrap();
            let supabase = world.stack.supabase().unwrap();
            objects.push(supabase.object_file("generated-images", path));
        }
    }
    // A row that names what is another's: only what is nobody's goes.
    let picture = world.picture("1:1").await;
    let run = picture["run_id"].as_str().unwrap();
    world
        .rows(&format!(
            "insert into dataset_images (dataset_id, storage_path) values ('{dataset}', 'generated/{run}.png')"
        ))
        .await;
    world.storage(json!({"default": down})).await;
    for path in [
        format!("/ai/datasets/{dataset}/images"),
        format!("/ai/datasets/{other}"),
    ] {
        let answer = world.ask(Method::DELETE, &path, Value::Null).await;
        assert_eq!(answer.status, 204, "{answer:#?}");
    }
    assert!(objects.iter().all(|object| object.exists()));
    world.storage(json!({"default": {}})).await;
    let report = world.invoke("sweep", json!({"tasks": ["deletions"]})).await;
    assert_eq!(
        (&report["deletions_repeated"], &report["errors"]),
        (&json!(5), &json!([])),
        "{report:#}"
    );
    assert!(!objects.iter().any(|object| object.exists()));
    assert!(world.object(run).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn references_are_at_most_as_many_as_the_setting_says_and_none_is_needed() {
    let world = World::start(&[("MAX_REFERENCE_IMAGES", "2")]).await;
    let dataset = world.coffee().await;
    let path = format!("/ai/datasets/{dataset}/images");
    for _ in 0..3 {
        world
            .ask(
                Method::POST,
                &path,
                json!({"image_url": "http://127.0.0.1:1/a.png"}),
            )
            .await;
    }
    let asked = json!({"prompt": "a corner.", "dataset_id": dataset, "resolution": "1K"});
    let answer = world.generate(asked.clone()).await;
    assert_eq!(
        (
            answer.status.as_u16(),
            &answer.body["reference_images_count"]
        ),
        (200, &json!(0)),
        "{answer:#?}"
    );
    assert!(
        answer.body["prompt_used"]
            .as_str()
            .unwrap()
            .ends_with("SCENE: a corner.")
    );
    let call = world.last_call().await;
    assert_eq!(
        (&call["path"], &call["fields"]["prompt"]),
        (&json!("/images/generations"), &answer.body["prompt_used"])
    );
    let run = world
        .get(&format!(
            "/ai/runs/{}",
            answer.body["run_id"].as_str().unwrap()
        ))
        .await
        .body;
    assert_eq!(
        run["options"]["references_left_out"]
            .as_array()
            .unwrap()
            .len(),
        2,
        "{run:#}"
    );

    world.ask(Method::DELETE, &path, Value::Null).await;
    for _ in 0..3 {
        world.upload(&dataset, Some(png(64, 48))).await;
    }
    let answer = world.generate(asked).await;
    assert_eq!(answer.body["reference_images_count"], 2, "{answer:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_composed_prompt_past_the_limit_is_an_error_and_nothing_is_cut() {
    let world = World::start(&[]).await;
    let dataset = world.coffee().await;
    let prompt = "x".repeat(31_990);
    let answer = world
        .generate(json!({"prompt": prompt, "dataset_id": dataset}))
        .await;
    assert_eq!(answer.problem_fields(400), ["prompt"]);
    assert!(
        answer.body["detail"].as_str().unwrap().contains("32000"),
        "{answer:#?}"
    );
    let own = world.picture("1:1").await;
    let answer = world
        .edit(json!({"instruction": prompt, "dataset_id": dataset, "image_id": own["id"]}))
        .await;
    assert_eq!(answer.problem_fields(400), ["instruction"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_outlives_a_dataset_and_goes_with_its_user() {
    let world = World::start(&[]).await;
    let dataset = world.coffee().await;
    let uploaded = world.upload(&dataset, Some(png(64, 48))).await;
    let asked = json!({"prompt": "a corner", "dataset_id": dataset, "resolution": "1K"});
    let made = world.generate(asked).await.body;
    assert_eq!(made["dataset_id"], dataset);
    let answer = world
        .ask(
            Method::DELETE,
            &format!("/ai/datasets/{dataset}"),
            Value::Null,
        )
        .await;
    assert_eq!(answer.status, 204);
    let object = world.stack.supabase().unwrap().object_file(
        "generated-images",
        uploaded["storage_path"].as_str().unwrap(),
    );
    assert!(!object.exists());
    let record = world
        .get(&format!(
            "/ai/generated-images/{}",
            made["id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(
        (record.status.as_u16(), &record.body["dataset_id"]),
        (200, &Value::Null)
    );
    assert_eq!(
        record.body["unique_visual_elements"],
        json!(["wooden tables", "pendant lights"])
    );
    let run = world
        .get(&format!("/ai/runs/{}", made["run_id"].as_str().unwrap()))
        .await;
    assert_eq!(
        (run.status.as_u16(), &run.body["dataset_id"]),
        (200, &Value::Null)
    );

    let other = world.coffee().await;
    let user = &world.stack.ready().user.id;
    world
        .rows(&format!("delete from auth.users where id = '{user}'"))
        .await;
    for table in [
        "datasets",
        "dataset_images",
        "generated_images",
        "ai_image_runs",
        "ai_image_run_events",
    ] {
        let count = world.value(&format!("select count(*) from {table}")).await;
        assert_eq!(
            count.as_deref(),
            Some("0"),
            "{table} after the user of {other} is gone"
        );
    }
}
