//! One call in a stand-in's log.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, Method, Uri};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Entry;

/// Headers that carry a key: the log says that there was none of them, never what it was.
const SECRET_HEADERS: [&str; 4] = ["authorization", "apikey", "api-key", "cookie"];

/// Where a call is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallId(pub(super) usize);

/// What a stand-in was asked, as `GET /_calls` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers by lower-case name, without those that carry a key.
    pub headers: BTreeMap<String, String>,
    /// The parsed body: a JSON body as it came, of a multipart body the fields by name. Files are described, not kept.
    pub fields: Value,
    /// When the call came: RFC 3339 in UTC, with milliseconds.
    pub time: String,
    /// The status that was answered, or would have been before the connection was dropped; null while it is not decided.
    pub status: Option<u16>,
    /// Whether the vendor would have charged for it: what was asked was accepted and made, even if the answer was lost.
    pub billed: bool,
    /// The entry of the script that decided the answer; null where nothing was out of the ordinary.
    #[serde(serialize_with = "as_control_json")]
    pub scripted: Entry,
}

impl Call {
    /// A call that has just come and has no answer yet.
    pub fn new(method: &Method, uri: &Uri, headers: &HeaderMap) -> Call {
        let mut kept = BTreeMap::<String, String>::new();
        for (name, value) in headers {
            if SECRET_HEADERS.contains(&name.as_str()) {
                continue;
            }
            let value = String::from_utf8_lossy(value.as_bytes());
            kept.entry(name.as_str().to_owned())
                .and_modify(|all| {
                    all.push_str(", ");
                    all.push_str(&value);
                })
                .or_insert_with(|| value.clone().into_owned());
        }
        Call {
            method: method.to_string(),
            path: uri
                .path_and_query()
                .map_or_else(|| uri.path().to_owned(), ToString::to_string),
            headers: kept,
            fields: Value::Null,
            time: now(),
            status: None,
            billed: false,
            scripted: Entry::default(),
        }
    }
}

/// How a file looks in a call's `fields`: `{filename, content_type, bytes, sha256, width, height}`. The dimensions are
/// null where the bytes are no picture.
pub fn describe_file(filename: Option<&str>, content_type: Option<&str>, bytes: &[u8]) -> Value {
    let dimensions = image::ImageReader::new(std::io::Cursor::new(bytes))
        .with_guessed_format()
        .ok()
        .and_then(|reader| reader.into_dimensions().ok());
    json!({
        "filename": filename,
        "content_type": content_type,
        "bytes": bytes.len(),
        "sha256": hex(&Sha256::digest(bytes)),
        "width": dimensions.map(|(width, _)| width),
        "height": dimensions.map(|(_, height)| height),
    })
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

fn as_control_json<S: serde::Serializer>(entry: &Entry, serializer: S) -> Result<S::Ok, S::Error> {
    if *entry == Entry::default() {
        serializer.serialize_none()
    } else {
        entry.to_json().serialize(serializer)
    }
}
