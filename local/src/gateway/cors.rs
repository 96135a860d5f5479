//! What preflights are answered with.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// Request headers that a page of another origin may send.
const ALLOWED_HEADERS: &str = "Authorization, Content-Type, Idempotency-Key, Prefer, If-None-Match, Cancel-After, \
     Last-Event-ID, traceparent, x-request-id";

/// What pages of other origins may do.
#[derive(Clone, Debug)]
pub struct CorsOptions {
    /// `*`, or origins with commas between them.
    pub allow_origin: String,
    /// Names of request headers with commas between them.
    pub allow_headers: String,
    /// How long a browser may keep the answer, in seconds.
    pub max_age: String,
}

impl Default for CorsOptions {
    fn default() -> Self {
        Self {
            allow_origin: "*".to_owned(),
            allow_headers: ALLOWED_HEADERS.to_owned(),
            max_age: "7200".to_owned(),
        }
    }
}

/// The answer to `OPTIONS` on a path that has these methods.
pub(super) fn preflight(options: &CorsOptions, methods: &[String], asked: &HeaderMap) -> Response {
    let methods = match methods {
        [any] if any == "ANY" => "GET,POST,PUT,PATCH,DELETE,OPTIONS".to_owned(),
        methods => format!("{},OPTIONS", methods.join(",")),
    };
    let mut response = (StatusCode::NO_CONTENT, Body::empty()).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, &methods),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, &options.allow_headers),
        (header::ACCESS_CONTROL_MAX_AGE, &options.max_age),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    allow_origin(options, asked.get(header::ORIGIN), headers);
    response
}

/// Says which origin may read the answer: any, or the one that asks when it is in the list.
pub(super) fn allow_origin(
    options: &CorsOptions,
    origin: Option<&HeaderValue>,
    headers: &mut HeaderMap,
) {
    if options.allow_origin == "*" {
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        );
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("x-request-id"),
        );
        return;
    }
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else { return };
    let allowed = options.allow_origin.split(',').map(str::trim);
    let mut allowed = allowed.map(|allowed| allowed.trim_end_matches('/'));
    if allowed.any(|allowed| allowed.as_bytes() == origin.as_bytes()) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("x-request-id"),
        );
    }
}
