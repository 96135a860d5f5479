//! How a call fails.

use std::error::Error;
use std::io;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::domain::failure::{Failure, classify};
use crate::domain::fault::{Fault, LostAt};
use crate::openai::answer::AnswerHeaders;

/// A call that brought no image: what it means, and for the log what it was technically.
#[derive(Debug, thiserror::Error)]
#[error("{failure}")]
pub struct CallError {
    /// The failure, judged.
    pub failure: Box<Failure>,
    /// What the HTTP client said. It may name hosts, and is for the log only.
    #[source]
    pub source: Option<reqwest::Error>,
}

impl CallError {
    pub(super) fn new(fault: Fault) -> Self {
        Self {
            failure: Box::new(classify(fault, Timestamp::now())),
            source: None,
        }
    }

    pub(super) fn with_source(fault: Fault, source: reqwest::Error) -> Self {
        Self {
            source: Some(source.without_url()),
            ..Self::new(fault)
        }
    }

    /// Adds what the headers of the answer say to the failure's details.
    pub(super) fn with_headers(mut self, headers: &AnswerHeaders) -> Self {
        let mut metadata = headers.metadata();
        // It has a field of its own.
        metadata.remove("request_id");
        if metadata.is_empty() {
            return self;
        }
        let meta = self
            .failure
            .meta
            .get_or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(meta) = meta {
            meta.extend(metadata);
        }
        self
    }
}

/// What it means that no headers came.
pub(super) fn not_answered(error: &reqwest::Error) -> Fault {
    if error.is_builder() {
        return Fault::Misconfigured {
            message: "The image model's address or key cannot be used in a request.",
        };
    }
    if error.is_connect() {
        return Fault::NotConnected {
            cause: why_not_connected(error),
        };
    }
    // The connection stood, so the request may be with the vendor.
    Fault::AnswerLost {
        at: LostAt::BeforeHeaders,
        cause: why_lost(error),
        status: None,
        request_id: None,
    }
}

/// What it means that the body of a good answer broke off.
pub(super) fn body_lost(error: &reqwest::Error, status: u16, headers: &AnswerHeaders) -> Fault {
    Fault::AnswerLost {
        at: LostAt::InBody,
        cause: why_lost(error),
        status: Some(status),
        request_id: headers.request_id.clone(),
    }
}

fn why_lost(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "timeout"
    } else {
        "reset"
    }
}

fn why_not_connected(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        return "timeout";
    }
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(cause) = source {
        if cause.is::<rustls::Error>() {
            return "tls";
        }
        if let Some(io) = cause.downcast_ref::<io::Error>()
            && let Some(known) = known_io_cause(io)
        {
            return known;
        }
        if cause.to_string().starts_with("dns error") {
            return "dns";
        }
        source = cause.source();
    }
    "unreachable"
}

/// Looks into an I/O error, which passes over what it wraps when asked for its source.
fn known_io_cause(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => return Some("refused"),
        io::ErrorKind::TimedOut => return Some("timeout"),
        _ => {}
    }
    let inner = error.get_ref()?;
    if inner.is::<rustls::Error>() {
        return Some("tls");
    }
    known_io_cause(inner.downcast_ref()?)
}
