//! The main job: a prompt becomes an image that is stored and recorded.

use serde_json::json;

use crate::harness::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_becomes_an_image_of_the_exact_size_stored_and_recorded() {
    let world = World::start(&[]).await;
    let answer = world.generate(json!({"prompt": "a red bicycle", "aspect_ratio": "16:9", "resolution": "1K", "style": "watercolor"})).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    let body = &answer.body;
    assert_eq!(body["caption"], "a red bicycle");
    assert_eq!(
        (
            &body["aspect_ratio"],
            &body["quality"],
            &body["format"],
            &body["resolution"]
        ),
        (
            &json!("16:9"),
            &json!("standard"),
            &json!("png"),
            &json!("1K")
        )
    );
    assert_eq!(
        (&body["width"], &body["height"]),
        (&json!(1376), &json!(768))
    );
    let bytes = world.fetch(body["image_url"].as_str().unwrap()).await;
    let picture = image::load_from_memory(&bytes).unwrap();
    assert_eq!((picture.width(), picture.height()), (1376, 768));

    let id = body["id"].as_str().unwrap();
    let record = world.get(&format!("/ai/generated-images/{id}")).await;
    assert_eq!(record.status, 200);
    for field in [
        "image_url",
        "style",
        "aspect_ratio",
        "run_id",
        "model",
        "cost_usd",
    ] {
        assert_eq!(record.body[field], body[field], "{field}");
    }
    assert_eq!(record.body["full_prompt"], body["prompt_used"]);
    let run = world
        .get(&format!("/ai/runs/{}", body["run_id"].as_str().unwrap()))
        .await
        .body;
    assert_eq!(run["status"], "succeeded");
    assert_eq!(run["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(run["attempts"][0]["billed"], "yes");
    let history = world
        .get("/ai/generated-images?limit=20&offset=0")
        .await
        .body;
    assert_eq!(
        (
            history["count"].as_u64(),
            history["images"][0]["id"].as_str()
        ),
        (Some(1), Some(id))
    );
}
