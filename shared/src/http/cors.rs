//! Cross-origin requests: pages of other origins call Darkroom from browsers.

use http::{HeaderMap, HeaderValue, header};

/// Headers of an answer that a page's script may read.
const EXPOSED: &str = "Location, Link, ETag, Retry-After, Preference-Applied, X-Request-Id, RateLimit, RateLimit-Policy, Content-Disposition";
/// Headers that a page's script may send.
const ALLOWED: &str = "Authorization, Content-Type, Idempotency-Key, Prefer, Cancel-After, If-None-Match, Last-Event-ID, X-Request-Id, traceparent, apikey";
/// How long a browser may keep what a preflight said, in seconds: the two hours that Chromium allows at most.
const MAX_AGE_S: u32 = 7200;

/// Which origins' pages may call (setting `CORS_ALLOW_ORIGINS`: `*`, or origins separated by commas).
#[derive(Clone, Debug)]
pub enum AllowedOrigins {
    /// Any page. Safe because Darkroom knows callers by their token, never by a cookie.
    Any,
    /// Pages of these origins.
    Only(Vec<String>),
}

impl AllowedOrigins {
    /// Reads the setting.
    pub fn parse(text: &str) -> Self {
        let origins: Vec<String> = text
            .split(',')
            .map(|origin| origin.trim().trim_end_matches('/').to_owned())
            .filter(|origin| !origin.is_empty())
            .collect();
        if origins.is_empty() || origins.iter().any(|origin| origin == "*") {
            Self::Any
        } else {
            Self::Only(origins)
        }
    }

    fn answer_for(&self, origin: Option<&str>) -> Option<HeaderValue> {
        match self {
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Only(origins) => {
                let origin = origins
                    .iter()
                    .find(|allowed| Some(allowed.as_str()) == origin)?;
                HeaderValue::from_str(origin).ok()
            }
        }
    }
}

/// Adds the CORS headers that every answer carries.
pub fn add_headers(headers: &mut HeaderMap, origins: &AllowedOrigins, origin: Option<&str>) {
    if matches!(origins, AllowedOrigins::Only(_)) {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    let Some(allowed) = origins.answer_for(origin) else {
        return;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
}

/// Adds what a preflight asks for. API Gateway answers preflights itself; `cargo lambda watch` hands them to the function.
pub fn add_preflight_headers(headers: &mut HeaderMap) {
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(ALLOWED),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(MAX_AGE_S));
}
