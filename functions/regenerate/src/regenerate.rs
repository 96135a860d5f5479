//! Reading a request for an image that is made again.

use http::StatusCode;
use lambda_http::Request;
use shared::{
    domain::{id::ImageId, prompt::LONGEST_PROMPT, run::Mode},
    http::{
        Facts, Problem, Reply,
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
    let saved = find_saved(&submission.database, scope_of(&caller), image_id).await?;
    let mut saved = saved.ok_or_else(|| {
        let detail = format!("There is no image {image_id} that you may see.");
        Problem::not_found("image_id", detail)
    })?;
    let prompt_field = match saved.mode {
        Mode::Generate => "prompt",
        Mode::Edit => "instruction",
    };

    let known: Vec<&str> = [prompt_field].into_iter().chain(OPTION_FIELDS).collect();
    let mut fields = Fields::parse(bytes, &known)?;
    let saved_dataset = !fields.has("dataset_id");
    // Only under this name the rest of the request knows it.
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
        "source_not_found",
        "An image to edit cannot be used",
        "It is not known which images this one was made of.",
    )
    .retryable(false)
}
