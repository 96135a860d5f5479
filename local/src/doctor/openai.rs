//! The image models and the key that asks them.

use shared::config::groups::{self, Models};

use super::{Case, Finding, Findings, ask, right, wrong};

const SUBJECT: &str = "openai";

pub(super) async fn examine(case: &Case<'_>) -> Findings {
    let read = case.read(SUBJECT, |reader| {
        let options = groups::openai(reader);
        Some((options, groups::models(reader)?))
    });
    let (options, Models(first, rest)) = match read {
        Ok(read) => read,
        Err(findings) => return findings,
    };
    let key = case.get("OPENAI_API_KEY").unwrap_or_default();
    let mut findings = Vec::new();
    for model in std::iter::once(&first).chain(&rest) {
        let finding = examine_model(case, &options.base_url, key, model.as_str()).await;
        findings.push(finding);
    }
    findings
}

/// Looking a model up costs nothing.
async fn examine_model(case: &Case<'_>, base_url: &str, key: &str, model: &str) -> Finding {
    let url = format!("{base_url}/models/{model}");
    match ask(case.http.get(&url).bearer_auth(key)).await {
        Ok((200, _)) => right(SUBJECT, format!("the key may use {model}")),
        Ok((401, _)) => wrong(SUBJECT, "OPENAI_API_KEY is refused"),
        Ok((403, answer)) => wrong(
            SUBJECT,
            format!(
                "the key may not use {model}: {}",
                answer["error"]["message"].as_str().unwrap_or("forbidden")
            ),
        ),
        Ok((404, _)) => wrong(
            SUBJECT,
            format!("there is no model {model} for this key (OPENAI_IMAGE_MODELS)"),
        ),
        Ok((status, _)) => wrong(SUBJECT, format!("{url} answered with status {status}")),
        Err(error) => wrong(SUBJECT, format!("{url} {error}")),
    }
}
