//! One call of the vendor for a run.

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{WorkSettings, loading::Loaded};
use crate::{
    domain::{
        attempt::{Attempt, AttemptStatus},
        cost::CostUsd,
        failure::{Billed, Failure, classify},
        fault::Fault,
        model::Model,
        run::{Mode, Run},
        size::size_for,
    },
    openai::{
        answer::ImageAnswer,
        client::OpenAiClient,
        request::{EditRequest, ImageRequest},
    },
};

/// Asks the vendor for the run's image, with the model that the run's row names now. With images to look at, a run that generates is
/// an edit for the vendor.
pub(super) async fn call(
    openai: &OpenAiClient,
    settings: &WorkSettings,
    run: &Run,
    loaded: &Loaded,
) -> Result<ImageAnswer, Failure> {
    let model = Model::try_from(run.model.clone()).map_err(|error| {
        let fault = Fault::NotSent {
            code: "invalid_model",
            message: error.to_string(),
        };
        classify(fault, Timestamp::now())
    })?;
    let safety_identifier = run
        .owner
        .map(|owner| hex(&Sha256::digest(owner.to_string())));
    let request = ImageRequest {
        model: &model,
        prompt: &run.resolved_prompt,
        size: Some(size_for(
            &model,
            run.options.aspect_ratio,
            run.options.resolution,
        )),
        quality: run.options.quality,
        format: run.options.format,
        background: run.options.background,
        safety_identifier: safety_identifier.as_deref(),
        timeout: Some(settings.call_timeout),
    };
    let answer = if run.mode == Mode::Generate && loaded.images.is_empty() {
        openai.generate(&request).await
    } else {
        let request = EditRequest {
            image: request,
            sources: loaded.images.clone(),
            mask: loaded.mask.clone(),
        };
        openai.edit(&request).await
    };
    answer.map_err(|error| *error.failure)
}

/// The attempt, ended by this answer.
pub(super) fn made(run: &Run, attempt: Attempt, answer: &ImageAnswer, now: Timestamp) -> Attempt {
    let cost_usd = Model::try_from(run.model.clone())
        .ok()
        .zip(answer.usage)
        .and_then(|(model, usage)| CostUsd::of(&model, &usage));
    let meta = match answer.metadata() {
        Value::Object(fields) => Some(fields),
        _ => None,
    };
    Attempt {
        status: AttemptStatus::Succeeded,
        completed_at: Some(now),
        http_status: Some(answer.status),
        request_id: answer.headers.request_id.clone(),
        billed: Billed::Yes,
        usage: answer.usage,
        cost_usd,
        meta,
        ..attempt
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
