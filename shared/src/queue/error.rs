//! What the SDK's errors mean for the caller.

use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::BatchResultErrorEntry;
use thiserror::Error;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a call to the queue failed, named by what the caller can do.
#[derive(Debug, Error)]
pub enum QueueError {
    /// The same call later may work; this one may have worked without an answer.
    #[error("the queue cannot be reached at the moment")]
    Unavailable(#[source] Source),
    /// No such queue, or these credentials may not use it.
    #[error("the queue refuses its use: {code}")]
    Misconfigured {
        /// AWS's code.
        code: String,
        /// What the SDK said.
        #[source]
        source: Source,
    },
    /// SQS refuses this message or receipt, now and later.
    #[error("the queue refuses the request: {code}")]
    Rejected {
        /// AWS's code.
        code: String,
        /// What the SDK said.
        #[source]
        source: Source,
    },
}

pub(super) fn from_sdk<E>(error: SdkError<E, HttpResponse>) -> QueueError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let SdkError::ServiceError(refusal) = &error else {
        return match error {
            SdkError::ConstructionFailure(_) => rejected(error),
            _ => QueueError::Unavailable(error.into()),
        };
    };
    let code = refusal.err().code().unwrap_or_default().to_owned();
    match kind(&code, refusal.raw().status().as_u16()) {
        Kind::Unavailable => QueueError::Unavailable(error.into()),
        Kind::Misconfigured => QueueError::Misconfigured {
            code,
            source: error.into(),
        },
        Kind::Rejected => QueueError::Rejected {
            code,
            source: error.into(),
        },
    }
}

/// One message of a batch that SQS did not take.
pub(super) fn from_entry(entry: &BatchResultErrorEntry) -> QueueError {
    let code = entry.code().to_owned();
    let source: Source = entry.message().unwrap_or("no reason given").into();
    if entry.sender_fault() {
        QueueError::Rejected { code, source }
    } else {
        QueueError::Unavailable(source)
    }
}

/// A request that the SDK will not even build.
pub(super) fn unbuildable(error: BuildError) -> QueueError {
    rejected(error)
}

fn rejected(error: impl Into<Source>) -> QueueError {
    QueueError::Rejected {
        code: String::new(),
        source: error.into(),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Unavailable,
    Misconfigured,
    Rejected,
}

fn kind(code: &str, status: u16) -> Kind {
    // The JSON protocol's codes, and the older ones that some endpoints still give.
    let name = code.rsplit(['.', '#']).next().unwrap_or_default();
    match name {
        "QueueDoesNotExist"
        | "NonExistentQueue"
        | "InvalidAddress"
        | "AccessDenied"
        | "AccessDeniedException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "MissingAuthenticationToken" => Kind::Misconfigured,
        _ if name.contains("Throttl") || name == "OverLimit" => Kind::Unavailable,
        _ if status >= 500 || status == 429 => Kind::Unavailable,
        _ if status == 401 || status == 403 => Kind::Misconfigured,
        _ => Kind::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_named_by_what_the_caller_can_do() {
        let table = [
            ("QueueDoesNotExist", 400, Kind::Misconfigured),
            (
                "AWS.SimpleQueueService.NonExistentQueue",
                400,
                Kind::Misconfigured,
            ),
            ("AccessDenied", 403, Kind::Misconfigured),
            ("", 403, Kind::Misconfigured),
            ("ThrottlingException", 400, Kind::Unavailable),
            ("RequestThrottled", 403, Kind::Unavailable),
            ("ServiceUnavailable", 503, Kind::Unavailable),
            ("InternalFailure", 500, Kind::Unavailable),
            ("InvalidMessageContents", 400, Kind::Rejected),
            ("ReceiptHandleIsInvalid", 404, Kind::Rejected),
        ];
        for (code, status, expected) in table {
            assert_eq!(kind(code, status), expected, "{code} {status}");
        }
    }
}
