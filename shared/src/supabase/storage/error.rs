//! What storage's refusals mean. Its HTTP status says little: a missing bucket, a wrong key and a bad name are all 400.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::RETRY_AFTER;
use serde_json::Value;
use thiserror::Error;

/// More than this of an error's body is not read.
const LONGEST_ERROR: usize = 64 * 1024;
/// Codes are names; what is longer is something else.
const LONGEST_CODE: usize = 64;

/// Why a call to storage failed, named by what the caller can do.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The same call later may work.
    #[error("storage did not do it this time")]
    Retryable {
        /// What storage asks to wait, if it says.
        retry_after: Option<Duration>,
        /// What happened.
        #[source]
        source: RetryableCause,
    },
    /// The bucket does not exist: to be created, or the setting to be corrected.
    #[error("the bucket does not exist")]
    MissingBucket,
    /// There is nothing at this path.
    #[error("there is no such object")]
    NotFound,
    /// The key does not allow this.
    #[error("storage refuses the key")]
    Misconfigured(#[source] Refusal),
    /// The key holds characters that no header can.
    #[error("the secret key cannot be sent: it holds characters that no header can")]
    UnusableKey,
    /// Storage refuses this content or path, now and later.
    #[error("storage refuses the request")]
    Rejected(#[source] Refusal),
}

/// What makes a repeat worth while.
#[derive(Debug, Error)]
pub enum RetryableCause {
    /// No answer, or half of one.
    #[error("no whole answer")]
    NoAnswer(#[source] reqwest::Error),
    /// Storage is overloaded or broken.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// A success that is not storage's: something in between answered.
    #[error("an answer that is not storage's")]
    StrangeAnswer(#[source] serde_json::Error),
}

/// A refusal without its text, which may quote what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("status {status}, code {code:?}")]
pub struct Refusal {
    /// The body's `statusCode`, which says more than HTTP's; HTTP's where there is none.
    pub status: u16,
    /// The body's `code`; empty where there is none.
    pub code: String,
}

impl StorageError {
    /// Whether the same call may work later without a change to what is sent: storage recovers, or an operator mends the bucket or
    /// the key while a worker still holds the bytes.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Retryable { .. } | Self::MissingBucket | Self::Misconfigured(_) => true,
            Self::NotFound | Self::UnusableKey | Self::Rejected(_) => false,
        }
    }

    pub(super) fn no_answer(error: reqwest::Error) -> Self {
        Self::Retryable {
            retry_after: None,
            source: RetryableCause::NoAnswer(error),
        }
    }

    pub(super) fn strange_answer(error: serde_json::Error) -> Self {
        Self::Retryable {
            retry_after: None,
            source: RetryableCause::StrangeAnswer(error),
        }
    }

    pub(super) async fn from_response(mut response: Response) -> Self {
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let mut body = Vec::new();
        while body.len() < LONGEST_ERROR {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) => return Self::no_answer(error),
            }
        }
        classify(status, retry_after, &body)
    }
}

fn classify(http_status: u16, retry_after: Option<Duration>, body: &[u8]) -> StorageError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let status = body["statusCode"]
        .as_u64()
        .or_else(|| text("statusCode").parse().ok())
        .and_then(|status| u16::try_from(status).ok())
        .unwrap_or(http_status);
    let code: String = text("code").chars().take(LONGEST_CODE).collect();
    let bucket_is_missing =
        code == "NoSuchBucket" || (code.is_empty() && text("error") == "Bucket not found");
    let refusal = Refusal { status, code };

    if bucket_is_missing {
        return StorageError::MissingBucket;
    }
    let retryable = matches!(
        refusal.code.as_str(),
        "SlowDown"
            | "DatabaseTimeout"
            | "DatabaseError"
            | "InternalError"
            | "LockTimeout"
            | "ResourceLocked"
    );
    // 408 and 425 are HTTP's own "again, please"; 423 is a lock that another upload holds.
    if retryable || status >= 500 || http_status >= 500 || matches!(status, 408 | 423 | 425 | 429) {
        return StorageError::Retryable {
            retry_after,
            source: refusal.into(),
        };
    }
    match (status, refusal.code.as_str()) {
        (401 | 403, _) | (_, "AccessDenied" | "InvalidJWT" | "SignatureDoesNotMatch") => {
            StorageError::Misconfigured(refusal)
        }
        (_, "NoSuchKey") | (404, "") => StorageError::NotFound,
        _ => StorageError::Rejected(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_named_by_what_the_caller_can_do() {
        let table = [
            (
                400,
                r#"{"statusCode":"404","error":"Bucket not found","message":"Bucket not found","code":"NoSuchBucket"}"#,
                "missing bucket",
            ),
            (
                400,
                r#"{"statusCode":"404","error":"Bucket not found","message":"Bucket not found"}"#,
                "missing bucket",
            ),
            (
                400,
                r#"{"statusCode":"403","error":"Unauthorized","message":"signature verification failed","code":"AccessDenied"}"#,
                "misconfigured",
            ),
            (401, r#"{"message":"Invalid API key"}"#, "misconfigured"),
            (
                400,
                r#"{"statusCode":"404","error":"not_found","message":"Object not found","code":"NoSuchKey"}"#,
                "not found",
            ),
            (
                400,
                r#"{"statusCode":"415","error":"invalid_mime_type","code":"InvalidMimeType"}"#,
                "rejected",
            ),
            (
                400,
                r#"{"statusCode":"413","error":"Payload too large","code":"EntityTooLarge"}"#,
                "rejected",
            ),
            (
                400,
                r#"{"statusCode":"400","code":"InvalidKey"}"#,
                "rejected",
            ),
            (
                400,
                r#"{"statusCode":"409","code":"KeyAlreadyExists"}"#,
                "rejected",
            ),
            (
                429,
                r#"{"statusCode":"429","code":"SlowDown"}"#,
                "retryable",
            ),
            (400, r#"{"statusCode":429,"code":"SlowDown"}"#, "retryable"),
            (
                400,
                r#"{"statusCode":"544","code":"DatabaseTimeout"}"#,
                "retryable",
            ),
            (
                500,
                r#"{"statusCode":"500","code":"InternalError"}"#,
                "retryable",
            ),
            (502, "<html>bad gateway</html>", "retryable"),
            (503, "", "retryable"),
            (413, "<html>too large</html>", "rejected"),
        ];
        for (status, body, expected) in table {
            let name = match classify(status, None, body.as_bytes()) {
                StorageError::Retryable { .. } => "retryable",
                StorageError::MissingBucket => "missing bucket",
                StorageError::NotFound => "not found",
                StorageError::Misconfigured(_) => "misconfigured",
                StorageError::Rejected(_) => "rejected",
                StorageError::UnusableKey => "unusable key",
            };
            assert_eq!(name, expected, "{status} {body}");
        }
    }
}
