//! OpenAI's errors: which status, type and message belong to a code.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::script::Entry;

/// An error answer, as the images API words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// OpenAI's `type`.
    pub kind: &'static str,
    /// The sentence for people.
    pub message: String,
    /// The parameter that is wrong.
    pub param: Option<String>,
    /// OpenAI's `code`; some errors have none.
    pub code: Option<String>,
}

/// One row: code, status, type, message. The words are those of `contracts/openai-images.openapi.yaml`; the message may
/// have `{request}` in it, for the request's id.
type Row = (&'static str, u16, &'static str, &'static str);

const INVALID_REQUEST: &str = "invalid_request_error";
const QUOTA: &str = "You exceeded your current quota, please check your plan and billing details.";

const TABLE: [Row; 19] = [
    ("invalid_value", 400, INVALID_REQUEST, "Invalid value."),
    ("invalid_type", 400, INVALID_REQUEST, "Invalid type."),
    (
        "unknown_parameter",
        400,
        INVALID_REQUEST,
        "Unknown parameter.",
    ),
    (
        "missing_required_parameter",
        400,
        INVALID_REQUEST,
        "Missing required parameter.",
    ),
    (
        "duplicate_parameter",
        400,
        INVALID_REQUEST,
        "Duplicate parameter.",
    ),
    (
        "invalid_image_file",
        400,
        INVALID_REQUEST,
        "Invalid image file or mode for image 1, please check your image file.",
    ),
    (
        "moderation_blocked",
        400,
        "image_generation_user_error",
        "Your request was rejected by the safety system. If you believe this is an error, contact us at help.openai.com \
         and include the request ID {request}. safety_violations=[violence].",
    ),
    (
        "billing_hard_limit_reached",
        400,
        INVALID_REQUEST,
        "Billing hard limit has been reached",
    ),
    (
        "invalid_api_key",
        401,
        INVALID_REQUEST,
        "Incorrect API key provided.",
    ),
    (
        "model_not_found",
        404,
        INVALID_REQUEST,
        "The model does not exist or you do not have access to it.",
    ),
    (
        "rate_limit_exceeded",
        429,
        "requests",
        "Rate limit reached for gpt-image-2 in organization org-x on images per min. Please try again in 3s.",
    ),
    ("slow_down", 429, "rate_limit_error", "Slow down."),
    ("credit_balance_exhausted", 429, "insufficient_quota", QUOTA),
    ("insufficient_quota", 429, "insufficient_quota", QUOTA),
    (
        "organization_usage_limit_exceeded",
        429,
        "insufficient_quota",
        QUOTA,
    ),
    (
        "organization_spend_limit_exceeded",
        429,
        "insufficient_quota",
        QUOTA,
    ),
    (
        "project_spend_limit_exceeded",
        429,
        "insufficient_quota",
        QUOTA,
    ),
    (
        "server_error",
        500,
        "server_error",
        "The server had an error while processing your request. Please include the request ID {request}.",
    ),
    (
        "server_is_overloaded",
        503,
        "service_unavailable_error",
        "Overloaded.",
    ),
];

impl Refusal {
    /// A request that is wrong in one parameter.
    pub fn of_parameter(code: &str, param: &str, message: impl Into<String>) -> Refusal {
        Refusal {
            param: Some(param.to_owned()),
            message: message.into(),
            ..Refusal::of_code(code)
        }
    }

    /// The error of a code, with its usual status and message.
    pub fn of_code(code: &str) -> Refusal {
        let row = TABLE.iter().find(|row| row.0 == code);
        let (_, status, kind, message) =
            row.copied()
                .unwrap_or(("", 400, INVALID_REQUEST, "The request was refused."));
        Refusal {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
            kind,
            message: message.to_owned(),
            param: None,
            code: Some(code.to_owned()),
        }
    }

    /// An error without a code.
    pub fn without_code(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            kind: INVALID_REQUEST,
            message: message.into(),
            param: None,
            code: None,
        }
    }

    /// The error that an entry asks for, if it asks for one: by its code, its status, or both.
    pub fn scripted(entry: &Entry) -> Option<Refusal> {
        let status = entry
            .status
            .filter(|status| *status >= 300)
            .and_then(|status| StatusCode::from_u16(status).ok());
        let mut refusal = match (&entry.code, status) {
            // A success with an error's code makes no sense, so a code alone brings its own status.
            (Some(code), _) => Refusal::of_code(code),
            (None, Some(status)) => Refusal::of_status(status),
            (None, None) => return None,
        };
        refusal.status = status.unwrap_or(refusal.status);
        if let Some(message) = &entry.message {
            refusal.message.clone_from(message);
        }
        Some(refusal)
    }

    /// What OpenAI answers most often with a status.
    fn of_status(status: StatusCode) -> Refusal {
        match status.as_u16() {
            400 | 404 | 422 => Refusal::of_code(if status == StatusCode::NOT_FOUND {
                "model_not_found"
            } else {
                "invalid_value"
            }),
            401 => Refusal::of_code("invalid_api_key"),
            403 => Refusal::without_code(
                status,
                "Your organization must be verified to use the model `gpt-image-2`.",
            ),
            429 => Refusal::of_code("rate_limit_exceeded"),
            503 => Refusal::of_code("server_is_overloaded"),
            500.. => Refusal::of_code("server_error"),
            _ => Refusal::without_code(status, "The request was refused."),
        }
    }

    /// The body of the answer.
    pub fn to_json(&self, request_id: &str) -> Value {
        let mut body = json!({"error": {
            "message": self.message.replace("{request}", request_id),
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }});
        if self.code.as_deref() == Some("moderation_blocked") {
            body["error"]["moderation_details"] =
                json!({"moderation_stage": "output", "categories": ["violence"]});
        }
        body
    }
}
