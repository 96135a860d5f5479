//! From what a function answered to the HTTP answer.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;

use super::problem::Problem;
use crate::lambda::ResponseStream;

/// What is between a stream's prelude and its body.
const DELIMITER: [u8; 8] = [0; 8];

/// The longest prelude that is waited for.
const MAXIMUM_PRELUDE_BYTES: usize = 64 * 1024;

/// The answer of a proxy integration, and the prelude of a streamed one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProxyResponse {
    status_code: u16,
    #[serde(default)]
    headers: Option<Map<String, Value>>,
    #[serde(default)]
    multi_value_headers: Option<Map<String, Value>>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

/// The answer that the function gave in one piece.
pub(super) fn of_payload(payload: &Bytes) -> Result<Response, Problem> {
    let proxy: ProxyResponse = serde_json::from_slice(payload)
        .map_err(|error| Problem::Integration(format!("malformed proxy response: {error}")))?;
    let text = proxy.body.clone().unwrap_or_default();
    let body = match proxy.is_base64_encoded {
        Some(true) => BASE64_STANDARD
            .decode(text)
            .map_err(|_| Problem::Integration("a body that is no base64".to_owned()))?,
        _ => text.into_bytes(),
    };
    response(proxy, Body::from(body))
}

/// The answer that the function is giving, piece by piece. Status and headers are in its prelude.
pub(super) async fn of_stream(
    mut stream: ResponseStream,
    deadline: Instant,
) -> Result<Response, Problem> {
    let mut read = BytesMut::new();
    let end = loop {
        if let Some(end) = find_delimiter(&read) {
            break end;
        }
        if read.len() > MAXIMUM_PRELUDE_BYTES {
            return Err(Problem::Integration(
                "a stream without a prelude".to_owned(),
            ));
        }
        let chunk = timeout_at(deadline, stream.next()).await;
        match chunk.map_err(|_| Problem::TimedOut)? {
            Some(Ok(chunk)) => read.extend_from_slice(&chunk),
            Some(Err(broken)) => return Err(Problem::Integration(broken.to_string())),
            None => {
                let reason = "a stream that ends before its prelude does".to_owned();
                return Err(Problem::Integration(reason));
            }
        }
    };
    let mut first = read.split_off(end);
    let proxy: ProxyResponse = serde_json::from_slice(&read)
        .map_err(|error| Problem::Integration(format!("malformed prelude: {error}")))?;
    let first = first.split_off(DELIMITER.len()).freeze();

    let begun = futures_util::stream::iter((!first.is_empty()).then_some(Ok(first)));
    let rest = ReceiverStream::new(stream.into_chunks());
    // An error, and the end of the time, cut the connection: the caller sees that something is missing.
    let cut =
        futures_util::stream::once(std::future::ready(deadline)).filter_map(async |deadline| {
            let is_over = Instant::now() >= deadline;
            is_over.then(|| Err(std::io::Error::from(std::io::ErrorKind::TimedOut)))
        });
    let limited = begun
        .chain(rest)
        .map(|chunk| chunk.map_err(std::io::Error::other))
        .take_until(tokio::time::sleep_until(deadline))
        .chain(cut);
    response(proxy, Body::from_stream(limited))
}

fn find_delimiter(read: &[u8]) -> Option<usize> {
    read.windows(DELIMITER.len())
        .position(|window| window == DELIMITER)
}

fn response(proxy: ProxyResponse, body: Body) -> Result<Response, Problem> {
    let status = StatusCode::from_u16(proxy.status_code)
        .map_err(|_| Problem::Integration(format!("the status {}", proxy.status_code)))?;
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    *headers = headers_of(&proxy)?;
    if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        headers
            .entry(header::CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/json"));
    }
    Ok(response)
}

fn headers_of(proxy: &ProxyResponse) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    for (name, values) in proxy.multi_value_headers.iter().flatten() {
        append(&mut headers, name, values)?;
    }
    for (name, values) in proxy.headers.iter().flatten() {
        // The two maps are merged: a value that is in both is there once.
        if !headers.contains_key(name.as_str()) {
            append(&mut headers, name, values)?;
        }
    }
    for cookie in proxy.cookies.iter().flatten() {
        append(
            &mut headers,
            header::SET_COOKIE.as_str(),
            &cookie.as_str().into(),
        )?;
    }
    // These are the connection's own.
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::CONTENT_LENGTH,
    ] {
        headers.remove(name);
    }
    Ok(headers)
}

fn append(headers: &mut HeaderMap, name: &str, values: &Value) -> Result<(), Problem> {
    let refused = || Problem::Integration(format!("the header {name} cannot be sent"));
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
    let values = match values {
        Value::Array(values) => values.as_slice(),
        single => std::slice::from_ref(single),
    };
    for value in values {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Null => continue,
            other => other.to_string(),
        };
        // http_serde writes a value that is no text as bytes in an array, which no answer here has.
        let value = HeaderValue::from_str(&text).map_err(|_| refused())?;
        headers.append(&name, value);
    }
    Ok(())
}
