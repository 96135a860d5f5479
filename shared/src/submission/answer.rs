//! What a caller gets: the image, the way to it, or why there is none.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use super::headers;
use crate::{
    config::groups::HttpSettings,
    domain::{
        attempt::Attempt,
        caller::{Caller, Scope},
        cost::CostUsd,
        event,
        failure::FailureClass,
        id::{DatasetId, ImageId, RunId},
        run::{Run, RunStatus},
    },
    http::{Facts, Problem, Reply},
    postgres::{
        Database,
        images::{self, ImageRecord},
        runs,
    },
    recording::accept::QuotaState,
};

/// When to look at an accepted run again, in seconds.
const LOOK_AGAIN_S: u64 = 2;
/// When to try a failed run again where the vendor named no time, in seconds.
const TRY_AGAIN_S: u64 = 30;

/// How a run ended.
pub enum Outcome {
    /// With an image.
    Image(Box<Run>, Box<ImageRecord>),
    /// Without one.
    Failed(Box<Run>),
}

/// The answer of generate and edit: the eleven fields of the first version, then what was added.
#[derive(Debug, Serialize)]
struct ImageAnswer<'a> {
    id: ImageId,
    image_url: &'a str,
    caption: &'a str,
    prompt_used: &'a str,
    dataset_id: Option<DatasetId>,
    style: Option<&'a str>,
    aspect_ratio: &'a str,
    quality: &'a str,
    format: &'a str,
    resolution: &'a str,
    reference_images_count: i32,
    run_id: RunId,
    model: &'a str,
    width: Option<i32>,
    height: Option<i32>,
    cost_usd: Option<CostUsd>,
    created_at: jiff::Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_image_id: Option<ImageId>,
}

/// The rows that the caller of a run may read.
pub fn scope_of(caller: &Caller) -> Scope {
    match caller {
        Caller::User(id) => Scope::Owner(*id),
        Caller::Anonymous { .. } => Scope::Ownerless,
        Caller::Service => Scope::Everything,
    }
}

/// How a run ended; none where it has not.
///
/// # Errors
/// 503 where the database cannot be asked; 404 where the run is gone with its owner; 410 where its image was deleted.
pub async fn outcome(
    database: &Database,
    scope: Scope,
    run_id: RunId,
) -> Result<Option<Outcome>, Problem> {
    let Some(run) = runs::find_run(database, scope, run_id).await? else {
        return Err(Problem::not_found(
            "run_id",
            "The run is gone: its owner was deleted.",
        ));
    };
    match run.status {
        RunStatus::Pending | RunStatus::Running => Ok(None),
        RunStatus::Failed | RunStatus::Canceled => Ok(Some(Outcome::Failed(Box::new(run)))),
        RunStatus::Succeeded => match images::image_of_run(database, run_id).await? {
            Some(image) => Ok(Some(Outcome::Image(Box::new(run), Box::new(image)))),
            None => Err(image_deleted(run_id)),
        },
    }
}

/// 200: the image.
///
/// # Errors
/// Never in practice: the answer always has a JSON form.
pub fn image(run: &Run, image: &ImageRecord) -> Result<Reply, Problem> {
    let answer = ImageAnswer {
        id: image.id,
        // A run's own record has one.
        image_url: image.image_url.as_deref().unwrap_or_default(),
        caption: &image.prompt,
        prompt_used: image.full_prompt.as_deref().unwrap_or(&image.prompt),
        dataset_id: image.dataset_id,
        style: image.style.as_deref(),
        aspect_ratio: run.options.aspect_ratio.as_str(),
        quality: run.options.quality.as_str(),
        format: run.options.format.as_str(),
        resolution: run.options.resolution.as_str(),
        reference_images_count: image.reference_images_count,
        run_id: run.id,
        model: image.model.as_deref().unwrap_or(&run.model),
        width: image.width,
        height: image.height,
        cost_usd: image.cost_usd,
        created_at: image.created_at,
        parent_image_id: image.parent_image_id,
    };
    Ok(Reply::json(StatusCode::OK, &answer)?)
}

/// 202: the run goes on; this is where to look.
pub fn accepted(settings: &HttpSettings, facts: &Facts, caller: &Caller, run_id: RunId) -> Reply {
    let url = |path: String| facts.url(settings.public_url.as_deref(), &path);
    let location = url(format!("/ai/runs/{run_id}"));
    let body = json!({
        "run_id": run_id,
        "status": "pending",
        "urls": {
            "run": location,
            "events": url(format!("/ai/runs/{run_id}/events")),
            "cancel": url(format!("/ai/runs/{run_id}/cancel")),
        },
        "channel": event::channel(caller.owner(), run_id),
    });
    Reply::json_value(StatusCode::ACCEPTED, &body)
        .with_text_header(header::LOCATION, &location)
        .with_header(header::RETRY_AFTER, HeaderValue::from(LOOK_AGAIN_S))
}

/// A run as the API shows it: the columns of its row but for those that only Darkroom's own statements need, and where to go next.
pub fn run_record(settings: &HttpSettings, facts: &Facts, run: &Run) -> Value {
    let url = |path: String| facts.url(settings.public_url.as_deref(), &path);
    json!({
        "id": run.id,
        "owner_user_id": run.owner,
        "mode": run.mode,
        "asset_kind": run.asset_kind,
        "user_prompt": run.user_prompt,
        "resolved_prompt": run.resolved_prompt,
        "style_preset": run.style_preset,
        "provider": run.provider,
        "model": run.model,
        "options": run.options,
        "retry_count": run.retry_count,
        "status": run.status,
        "error_code": run.error_code,
        "error_message": run.error_message,
        "error_meta": run.error_meta,
        "image_url": run.image_url,
        "response_metadata": run.response_metadata,
        "attempts": run.attempts,
        "started_at": run.started_at,
        "completed_at": run.completed_at,
        "created_at": run.created_at,
        "sequence": run.sequence,
        "image_id": run.image_id,
        "image_deleted_at": run.image_deleted_at,
        "dataset_id": run.dataset_id,
        "parent_image_id": run.parent_image_id,
        "cost_usd": run.cost_usd,
        "price_version": run.price_version,
        "cancel_requested_at": run.cancel_requested_at,
        "deadline_at": run.deadline_at,
        "retry_unknown": run.retry_unknown,
        "channel": event::channel(run.owner, run.id),
        "urls": {
            "run": url(format!("/ai/runs/{}", run.id)),
            "events": url(format!("/ai/runs/{}/events", run.id)),
            "cancel": url(format!("/ai/runs/{}/cancel", run.id)),
            "image": run.image_id.map(|id| url(format!("/ai/generated-images/{id}"))),
        },
    })
}

/// A run that ended without an image.
pub fn failed_run(run: &Run) -> Problem {
    let code = run
        .error_code
        .clone()
        .unwrap_or_else(|| "failed".to_owned());
    let message = run
        .error_message
        .clone()
        .unwrap_or_else(|| "The run failed.".to_owned());
    let class = run
        .error_meta
        .as_ref()
        .and_then(|meta| meta.get("class")?.as_str())
        .and_then(FailureClass::parse);
    let busy = run
        .attempts
        .last()
        .is_none_or(|last| matches!(last.http_status, None | Some(429 | 503)));
    // A model that the caller named and the vendor does not have is the request's fault, not the vendor's.
    let no_such_model = run.options.model_named
        && class == Some(FailureClass::Config)
        && (run.attempts.last()).is_some_and(|last| matches!(last.http_status, Some(400 | 404)));
    let (status, title) = match (run.status, code.as_str(), class) {
        (RunStatus::Canceled, _, _) => (StatusCode::CONFLICT, "The run was canceled"),
        (_, "deadline_exceeded", _) => (StatusCode::GATEWAY_TIMEOUT, "The run passed its deadline"),
        (_, code, Some(FailureClass::Refused)) if code.starts_with("source_") => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "An image to edit cannot be used",
        ),
        (_, _, Some(FailureClass::Refused)) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "The image service refused the request",
        ),
        _ if no_such_model => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "The image service does not have the model",
        ),
        (_, _, Some(FailureClass::NotAccepted)) if busy => {
            (StatusCode::SERVICE_UNAVAILABLE, "The image service is busy")
        }
        _ => (StatusCode::BAD_GATEWAY, "The image service failed"),
    };
    let retryable = class.is_some_and(FailureClass::may_help_later);
    let problem = Problem::new(status, code.clone(), title, message.clone())
        .with_run(run.id)
        .retryable(retryable)
        .with_extra("error_code", code)
        .with_extra("error_message", message);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let wait = run
            .attempts
            .last()
            .and_then(Attempt::retry_after)
            .map_or(TRY_AGAIN_S, whole_seconds);
        return problem.with_retry_after(wait);
    }
    problem
}

/// 410: a run that made an image, which was deleted since.
fn image_deleted(run_id: RunId) -> Problem {
    Problem::new(
        StatusCode::GONE,
        "image-deleted",
        "The image was deleted",
        "The run made an image, which was deleted since. Send the request with another Idempotency-Key to have a new one made.",
    )
    .with_run(run_id)
    .retryable(false)
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// 422: an idempotency key that was used for another request.
pub fn key_reused(earlier: RunId) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency-key-reused",
        "The idempotency key was used before",
        "Idempotency-Key: was used for a request with another body. Use a new key for a new request.",
    )
    .with_run(earlier)
    .retryable(false)
}

/// 429: the day's images are used up.
pub fn quota_exceeded(quota: QuotaState) -> Problem {
    let detail = format!(
        "All {} images of today are used. The next day (UTC) begins in {} seconds.",
        quota.limit, quota.resets_in
    );
    let header = |text: String| {
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    };
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "quota-exceeded",
        "The daily quota is used up",
        detail,
    )
    .retryable(true)
    .with_retry_after(quota.resets_in.max(1))
    .with_header(headers::RATE_LIMIT, header(headers::rate_limit(quota)))
    .with_header(
        headers::RATE_LIMIT_POLICY,
        header(headers::rate_limit_policy(quota)),
    )
}
