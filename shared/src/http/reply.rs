//! Answers: JSON, nothing, or a stream, with their headers.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use lambda_http::Error;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The body of an answer: held whole, or made while it is sent.
pub type ReplyBody = UnsyncBoxBody<Bytes, Error>;

/// The largest answer that Lambda takes whole is 6 MB, as JSON and with its headers.
pub const WHOLE_LIMIT: usize = 6 * 1024 * 1024 - 64 * 1024;

/// The length of a text within JSON: the form in which the runtime hands it over.
pub fn size_in_json(text: &[u8]) -> usize {
    let of_byte = |byte: &u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.iter().map(of_byte).sum()
}

/// An answer in the making.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Whole(Bytes),
    Stream(ReplyBody),
}

impl Reply {
    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Body::Whole(Bytes::new()),
        }
    }

    /// An answer that is sent while it is made.
    pub fn stream(status: StatusCode, content_type: HeaderValue, body: ReplyBody) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type);
        Self {
            status,
            headers,
            body: Body::Stream(body),
        }
    }

    /// A JSON answer.
    ///
    /// # Errors
    /// When the value has no JSON form; Darkroom's answers all have one.
    pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self::json_bytes(status, serde_json::to_vec(value)?))
    }

    /// A JSON answer from a value that surely has a JSON form.
    pub fn json_value(status: StatusCode, value: &Value) -> Self {
        Self::json_bytes(status, value.to_string().into_bytes())
    }

    fn json_bytes(status: StatusCode, body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        Self {
            status,
            headers,
            body: Body::Whole(body.into()),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds a header whose value is made of text; left out where the text cannot stand in a header.
    #[must_use]
    pub fn with_text_header(self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => self.with_header(name, value),
            Err(_) => self,
        }
    }

    /// Adds a strong `ETag` of the body, and turns the answer into 304 where the caller has that version.
    #[must_use]
    pub fn with_etag(mut self, if_none_match: Option<&str>) -> Self {
        let Body::Whole(body) = &self.body else {
            return self;
        };
        let digest = Sha256::digest(body);
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..18]));
        let known = if_none_match.is_some_and(|tags| {
            tags.split(',')
                .map(str::trim)
                .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
        });
        if known {
            self.status = StatusCode::NOT_MODIFIED;
            self.headers.remove(header::CONTENT_TYPE);
            self.body = Body::Whole(Bytes::new());
        }
        self.headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-cache"),
        );
        self.headers
            .append(header::VARY, HeaderValue::from_static("authorization"));
        self.with_text_header(header::ETAG, &etag)
    }

    /// Whether Lambda would refuse it, and its caller would get an error of the front that says nothing.
    pub fn is_too_large(&self) -> bool {
        // Half of the limit stays below it even if each byte is written as two.
        matches!(&self.body, Body::Whole(body) if body.len() > WHOLE_LIMIT / 2 && size_in_json(body) > WHOLE_LIMIT)
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers, for those that every answer gets.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// For a front that takes whole answers only.
    ///
    /// # Errors
    /// When the stream that makes the body fails.
    pub async fn into_buffered(self) -> Result<Response<lambda_http::Body>, Error> {
        let body = match self.body {
            Body::Whole(bytes) => bytes,
            Body::Stream(stream) => stream.collect().await?.to_bytes(),
        };
        let body = if body.is_empty() {
            lambda_http::Body::Empty
        } else {
            match String::from_utf8(body.into()) {
                Ok(text) => lambda_http::Body::Text(text),
                Err(error) => lambda_http::Body::Binary(error.into_bytes()),
            }
        };
        Ok(assemble(self.status, self.headers, body))
    }

    /// For a front that sends on what it gets.
    pub fn into_streamed(self) -> Response<ReplyBody> {
        let body = match self.body {
            Body::Whole(bytes) if bytes.is_empty() => {
                Empty::new().map_err(Error::from).boxed_unsync()
            }
            Body::Whole(bytes) => Full::new(bytes).map_err(Error::from).boxed_unsync(),
            Body::Stream(stream) => stream,
        };
        assemble(self.status, self.headers, body)
    }
}

fn assemble<B>(status: StatusCode, headers: HeaderMap, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_version_is_answered_with_304_and_no_body() {
        let reply = |tag: Option<&str>| {
            Reply::json_value(StatusCode::OK, &serde_json::json!({"a": 1})).with_etag(tag)
        };
        let mut first = reply(None);
        let etag = first.headers_mut()[header::ETAG]
            .to_str()
            .unwrap()
            .to_owned();
        for (tag, status) in [
            (Some(etag.clone()), 304),
            (Some(format!("\"other\", {etag}")), 304),
            (Some(format!("W/{etag}")), 304),
            (Some("*".to_owned()), 304),
            (Some("\"other\"".to_owned()), 200),
            (None, 200),
        ] {
            assert_eq!(reply(tag.as_deref()).status().as_u16(), status, "{tag:?}");
        }
    }
}
