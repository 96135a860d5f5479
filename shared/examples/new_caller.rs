//! How a program of one's own has images made: first one that nobody records, then one whose run is recorded and told, then an edit of it.
//!
//! ```sh
//! cargo dev --write-env target/local.env     # in another terminal
//! cargo run --example new_caller -- target/local.env
//! ```
//!
//! Without a file the settings come from the environment. They are those of the worker, see the README.

#![expect(
    clippy::print_stdout,
    reason = "what an example does is to be seen on the terminal"
)]

use std::{collections::HashMap, error::Error};

use serde_json::json;
use shared::{
    config,
    domain::{
        image::Resolution,
        run::{Mode, RunOptions},
        source::ImageSource,
    },
    generation::{
        Deadline, Maker,
        callers::{MadeImage, RunContext},
        edit_image_with_instruction, generate_image_from_prompt,
    },
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = match std::env::args().nth(1) {
        Some(path) => settings_of(&std::fs::read_to_string(path)?),
        None => HashMap::new(),
    };
    let setting = |name: &str| file.get(name).cloned().or_else(|| std::env::var(name).ok());
    let (clients, settings) = config::from(&setting, |reader| {
        config::making::making(reader, "new-caller")
    })?;
    let maker = Maker {
        clients: &clients,
        settings: &settings,
        deadline: Deadline::NONE,
    };
    let options = RunOptions {
        resolution: Resolution::OneK,
        ..RunOptions::default()
    };

    // Without a context: an image, and no trace of it.
    let made = generate_image_from_prompt(&maker, "a paper boat", &options, None).await?;
    show("nobody records this one", &made);

    // With one: a run, its events, a record, and the file in storage.
    let context = RunContext {
        owner_id: None,
        asset_kind: "avatar".to_owned(),
        mode: Mode::Generate,
        user_prompt: "a paper boat".to_owned(),
        resolved_prompt: "a paper boat. STYLE: woodcut".to_owned(),
        style_preset: Some("woodcut".to_owned()),
        options: json!({"campaign": "spring"})
            .as_object()
            .cloned()
            .unwrap_or_default(),
        retry_delays: Some(vec![0, 1_500, 4_000]),
        claimed: None,
    };
    let prompt = context.resolved_prompt.clone();
    let made = generate_image_from_prompt(&maker, &prompt, &options, Some(context)).await?;
    show("this one is recorded", &made);

    let Some(image_url) = made.recorded.and_then(|recorded| recorded.image_url) else {
        return Ok(());
    };
    let context = RunContext {
        mode: Mode::Edit,
        user_prompt: "make it night".to_owned(),
        resolved_prompt: "make it night".to_owned(),
        ..RunContext::default()
    };
    let image = [ImageSource::at(image_url)];
    let made =
        edit_image_with_instruction(&maker, &image, "make it night", &options, Some(context))
            .await?;
    show("and edited", &made);
    Ok(())
}

fn show(title: &str, made: &MadeImage) {
    println!("{title}:");
    if let Some(answer) = &made.answer {
        println!(
            "  {} {}, {} bytes, after {} attempt(s)",
            answer.inspected.format,
            answer.inspected.size(),
            answer.image.len(),
            made.attempts.len()
        );
    }
    if let Some(recorded) = &made.recorded {
        println!(
            "  run {}, {}",
            recorded.run_id,
            recorded.image_url.as_deref().unwrap_or_default()
        );
    }
}

/// The lines `NAME=value` that `cargo dev --write-env` leaves.
fn settings_of(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.replace("\\n", "\n")))
        .collect()
}
