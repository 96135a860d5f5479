//! What happened to a call, before anybody judges it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::domain::cost::Usage;

/// What happened to a call, told without judging it.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Our own checks refused the request; nothing was sent.
    NotSent {
        /// A stable word for the reason.
        code: &'static str,
        /// What to tell the caller.
        message: String,
    },
    /// Our own settings do not make a request; nothing was sent.
    Misconfigured {
        /// What is wrong, without the value.
        message: &'static str,
    },
    /// No connection was made, so no request can have arrived.
    NotConnected {
        /// What stood in the way: `timeout`, `refused`, `dns`, `tls`, …
        cause: &'static str,
    },
    /// The request may have arrived; its answer did not.
    AnswerLost {
        /// How much of the answer had come.
        at: LostAt,
        /// What ended the wait: `timeout` or `reset`.
        cause: &'static str,
        /// From the answer's headers, if they came.
        status: Option<u16>,
        /// From the answer's headers, if they came.
        request_id: Option<String>,
    },
    /// A whole answer that says no.
    Answered(ErrorAnswer),
    /// A whole answer that says yes and holds no whole image.
    BadAnswer {
        /// What is wrong with it.
        flaw: Flaw,
        /// The answer's HTTP status, 200 as a rule.
        status: u16,
        /// From the answer's headers.
        request_id: Option<String>,
        /// The usage, where that part could be read: then the call was billed.
        usage: Option<Usage>,
    },
}

/// How much of an answer had come when it was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostAt {
    /// Nothing.
    BeforeHeaders,
    /// Status and headers, and perhaps a part of the body.
    InBody,
}

/// What can be wrong with an answer of status 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// JSON that ends too early though the HTTP body is complete.
    Truncated,
    /// HTML, or anything else that is no JSON.
    NotJson,
    /// JSON without an image in it.
    Empty,
    /// An image field that holds no base64, or no whole image.
    NotAnImage,
    /// More bytes than an image can have.
    TooLarge,
}

/// An answer with an error status.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ErrorAnswer {
    /// The HTTP status.
    pub status: u16,
    /// `error.code`; null on some answers.
    pub code: Option<String>,
    /// `error.type`.
    pub kind: Option<String>,
    /// `error.param`: the field that the vendor objects to.
    pub param: Option<String>,
    /// `error.message`, as the vendor wrote it.
    pub message: Option<String>,
    /// `error.moderation_details`: stage and categories.
    pub moderation_details: Option<Value>,
    /// What the headers say about trying again.
    pub hints: RetryHints,
    /// The vendor's id of the request.
    pub request_id: Option<String>,
}

/// Headers that say whether and when to try again, as they came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetryHints {
    /// `x-should-retry`: `true` or `false`.
    pub should_retry: Option<String>,
    /// `retry-after-ms`: milliseconds.
    pub retry_after_ms: Option<String>,
    /// `retry-after`: seconds, or an HTTP date.
    pub retry_after: Option<String>,
}

impl Flaw {
    /// A stable word for the flaw, and a sentence.
    pub(super) const fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Truncated => (
                "answer_truncated",
                "The image model's answer was cut short.",
            ),
            Self::NotJson => (
                "answer_not_json",
                "The image model's answer could not be read.",
            ),
            Self::Empty => ("answer_empty", "The image model answered without an image."),
            Self::NotAnImage => (
                "answer_not_an_image",
                "What the image model sent is not a whole image.",
            ),
            Self::TooLarge => (
                "answer_too_large",
                "The image model's answer is larger than an image can be.",
            ),
        }
    }
}

impl ErrorAnswer {
    /// The vendor's sentence without what belongs to the account; `None` where it said nothing.
    pub(super) fn safe_message(&self) -> Option<String> {
        self.message
            .as_deref()
            .map(safe_message)
            .filter(|message| !message.is_empty())
    }
}

impl RetryHints {
    /// How long the vendor wants us to wait: `retry-after-ms`, else `retry-after`. What cannot be read counts as absent.
    #[must_use]
    pub fn wait(&self, now: Timestamp) -> Option<Duration> {
        let seconds = |text: &str, unit: f64| {
            let number: f64 = text.trim().parse().ok()?;
            Duration::try_from_secs_f64(number / unit).ok()
        };
        let until = |text: &str| {
            let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
            // A date that has passed means now.
            Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
        };
        let milliseconds = self
            .retry_after_ms
            .as_deref()
            .and_then(|text| seconds(text, 1000.0));
        milliseconds.or_else(|| {
            let text = self.retry_after.as_deref()?;
            seconds(text, 1.0).or_else(|| until(text))
        })
    }
}

/// The vendor's sentence without what belongs to the account: keys, organisation and project ids.
fn safe_message(message: &str) -> String {
    const LONGEST: usize = 500;
    let secret = |word: &str| {
        ["sk-", "org-", "proj_", "user-", "Bearer"]
            .iter()
            .any(|start| {
                word.trim_start_matches(|c: char| !c.is_ascii_alphanumeric())
                    .get(..start.len())
                    .is_some_and(|head| head.eq_ignore_ascii_case(start))
            })
    };
    let mut safe = String::new();
    for word in message.split_whitespace() {
        if !safe.is_empty() {
            safe.push(' ');
        }
        safe.push_str(if secret(word) { "[…]" } else { word });
    }
    if let Some((cut, _)) = safe.char_indices().nth(LONGEST) {
        safe.truncate(cut);
        safe.push('…');
    }
    safe
}
