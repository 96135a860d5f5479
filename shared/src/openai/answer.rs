//! What `OpenAI` answers.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::domain::cost::{InputTokens, Usage};
use crate::domain::fault::{ErrorAnswer, RetryHints};
use crate::domain::sniff::Inspected;

/// An image, checked to be a whole one, and all that came with it.
#[derive(Clone)]
pub struct ImageAnswer {
    /// The file, byte for byte as the vendor made it.
    pub image: Bytes,
    /// The file's SHA-256.
    pub sha256: [u8; 32],
    /// Format and dimensions of the file itself, which may differ from what was asked for.
    pub inspected: Inspected,
    /// The tokens used, if the answer said.
    pub usage: Option<Usage>,
    /// The answer's HTTP status.
    pub status: u16,
    /// What the headers said.
    pub headers: AnswerHeaders,
    /// What the vendor says it did.
    pub echo: Echo,
}

/// Headers worth recording; any may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnswerHeaders {
    /// `x-request-id`: the vendor's name for the call.
    pub request_id: Option<String>,
    /// `openai-processing-ms`: how long the vendor worked on it.
    pub processing_ms: Option<u64>,
    /// `x-ratelimit-*`, by the name's end: `remaining-requests` and so on.
    pub rate_limits: BTreeMap<String, String>,
    /// Whether and when to try again.
    pub hints: RetryHints,
}

/// The answer's own words about the image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Echo {
    /// Unix time in seconds.
    pub created: Option<i64>,
    /// As asked, or as chosen by the model.
    pub size: Option<String>,
    /// As asked, or as chosen by the model.
    pub quality: Option<String>,
    /// `png`, `jpeg` or `webp`.
    pub output_format: Option<String>,
    /// `opaque` or `transparent`.
    pub background: Option<String>,
}

impl ImageAnswer {
    /// The SHA-256 in lower-case hexadecimal.
    #[must_use]
    pub fn sha256_hex(&self) -> String {
        use fmt::Write;
        self.sha256
            .iter()
            .fold(String::with_capacity(64), |mut hex, byte| {
                // Writing to a string does not fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            })
    }

    /// All but the image, for the run's record.
    #[must_use]
    pub fn metadata(&self) -> Value {
        let mut metadata = self.headers.metadata();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                metadata.insert(key.to_owned(), value);
            }
        };
        put("created", self.echo.created.map(Value::from));
        put("size", self.echo.size.clone().map(Value::from));
        put("quality", self.echo.quality.clone().map(Value::from));
        put(
            "output_format",
            self.echo.output_format.clone().map(Value::from),
        );
        put("background", self.echo.background.clone().map(Value::from));
        put(
            "usage",
            self.usage
                .and_then(|usage| serde_json::to_value(usage).ok()),
        );
        put("status", Some(self.status.into()));
        Value::Object(metadata)
    }
}

/// Without the image.
impl fmt::Debug for ImageAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageAnswer")
            .field("bytes", &self.image.len())
            .field("inspected", &self.inspected)
            .field("metadata", &self.metadata())
            .finish_non_exhaustive()
    }
}

impl AnswerHeaders {
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(shortened)
        };
        let rate_limits = headers.iter().filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix("x-ratelimit-")?;
            Some((name.to_owned(), shortened(value.to_str().ok()?)))
        });
        Self {
            request_id: text("x-request-id"),
            processing_ms: text("openai-processing-ms").and_then(|ms| ms.trim().parse().ok()),
            rate_limits: rate_limits.take(20).collect(),
            hints: RetryHints {
                should_retry: text("x-should-retry"),
                retry_after_ms: text("retry-after-ms"),
                retry_after: text("retry-after"),
            },
        }
    }

    /// As JSON, with only what was there.
    pub(super) fn metadata(&self) -> Map<String, Value> {
        let mut metadata = Map::new();
        if let Some(id) = &self.request_id {
            metadata.insert("request_id".to_owned(), id.clone().into());
        }
        if let Some(ms) = self.processing_ms {
            metadata.insert("processing_ms".to_owned(), ms.into());
        }
        if !self.rate_limits.is_empty() {
            let limits = self
                .rate_limits
                .iter()
                .map(|(name, value)| (name.clone(), value.clone().into()));
            metadata.insert("rate_limits".to_owned(), Value::Object(limits.collect()));
        }
        metadata
    }
}

/// A header ends in a row of the database: nothing sensible is longer.
fn shortened(value: &str) -> String {
    value.chars().take(200).collect()
}

/// Reads an answer of status 200 whose image has been taken out. `None` when it is no JSON object.
pub(super) fn read_body(json: &[u8]) -> Option<(Echo, Option<Usage>)> {
    let body: Map<String, Value> = serde_json::from_slice(json).ok()?;
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(shortened);
    let echo = Echo {
        created: body.get("created").and_then(Value::as_i64),
        size: text("size"),
        quality: text("quality"),
        output_format: text("output_format"),
        background: text("background"),
    };
    Some((echo, body.get("usage").and_then(read_usage)))
}

/// The usage from an answer that was cut short, where that part is whole.
pub(super) fn read_usage_of_part(json: &[u8]) -> Option<Usage> {
    const KEY: &[u8] = b"\"usage\"";
    let at = json.windows(KEY.len()).position(|part| part == KEY)?;
    let after = json
        .get(at + KEY.len()..)?
        .trim_ascii_start()
        .strip_prefix(b":")?;
    let value = serde_json::Deserializer::from_slice(after)
        .into_iter::<Value>()
        .next()?
        .ok()?;
    read_usage(&value)
}

fn read_usage(value: &Value) -> Option<Usage> {
    if !value.is_object() {
        return None;
    }
    Usage::deserialize(value).ok()
}

/// A call without source images has only text as its input, even if the answer does not say so.
pub(super) fn complete_text_only(mut usage: Usage) -> Usage {
    let details = usage
        .input_tokens_details
        .get_or_insert_with(InputTokens::default);
    if details.text_tokens.is_none() && details.image_tokens.is_none() {
        details.text_tokens = usage.input_tokens;
        details.image_tokens = usage.input_tokens.map(|_| 0);
    }
    usage
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorFields,
}

#[derive(Deserialize, Default)]
struct ErrorFields {
    #[serde(default)]
    message: Value,
    #[serde(default, rename = "type")]
    kind: Value,
    #[serde(default)]
    param: Value,
    #[serde(default)]
    code: Value,
    #[serde(default)]
    moderation_details: Value,
}

/// Reads an answer with an error status; what is not there or of another type counts as absent.
pub(super) fn read_error(status: u16, headers: &AnswerHeaders, body: &[u8]) -> ErrorAnswer {
    let fields = serde_json::from_slice::<ErrorBody>(body)
        .map(|body| body.error)
        .unwrap_or_default();
    let text = |value: Value| match value {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    };
    ErrorAnswer {
        status,
        code: text(fields.code),
        kind: text(fields.kind).map(|kind| shortened(&kind)),
        param: text(fields.param).map(|param| shortened(&param)),
        message: text(fields.message),
        moderation_details: fields
            .moderation_details
            .is_object()
            .then_some(fields.moderation_details),
        hints: headers.hints.clone(),
        request_id: headers.request_id.clone(),
    }
}
