//! Images for callers in Rust.

use serde_json::{Value, json};
use shared::{
    config::{self, making::making},
    domain::{
        id::UserId,
        image::Resolution,
        run::{Mode, RunOptions},
        source::ImageSource,
    },
    generation::{
        Deadline, Maker,
        callers::{MakeError, RunContext},
        edit_image_with_instruction, generate_image_from_prompt,
    },
};

use crate::harness::World;

fn small() -> RunOptions {
    RunOptions {
        resolution: Resolution::OneK,
        ..RunOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_context_a_run_is_recorded_and_told_and_without_one_neither_happens() {
    let world = World::start(&[("RETRY_DELAYS_MS", "0,20,20")]).await;
    let source = |name: &str| world.stack.settings().get(name).cloned();
    let (clients, settings) = config::from(&source, |reader| making(reader, "test")).unwrap();
    let maker = Maker {
        clients: &clients,
        settings: &settings,
        deadline: Deadline::NONE,
    };

    world.openai(json!({"script": [{"status": 500}, {}]})).await;
    let made = generate_image_from_prompt(&maker, "a boat", &small(), None)
        .await
        .unwrap();
    assert!(made.recorded.is_none());
    let answer = made.answer.unwrap();
    let picture = image::load_from_memory(&answer.image).unwrap();
    assert_eq!(
        (picture.width(), picture.height(), made.attempts.len()),
        (1024, 1024, 2)
    );
    world
        .openai(json!({"script": [{"status": 400, "code": "moderation_blocked"}]}))
        .await;
    let refused = generate_image_from_prompt(&maker, "a boat", &small(), None)
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, MakeError::Failed(ending) if ending.code == "moderation_blocked"),
        "{refused:?}"
    );
    for table in ["ai_image_runs", "ai_image_run_events", "generated_images"] {
        assert_eq!(
            world
                .value(&format!("select count(*) from {table}"))
                .await
                .as_deref(),
            Some("0"),
            "{table}"
        );
    }

    let user = &world.stack.ready().user.id;
    let context = |mode: Mode, prompt: &str| RunContext {
        owner_id: Some(UserId(user.parse().unwrap())),
        asset_kind: "avatar".to_owned(),
        mode,
        user_prompt: prompt.to_owned(),
        resolved_prompt: format!("{prompt}. STYLE: woodcut"),
        style_preset: Some("woodcut".to_owned()),
        options: json!({"campaign": "spring"}).as_object().cloned().unwrap(),
        retry_delays: Some(vec![0, 10]),
        claimed: None,
    };
    world.openai(json!({"script": [{"status": 503}, {}]})).await;
    let prompt = "a boat. STYLE: woodcut";
    let made = generate_image_from_prompt(
        &maker,
        prompt,
        &small(),
        Some(context(Mode::Generate, "a boat")),
    )
    .await
    .unwrap();
    let recorded = made.recorded.unwrap();
    let run = world
        .get(&format!("/ai/runs/{}", recorded.run_id))
        .await
        .body;
    for (field, expected) in [
        ("status", json!("succeeded")),
        ("mode", json!("generate")),
        ("asset_kind", json!("avatar")),
        ("user_prompt", json!("a boat")),
        ("resolved_prompt", json!(prompt)),
        ("style_preset", json!("woodcut")),
        ("retry_count", json!(1)),
        ("image_url", json!(recorded.image_url)),
    ] {
        assert_eq!(run[field], expected, "{field}");
    }
    assert_eq!(run["options"]["campaign"], "spring");
    let log = world
        .get(&format!("/ai/runs/{}/events", recorded.run_id))
        .await
        .body;
    assert_eq!(log["events"].as_array().unwrap().len(), 6, "{log:#}");
    let unpublished = format!(
        "select count(*) from ai_image_run_events where run_id = '{}' and published_at is null",
        recorded.run_id
    );
    assert_eq!(world.value(&unpublished).await.as_deref(), Some("0"));

    let image = ImageSource {
        image_id: recorded.image_id,
        ..ImageSource::at(recorded.image_url.clone().unwrap())
    };
    let made = edit_image_with_instruction(
        &maker,
        &[image],
        "make it night",
        &small(),
        Some(context(Mode::Edit, "make it night")),
    )
    .await
    .unwrap();
    let edit = made.recorded.unwrap();
    let run = world.get(&format!("/ai/runs/{}", edit.run_id)).await.body;
    assert_eq!(
        (&run["mode"], &run["parent_image_id"]),
        (&json!("edit"), &json!(recorded.image_id))
    );
    assert_eq!(world.last_call().await["path"], "/images/edits");
    let record: Value = world
        .get(&format!("/ai/generated-images/{}", edit.image_id.unwrap()))
        .await
        .body;
    assert_eq!(
        (&record["user_id"], &record["parent_image_id"]),
        (&json!(user), &json!(recorded.image_id))
    );
}
