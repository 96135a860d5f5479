//! Reading a request for an image that is made again.

use http::StatusCode;
use lambda_http::Request;
use shared::{
    domain::{id::ImageId, prompt::LONGEST_PROMPT, run::Mode},
    http::{
        Facts, FieldError, Problem, Reply,
        fields::Fields,
        query::Query,
        request::{body, path_id},
    },
    postgres::saved::find_saved,
    submission::{
        Submission,
        answer::scope_of,
        composing::{Again, Wish},
        headers::RunHeaders,
        input::{OPTION_FIELDS, image_options},
    },
};

/// What a body that is not there says: nothing is to be other than it was.
const NOTHING: &[u8] = b"{}";
/// What the prompt is called, of an image that was made anew and of an edit.
const PROMPT_FIELDS: [&str; 2] = ["prompt", "instruction"];

pub(crate) async fn regenerate(
    submission: &Submission,
    request: Request,
    facts: Facts,
) -> Result<Reply, Problem> {
    let caller = submission.caller(&request, &facts).await?;
    let image_id: ImageId = path_id(&request, "image_id")?;
    Query::parse(&request, &[]).finish()?;
    let bytes = match body(&request)?.trim_ascii() {
        [] => NOTHING,
        bytes => bytes,
    };
    let known: Vec<&str> = PROMPT_FIELDS.into_iter().chain(OPTION_FIELDS).collect();
    let mut fields = Fields::parse(bytes, &known)?;
    let saved = find_saved(&submission.database, scope_of(&caller), image_id).await?;
    let Some(mut saved) = saved else {
        fields.finish()?;
        let detail = format!("There is no image {image_id} that you may see.");
        return Err(Problem::not_found("image_id", detail));
    };
    let (prompt_field, other_field) = match saved.mode {
        Mode::Generate => ("prompt", "instruction"),
        Mode::Edit => ("instruction", "prompt"),
    };
    if fields.has(other_field) {
        let message = format!("is not for this image; it was made with {prompt_field}.");
        fields.error(FieldError::new(other_field, message, prompt_field));
    }
    let saved_dataset = !fields.has("dataset_id");
    // Under the name by which the rest of the request knows it.
    if let Some(prompt) = saved.settings.remove("prompt") {
        saved.settings.insert(prompt_field.to_owned(), prompt);
    }
    fields.fill(saved.settings);
    let prompt = fields.required_text(prompt_field, 1..=LONGEST_PROMPT);
    let options = image_options(&mut fields, submission.default_model());
    for mistake in RunHeaders::mistakes(request.headers()) {
        fields.error(mistake);
    }
    fields.finish()?;
    if saved.mode == Mode::Edit && saved.sources.is_empty() {
        return Err(sources_unknown());
    }

    let wish = Wish {
        mode: saved.mode,
        prompt_field,
        prompt,
        options,
        sources: saved.sources,
        mask: saved.mask,
        again: Some(Again {
            image_id,
            saved_dataset,
        }),
        body: bytes,
    };
    let asked = submission.compose(&caller, wish).await?;
    submission.run(&request, &facts, caller, asked).await
}

/// 422: an edit that was recorded without what it was made of, and whose parent is gone.
fn sources_unknown() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "sources-unknown",
        "The image cannot be made again",
        "It is not known which images this one was made of.",
    )
    .retryable(false)
}
