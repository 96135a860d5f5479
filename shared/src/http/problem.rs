//! RFC 9457 problem details: the one form in which a failure leaves Darkroom.

use std::{borrow::Cow, error::Error};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

use super::reply::Reply;
use crate::domain::id::RunId;

/// Prefix of `type`; the code follows.
const TYPE_PREFIX: &str = "urn:darkroom:problem:";

/// One thing wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field, parameter or header.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
    /// What would be accepted: words, a range, a form.
    pub allowed: Value,
}

impl FieldError {
    /// An error of a field.
    pub fn new(
        field: impl Into<String>,
        message: impl Into<String>,
        allowed: impl Into<Value>,
    ) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
            allowed: allowed.into(),
        }
    }
}

/// A failure as the caller sees it, and beside it the cause that only the log sees. Boxed, since it travels in `Result`s whose
/// success is small.
#[derive(Debug)]
pub struct Problem(Box<Content>);

#[derive(Debug)]
struct Content {
    status: StatusCode,
    code: Cow<'static, str>,
    title: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    run_id: Option<RunId>,
    retryable: Option<bool>,
    headers: HeaderMap,
    extra: Map<String, Value>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem of any kind. The constructors below are the kinds that Darkroom has.
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self(Box::new(Content {
            status,
            code: code.into(),
            title,
            detail: detail.into(),
            errors: Vec::new(),
            run_id: None,
            retryable: None,
            headers: HeaderMap::new(),
            extra: Map::new(),
            cause: None,
        }))
    }

    /// 400: fields, parameters or headers that cannot be used.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = errors
            .iter()
            .map(|error| format!("{}: {}", error.field, error.message))
            .collect::<Vec<_>>()
            .join(" ");
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid-request",
            "The request cannot be used",
            detail,
        )
        .with_errors(errors)
    }

    /// 400 for a single field.
    pub fn invalid_field(
        field: &str,
        message: impl Into<String>,
        allowed: impl Into<Value>,
    ) -> Self {
        Self::invalid(vec![FieldError::new(field, message, allowed)])
    }

    /// 400: the body is no JSON.
    pub fn malformed_json(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed-json",
            "The body is not JSON",
            detail,
        )
    }

    /// 413: the body is too large.
    pub fn body_too_large(limit: usize) -> Self {
        let detail = format!("body: at most {} KiB are accepted.", limit / 1024);
        let errors = vec![FieldError::new(
            "body",
            "is too large.",
            format!("at most {limit} bytes"),
        )];
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            "The body is too large",
            detail,
        )
        .with_errors(errors)
    }

    /// 401: a token that does not verify, or none where one is needed.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Not signed in",
            detail,
        )
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 404: nothing there that this caller may see.
    pub fn not_found(field: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let errors = vec![FieldError::new(field, detail.clone(), Value::Null)];
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail).with_errors(errors)
    }

    /// 403: a record that the caller may see, and that is nobody's to change.
    pub fn ownerless(field: &str) -> Self {
        let detail = "The record was made by a caller who was not signed in: it has no owner who may change it.";
        let errors = vec![FieldError::new(field, detail, Value::Null)];
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail).with_errors(errors)
    }

    /// 422: an answer that is more than can be sent.
    pub fn answer_too_large(detail: &str) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "answer-too-large",
            "The answer is too large",
            detail,
        )
    }

    /// 405: a method that this path does not have.
    pub fn method_not_allowed(method: &http::Method) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "Method not allowed",
            format!("There is no {method} here."),
        )
    }

    /// 503: something that Darkroom needs does not answer.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Temporarily unavailable",
            detail,
        );
        problem.with_retry_after(1).retryable(true)
    }

    /// 500: a fault of Darkroom's own.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            "Something went wrong on our side. The request id tells our log where to look.",
        )
    }

    /// Adds what is wrong with which field.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Adds the run it is about.
    #[must_use]
    pub fn with_run(mut self, run_id: RunId) -> Self {
        self.0.run_id = Some(run_id);
        self
    }

    /// Says whether trying again can help.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = Some(retryable);
        self
    }

    /// Says when trying again can help, in seconds.
    #[must_use]
    pub fn with_retry_after(self, seconds: u64) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Adds a field of its own to the body.
    #[must_use]
    pub fn with_extra(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.extra.insert(name.to_owned(), value.into());
        self
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The fields, parameters or headers that it is about.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// What the log should say, if anything.
    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync)> {
        self.0.cause.as_deref()
    }

    /// The answer. `request_id` becomes `instance`.
    pub fn into_reply(self, request_id: &str) -> Reply {
        let problem = *self.0;
        let mut body = Map::new();
        body.insert(
            "type".to_owned(),
            format!("{TYPE_PREFIX}{}", problem.code).into(),
        );
        body.insert("title".to_owned(), problem.title.into());
        body.insert("status".to_owned(), problem.status.as_u16().into());
        body.insert("detail".to_owned(), problem.detail.into());
        body.insert("instance".to_owned(), request_id.into());
        body.insert("code".to_owned(), problem.code.as_ref().into());
        if !problem.errors.is_empty() {
            let errors = problem.errors.into_iter().map(|error| {
                serde_json::json!({"field": error.field, "message": error.message, "allowed": error.allowed})
            });
            body.insert("errors".to_owned(), errors.collect());
        }
        if let Some(run_id) = problem.run_id {
            body.insert("run_id".to_owned(), run_id.to_string().into());
        }
        if let Some(retryable) = problem.retryable {
            body.insert("retryable".to_owned(), retryable.into());
        }
        body.extend(problem.extra);
        let mut reply = Reply::json_value(problem.status, &Value::Object(body));
        reply.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        reply.headers_mut().extend(problem.headers);
        reply
    }
}
