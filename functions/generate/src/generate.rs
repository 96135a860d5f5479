//! Reading a request for an image.

use lambda_http::Request;
use shared::{
    domain::{
        prompt::{LONGEST_PROMPT, PromptParts, compose},
        run::Mode,
    },
    http::{Facts, FieldError, Problem, Reply, fields::Fields, request::body},
    submission::{
        Submission,
        headers::RunHeaders,
        input::{Asked, OPTION_FIELDS, image_options, request_hash},
    },
};

pub(crate) async fn generate(
    submission: &Submission,
    request: Request,
    facts: Facts,
) -> Result<Reply, Problem> {
    let caller = submission.caller(&request, &facts).await?;
    let bytes = body(&request)?;
    let known: Vec<&str> = ["prompt"].into_iter().chain(OPTION_FIELDS).collect();
    let mut fields = Fields::parse(bytes, &known)?;
    let prompt = fields.required_text("prompt", 1..=LONGEST_PROMPT);
    let mut options = image_options(&mut fields, submission.default_model());
    for mistake in RunHeaders::mistakes(request.headers()) {
        fields.error(mistake);
    }
    fields.finish()?;
    let dataset = submission.dataset(&caller, options.dataset_id).await?;
    options.run.unique_visual_elements = dataset
        .as_ref()
        .map(|dataset| dataset.unique_visual_elements.clone().into());
    let parts = PromptParts {
        prompt: &prompt,
        style: options.style.as_deref(),
        dataset: dataset.as_ref(),
        references: 0,
    };
    let resolved_prompt = compose(parts).map_err(|error| {
        Problem::invalid(vec![FieldError::new(
            "prompt",
            format!("{error}."),
            format!("at most {LONGEST_PROMPT} characters once composed"),
        )])
    })?;
    let asked = Asked {
        mode: Mode::Generate,
        user_prompt: prompt,
        resolved_prompt,
        style_preset: options.style,
        model: options.model,
        asset_kind: options.asset_kind,
        options: options.run,
        dataset_id: options.dataset_id,
        parent_image_id: None,
        retry_unknown: options.retry_unknown,
        request_hash: request_hash("generate", bytes),
    };
    submission.run(&request, &facts, caller, asked).await
}
