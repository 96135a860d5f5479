//! Ably's errors: a five-digit code whose first three digits are the HTTP status, in the shape that its clients read.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::json;

/// One refusal, as it stands in a REST body, a realtime frame or an SSE `error` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorInfo {
    pub(super) code: u32,
    pub(super) status_code: u16,
    pub(super) message: String,
    href: String,
}

impl ErrorInfo {
    /// `code` as in Ably's list of error codes.
    pub(super) fn new(code: u32, status_code: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            status_code,
            message: message.into(),
            href: format!("https://help.ably.io/error/{code}"),
        }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(40000, 400, message)
    }

    pub(super) fn expired() -> Self {
        Self::new(40142, 401, "Key/token status changed (expire)")
    }

    pub(super) fn not_permitted(operation: &str, channel: &str) -> Self {
        let message =
            format!("operation not permitted with provided capability; {operation} on {channel}");
        Self::new(40160, 401, message)
    }

    /// Whether a client answers it by fetching a new token.
    pub(super) fn asks_for_new_token(&self) -> bool {
        (40140..40150).contains(&self.code)
    }
}

impl IntoResponse for ErrorInfo {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.status_code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(json!({"error": self}))).into_response();
        let headers = response.headers_mut();
        headers.insert("x-ably-errorcode", HeaderValue::from(self.code));
        if let Ok(message) = HeaderValue::from_str(&self.message) {
            headers.insert("x-ably-errormessage", message);
        }
        response
    }
}
