//! What a failed call means: whether it was paid for, and what may be done next. Decided here and nowhere else.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::cost::Usage;
use crate::domain::fault::{ErrorAnswer, Fault, LostAt};

/// The longest wait that a vendor may ask for and still be called again by the same run.
pub const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// The classes of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The vendor did not take the work on; trying again costs nothing twice.
    NotAccepted,
    /// The request itself was refused (moderation, a wrong value): no model will take it.
    Refused,
    /// The account's money or limit is used up.
    Quota,
    /// The vendor does not serve this key, organisation or model.
    Config,
    /// The answer was lost after the request was sent: perhaps made, perhaps billed.
    Unknown,
    /// An answer came and is no whole image: probably billed.
    BadAnswer,
}

impl FailureClass {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::NotAccepted,
        Self::Refused,
        Self::Quota,
        Self::Config,
        Self::Unknown,
        Self::BadAnswer,
    ];

    /// The word used in rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAccepted => "not_accepted",
            Self::Refused => "refused",
            Self::Quota => "quota",
            Self::Config => "config",
            Self::Unknown => "unknown",
            Self::BadAnswer => "bad_answer",
        }
    }

    /// Reads the word of a row.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }

    /// Whether a new run with the same request may have an image, so that the caller may be told to try again. It may then be paid
    /// for a second time where the first answer was lost.
    #[must_use]
    pub const fn may_help_later(self) -> bool {
        match self {
            Self::NotAccepted | Self::Unknown | Self::BadAnswer => true,
            Self::Refused | Self::Quota | Self::Config => false,
        }
    }

    /// What may be done after a failure of this class. `retryable` and `retry_after` are the failure's own; `retry_unknown` is the
    /// caller's word that it would rather pay twice than have no image.
    #[must_use]
    pub const fn next(
        self,
        retryable: bool,
        retry_after: Option<Duration>,
        retry_unknown: bool,
    ) -> Next {
        match self {
            Self::Refused => Next::End,
            Self::Unknown | Self::BadAnswer if !retry_unknown => Next::End,
            Self::Unknown | Self::BadAnswer => Next::Repeat { wait: None },
            _ if retryable => Next::Repeat { wait: retry_after },
            Self::NotAccepted | Self::Quota | Self::Config => Next::NextModel,
        }
    }
}

/// Whether the vendor charges for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Billed {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It may have.
    Unknown,
}

/// A failed call, judged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// What kind of failure it is.
    pub class: FailureClass,
    /// The vendor's code where it gave one, else a stable word of ours.
    pub code: String,
    /// One sentence that may be shown to anybody.
    pub message: String,
    /// The answer's HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    /// The vendor's id of the request.
    pub request_id: Option<String>,
    /// How long the vendor wants us to wait; may be more than a run waits for.
    pub retry_after: Option<Duration>,
    /// Whether repeating the same call may help and cannot be paid for twice.
    pub retryable: bool,
    /// Whether this call costs money.
    pub billed: Billed,
    /// The usage, where a bad answer still reported it.
    pub usage: Option<Usage>,
    /// Details for the record: type, param, moderation stage and categories, the technical cause.
    pub meta: Option<Value>,
}

/// What a run does after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Call the same model again when the schedule says, or after this wait if there is one; when the schedule is used up,
    /// go on with the next model.
    Repeat {
        /// The vendor's wish, which wins over the schedule.
        wait: Option<Duration>,
    },
    /// Go on with the next model, if there is one.
    NextModel,
    /// End the run as failed.
    End,
}

impl Failure {
    /// What may be done after this failure. `retry_unknown` is the caller's word that it would rather pay twice than have no
    /// image.
    #[must_use]
    pub fn next(&self, retry_unknown: bool) -> Next {
        self.class
            .next(self.retryable, self.retry_after, retry_unknown)
    }

    /// Whether the request itself is at fault, so that no other model need be asked.
    #[must_use]
    pub fn own_fault(&self) -> bool {
        self.class == FailureClass::Refused
    }

    fn new(class: FailureClass, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            class,
            code: code.into(),
            message: message.into(),
            http_status: None,
            request_id: None,
            retry_after: None,
            retryable: class == FailureClass::NotAccepted,
            billed: match class {
                FailureClass::Unknown | FailureClass::BadAnswer => Billed::Unknown,
                _ => Billed::No,
            },
            usage: None,
            meta: None,
        }
    }
}

/// Judges what happened to a call. `now` is for a `retry-after` that is a date.
#[must_use]
pub fn classify(fault: Fault, now: Timestamp) -> Failure {
    match fault {
        Fault::NotSent { code, message } => Failure::new(FailureClass::Refused, code, message),
        Fault::Misconfigured { message } => {
            Failure::new(FailureClass::Config, "misconfigured", message)
        }
        Fault::NotConnected { cause } => {
            let message = "The image model could not be reached; nothing was sent.";
            let mut failure = Failure::new(FailureClass::NotAccepted, "connection_failed", message);
            failure.meta = Some(json!({ "cause": cause }));
            failure
        }
        Fault::AnswerLost {
            at,
            cause,
            status,
            request_id,
        } => {
            let message = "The request was sent and its answer was lost; the image may have been made and billed.";
            let mut failure = Failure::new(FailureClass::Unknown, "answer_lost", message);
            let at = match at {
                LostAt::BeforeHeaders => "before_headers",
                LostAt::InBody => "in_body",
            };
            failure.meta = Some(json!({ "cause": cause, "at": at }));
            failure.http_status = status;
            failure.request_id = request_id;
            failure
        }
        Fault::BadAnswer {
            flaw,
            status,
            request_id,
            usage,
        } => {
            let (code, message) = flaw.describe();
            let mut failure = Failure::new(FailureClass::BadAnswer, code, message);
            failure.http_status = Some(status);
            failure.request_id = request_id;
            if usage.is_some() {
                failure.billed = Billed::Yes;
            }
            failure.usage = usage;
            failure
        }
        Fault::Answered(answer) => judge_answer(answer, now),
    }
}

fn judge_answer(answer: ErrorAnswer, now: Timestamp) -> Failure {
    let class = class_of(&answer);
    let code = code_of(&answer, class);
    let mut failure = Failure::new(class, code, message_for(class, &answer));
    failure.http_status = Some(answer.status);
    failure.retry_after = answer.hints.wait(now);
    // The header decides, except that what is known never to help is not tried because a header says so.
    failure.retryable = match answer.hints.should_retry.as_deref().map(str::trim) {
        Some("false") => false,
        Some("true") if class == FailureClass::Refused && answer.code.is_none() => {
            failure.class = FailureClass::NotAccepted;
            true
        }
        _ => failure.retryable,
    };
    if failure.retry_after.is_some_and(|wait| wait > LONGEST_WAIT) {
        failure.retryable = false;
    }
    let mut meta = serde_json::Map::new();
    if let Some(kind) = answer.kind {
        meta.insert("type".to_owned(), kind.into());
    }
    if let Some(param) = answer.param {
        meta.insert("param".to_owned(), param.into());
    }
    if let Some(details) = answer.moderation_details {
        meta.insert("moderation_details".to_owned(), details);
    }
    if !meta.is_empty() {
        failure.meta = Some(Value::Object(meta));
    }
    failure.request_id = answer.request_id;
    failure
}

fn class_of(answer: &ErrorAnswer) -> FailureClass {
    let code = answer.code.as_deref().unwrap_or_default();
    let kind = answer.kind.as_deref().unwrap_or_default();
    if is_quota(code) || (answer.status == 429 && is_quota(kind)) {
        return FailureClass::Quota;
    }
    match answer.status {
        408 | 409 | 429 | 500.. => FailureClass::NotAccepted,
        402 => FailureClass::Quota,
        401 | 403 | 404 => FailureClass::Config,
        // The model, not the request: another model may do.
        400 if code == "model_not_found" || answer.param.as_deref() == Some("model") => {
            FailureClass::Config
        }
        400..=499 => FailureClass::Refused,
        // A redirect is not followed, so this is not the vendor's API.
        _ => FailureClass::Config,
    }
}

fn is_quota(code: &str) -> bool {
    matches!(
        code,
        "credit_balance_exhausted"
            | "insufficient_quota"
            | "organization_usage_limit_exceeded"
            | "billing_hard_limit_reached"
    ) || code.ends_with("_spend_limit_exceeded")
}

fn code_of(answer: &ErrorAnswer, class: FailureClass) -> String {
    if let Some(code) = answer.code.as_deref().filter(|code| is_word(code)) {
        return code.to_owned();
    }
    match answer.status {
        401 => "invalid_api_key",
        403 if answer
            .message
            .as_deref()
            .is_some_and(|m| m.contains("verified")) =>
        {
            "organization_not_verified"
        }
        403 => "forbidden",
        404 => "model_not_found",
        408 => "request_timeout",
        409 => "conflict",
        429 if class == FailureClass::Quota => "insufficient_quota",
        429 => "rate_limit_exceeded",
        500.. => "server_error",
        402 => "billing_hard_limit_reached",
        400..=499 => "invalid_request",
        _ => "unexpected_status",
    }
    .to_owned()
}

/// Whether the vendor's code can be recorded as it is: it ends in rows, events and answers.
fn is_word(code: &str) -> bool {
    (1..=100).contains(&code.len())
        && code
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

fn message_for(class: FailureClass, answer: &ErrorAnswer) -> String {
    let own = match (class, answer.status) {
        (FailureClass::Refused, _) => match answer.safe_message() {
            Some(message) => return message,
            None => "The image model refused the request.",
        },
        (FailureClass::Quota, _) => {
            "The account with the image model's vendor has no credit left, or has reached its limit."
        }
        (FailureClass::Config, 401) => {
            "The image model's vendor does not accept the configured key."
        }
        (FailureClass::Config, 403) => {
            "The image model's vendor does not let this organization use the model."
        }
        (FailureClass::Config, 400 | 404) => "The image model is not available.",
        (FailureClass::Config, _) => {
            "The configured address does not answer as the image model's vendor."
        }
        (_, 429) => "The image model's vendor has too many requests from us at the moment.",
        (_, 503) => "The image model is overloaded at the moment.",
        _ => "The image model's vendor had an error.",
    };
    own.to_owned()
}

#[cfg(test)]
mod tests;
