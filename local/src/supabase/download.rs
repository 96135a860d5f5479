//! Bytes go out: public URLs, authenticated ones, and what a signed URL gives.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::Deserialize;

use super::access;
use super::error::StorageError;
use super::incoming;
use super::object::{existing_object, public_object};
use super::rows::ObjectRow;
use super::server::Server;

#[derive(Deserialize)]
pub(super) struct Saved {
    /// Asks the browser to save the file, under this name where there is one.
    download: Option<String>,
}

pub(super) async fn public(
    State(server): State<Server>,
    Path((bucket, key)): Path<(String, String)>,
    Query(saved): Query<Saved>,
    headers: HeaderMap,
) -> Result<Response, StorageError> {
    let row = public_object(&server, &bucket, &key)?;
    send(&server, &bucket, &row, &headers, &saved).await
}

pub(super) async fn authenticated(
    State(server): State<Server>,
    Path((bucket, key)): Path<(String, String)>,
    Query(saved): Query<Saved>,
    headers: HeaderMap,
) -> Result<Response, StorageError> {
    if access::identify(&server.project, &headers)?
        .must_read()
        .is_err()
    {
        let row = public_object(&server, &bucket, &key)?;
        return send(&server, &bucket, &row, &headers, &saved).await;
    }
    let row = existing_object(&server, &bucket, &key)?;
    send(&server, &bucket, &row, &headers, &saved).await
}

/// An object's bytes, or the part that is asked for.
pub(super) async fn send(
    server: &Server,
    bucket: &str,
    row: &ObjectRow,
    asked: &HeaderMap,
    saved: &Saved,
) -> Result<Response, StorageError> {
    let file = server.disk.object_file(bucket, &row.name);
    // The file tells its own size: it may have been replaced since its row was read.
    let size = tokio::fs::metadata(&file).await?.len();
    let mut response = if is_known(row, asked) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let range = match asked
            .get(header::RANGE)
            .and_then(|value| value.to_str().ok())
        {
            Some(range) => parse_range(range, size)?,
            None => None,
        };
        let (start, length) = range.unwrap_or((0, size));
        let mut response = incoming::read(&file, start, length).await?.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, length.into());
        if range.is_some() {
            let content_range = format!("bytes {start}-{}/{size}", start + length - 1);
            headers.insert(header::CONTENT_RANGE, header_value(&content_range));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header_value(&row.content_type));
    headers.insert(header::CACHE_CONTROL, header_value(&row.cache_control));
    headers.insert(header::ETAG, header_value(&row.etag));
    headers.insert(
        header::LAST_MODIFIED,
        header_value(&http_date(row.updated_at)),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(name) = &saved.download {
        headers.insert(
            header::CONTENT_DISPOSITION,
            header_value(&disposition(name)),
        );
    }
    Ok(response)
}

fn is_known(row: &ObjectRow, asked: &HeaderMap) -> bool {
    asked
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|list| {
            list.split(',')
                .any(|tag| matches!(tag.trim(), "*") || tag.trim() == row.etag)
        })
}

/// Start and length of a range; none where the header is not understood, and then the whole is sent.
fn parse_range(range: &str, size: u64) -> Result<Option<(u64, u64)>, StorageError> {
    let Some((first, last)) = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
    else {
        return Ok(None);
    };
    let (first, last) = (
        first.trim().parse::<u64>().ok(),
        last.trim().parse::<u64>().ok(),
    );
    let (start, end) = match (first, last) {
        (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(size)),
        (Some(first), None) => (first, size),
        (None, Some(count)) => (size.saturating_sub(count), size),
        _ => return Ok(None),
    };
    if start >= end {
        return Err(StorageError::InvalidRange);
    }
    Ok(Some((start, end - start)))
}

fn disposition(name: &str) -> String {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    if name.is_empty() {
        return "attachment".to_owned();
    }
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    format!("attachment; filename*=UTF-8''{name}")
}

fn http_date(time: Timestamp) -> String {
    jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .unwrap_or_default()
}

/// A text as a header; empty where it cannot be one.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::{StorageError, parse_range};

    #[test]
    fn ranges() {
        let table = [
            ("bytes=0-3", Ok(Some((0, 4)))),
            ("bytes=4-", Ok(Some((4, 6)))),
            ("bytes=-3", Ok(Some((7, 3)))),
            ("bytes=-30", Ok(Some((0, 10)))),
            ("bytes=9-99", Ok(Some((9, 1)))),
            ("bytes=10-", Err(StorageError::InvalidRange)),
            ("bytes=3-2", Ok(None)),
            ("bytes=a-b", Ok(None)),
            ("bytes=-", Ok(None)),
            ("items=0-1", Ok(None)),
        ];
        for (range, expected) in table {
            assert_eq!(parse_range(range, 10), expected, "{range}");
        }
    }
}
