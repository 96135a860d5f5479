//! One call of the vendor, as the run's record keeps it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    cost::{CostUsd, Usage},
    failure::{Billed, Failure, FailureClass},
    model::Model,
};

/// Whether an attempt has ended, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttemptStatus {
    /// The request may have been sent; no answer has been recorded.
    Started,
    /// The vendor answered with a whole image.
    Succeeded,
    /// The vendor refused, failed, or its answer was lost.
    Failed,
}

impl AttemptStatus {
    /// The word used in rows and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// An element of `ai_image_runs.attempts`. Written before the request is sent, so that a worker that dies leaves a trace of a call
/// that may have been billed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Counts from 1 within the run.
    pub attempt: u32,
    /// The model that was asked.
    pub model: String,
    /// How far it came.
    pub status: AttemptStatus,
    /// When it was recorded, just before the request was sent.
    pub started_at: Timestamp,
    /// When its outcome was known.
    pub completed_at: Option<Timestamp>,
    /// The wait before this attempt, in milliseconds.
    pub delay_ms: u64,
    /// The vendor's HTTP status, when there was an answer.
    pub http_status: Option<u16>,
    /// The vendor's id of the request.
    pub request_id: Option<String>,
    /// The vendor's error code, or Darkroom's own where the vendor gave none.
    pub error_code: Option<String>,
    /// A message that may be shown to the caller.
    pub error_message: Option<String>,
    /// Whether trying again could help.
    pub retryable: Option<bool>,
    /// Whether the vendor charges for it.
    pub billed: Billed,
    /// The vendor's token counts.
    pub usage: Option<Usage>,
    /// What it cost in USD; null where the price or the usage is not known.
    #[serde(default)]
    pub cost_usd: Option<CostUsd>,
    /// Anything else worth keeping: the failure's class, rate limit headers, moderation details.
    pub meta: Option<Map<String, Value>>,
}

/// The code of an attempt whose worker died before it recorded an outcome.
pub const ANSWER_LOST: &str = "answer_lost";

impl Attempt {
    /// An attempt about to be made. Until its outcome is recorded it counts as possibly billed.
    pub fn started(attempt: u32, model: &str, delay_ms: u64, now: Timestamp) -> Self {
        Self {
            attempt,
            model: model.to_owned(),
            status: AttemptStatus::Started,
            started_at: now,
            completed_at: None,
            delay_ms,
            http_status: None,
            request_id: None,
            error_code: None,
            error_message: None,
            retryable: None,
            billed: Billed::Unknown,
            usage: None,
            cost_usd: None,
            meta: None,
        }
    }

    /// The same attempt, ended by a failure.
    pub fn failed(self, failure: &Failure, now: Timestamp) -> Self {
        let mut meta = match &failure.meta {
            Some(Value::Object(fields)) => fields.clone(),
            Some(other) => Map::from_iter([("details".to_owned(), other.clone())]),
            None => Map::new(),
        };
        meta.insert("class".to_owned(), Value::from(failure.class.as_str()));
        if let Some(wait) = failure.retry_after {
            meta.insert(
                "retryAfterMs".to_owned(),
                Value::from(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            );
        }
        // An answer without an image is charged for like any other.
        let cost_usd = Model::try_from(self.model.clone())
            .ok()
            .zip(failure.usage)
            .and_then(|(model, usage)| CostUsd::of(&model, &usage));
        Self {
            status: AttemptStatus::Failed,
            completed_at: Some(now),
            http_status: failure.http_status,
            request_id: failure.request_id.clone(),
            error_code: Some(failure.code.clone()),
            error_message: Some(failure.message.clone()),
            retryable: Some(failure.retryable),
            billed: failure.billed,
            usage: failure.usage,
            cost_usd,
            meta: Some(meta),
            ..self
        }
    }

    /// The wait the vendor asked for after this attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        self.meta
            .as_ref()?
            .get("retryAfterMs")?
            .as_u64()
            .map(Duration::from_millis)
    }

    /// The class of the failure, as [`Attempt::failed`] wrote it.
    pub fn failure_class(&self) -> Option<FailureClass> {
        FailureClass::parse(self.meta.as_ref()?.get("class")?.as_str()?)
    }
}
