//! Reading a request for an image.

use lambda_http::Request;
use shared::{
    domain::{prompt::LONGEST_PROMPT, run::Mode},
    http::{Facts, Problem, Reply, fields::Fields, query::Query, request::body},
    submission::{
        Submission,
        composing::Wish,
        headers::RunHeaders,
        input::{OPTION_FIELDS, image_options},
    },
};

pub(crate) async fn generate(
    submission: &Submission,
    request: Request,
    facts: Facts,
) -> Result<Reply, Problem> {
    let caller = submission.caller(&request, &facts).await?;
    Query::parse(&request, &[]).finish()?;
    let bytes = body(&request)?;
    let known: Vec<&str> = ["prompt"].into_iter().chain(OPTION_FIELDS).collect();
    let mut fields = Fields::parse(bytes, &known)?;
    let prompt = fields.required_text("prompt", 1..=LONGEST_PROMPT);
    let options = image_options(&mut fields, submission.default_model());
    for mistake in RunHeaders::mistakes(request.headers()) {
        fields.error(mistake);
    }
    fields.finish()?;
    let wish = Wish {
        mode: Mode::Generate,
        prompt_field: "prompt",
        prompt,
        options,
        sources: Vec::new(),
        mask: None,
        again: None,
        body: bytes,
    };
    let asked = submission.compose(&caller, wish).await?;
    submission.run(&request, &facts, caller, asked).await
}
