//! What the gateway answers when no function does: problem+json, as the template's gateway responses have it.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// Why no function answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    NoSuchPath,
    /// The path has other methods. A REST API does not tell this from a path that is not there.
    NoSuchMethod,
    /// More bytes than this.
    TooLarge(usize),
    UnreadableBody,
    TimedOut,
    /// The function failed, or answered what is no HTTP. The words are for the log, not for the caller.
    Integration(String),
}

impl Problem {
    pub(super) fn into_response(self, request_id: &str) -> Response {
        let (status, code, title, detail) = match &self {
            Self::NoSuchPath => (
                StatusCode::NOT_FOUND,
                "not-found",
                "Not found",
                "There is nothing at this path.".to_owned(),
            ),
            Self::NoSuchMethod => (
                StatusCode::NOT_FOUND,
                "not-found",
                "Not found",
                "There is nothing at this path for this method.".to_owned(),
            ),
            Self::TooLarge(limit) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "Body too large",
                format!("A request has at most {limit} bytes."),
            ),
            Self::UnreadableBody => (
                StatusCode::BAD_REQUEST,
                "invalid-request",
                "Invalid request",
                "The body cannot be read.".to_owned(),
            ),
            Self::TimedOut => (
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "Timed out",
                "The answer took too long.".to_owned(),
            ),
            Self::Integration(reason) => {
                tracing::error!(request_id, reason, "a function did not answer");
                (
                    StatusCode::BAD_GATEWAY,
                    "internal",
                    "Internal error",
                    "The function that answers here failed.".to_owned(),
                )
            }
        };
        let mut body = json!({
            "type": format!("urn:darkroom:problem:{code}"),
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
            "instance": request_id,
            "code": code,
        });
        if status.is_server_error() {
            body["retryable"] = true.into();
        }
        let mut response = (status, Body::from(body.to_string())).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}
