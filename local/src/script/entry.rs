//! One entry of a script: what to do with one call.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method};
use serde_json::{Map, Value, json};

/// What to do with one call. The default is to answer as if nothing were scripted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Only for calls of this method and path; without it for any.
    pub for_calls: Option<Match>,
    /// Waits this long before anything of the answer is sent.
    pub delay_ms: u64,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The vendor's error code.
    pub code: Option<String>,
    /// The vendor's error message, in place of the usual one of the code.
    pub message: Option<String>,
    /// More headers; they win over the usual ones.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What is wrong with the body.
    pub body: Option<BodyFault>,
    /// When the connection is closed early.
    pub drop: Option<Drop>,
    /// Sends the body this slowly, bytes a second.
    pub slow_bytes_per_s: Option<u64>,
    /// Makes the picture about this many bytes large, with content that does not compress.
    pub image_bytes: Option<u64>,
}

/// Which calls an entry is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// The HTTP method.
    pub method: Option<Method>,
    /// A part of the path.
    pub path: Option<String>,
}

/// What is wrong with an answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It ends in the middle, yet the HTTP message is whole.
    Truncated,
    /// The list of pictures is empty.
    EmptyData,
    /// The base64 is that of some text.
    NotAnImage,
    /// A page of HTML, as a proxy in between sends it.
    Html,
}

/// When a connection is closed without the whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// The request was read; not one byte is answered.
    BeforeHeaders,
    /// Status and headers are sent, nothing of the body.
    AfterHeaders,
    /// Half of the body is sent.
    MidBody,
}

impl Entry {
    /// Whether the entry is meant for such a call.
    pub fn is_for(&self, method: &Method, path: &str) -> bool {
        let Some(wanted) = &self.for_calls else {
            return true;
        };
        wanted.method.as_ref().is_none_or(|wanted| wanted == method)
            && wanted
                .path
                .as_ref()
                .is_none_or(|part| path.contains(part.as_str()))
    }

    /// How long to wait before the answer.
    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// Waits as the entry says. The connection is gone during it if the client goes away.
    pub async fn wait(&self) {
        if self.delay_ms > 0 {
            tokio::time::sleep(self.delay()).await;
        }
    }

    /// The entry as it would be posted, without what is not set.
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        if let Some(wanted) = &self.for_calls {
            let mut fields = Map::new();
            if let Some(method) = &wanted.method {
                fields.insert("method".to_owned(), method.as_str().into());
            }
            if let Some(path) = &wanted.path {
                fields.insert("path".to_owned(), path.as_str().into());
            }
            json.insert("match".to_owned(), fields.into());
        }
        if self.delay_ms > 0 {
            json.insert("delay_ms".to_owned(), self.delay_ms.into());
        }
        if let Some(status) = self.status {
            json.insert("status".to_owned(), status.into());
        }
        if let Some(code) = &self.code {
            json.insert("code".to_owned(), code.as_str().into());
        }
        if let Some(message) = &self.message {
            json.insert("message".to_owned(), message.as_str().into());
        }
        if !self.headers.is_empty() {
            let headers = self.headers.iter().map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    Value::from(String::from_utf8_lossy(value.as_bytes()).into_owned()),
                )
            });
            json.insert("headers".to_owned(), headers.collect::<Map<_, _>>().into());
        }
        if let Some(body) = self.body {
            json.insert("body".to_owned(), name_of(&BODY_FAULTS, body).into());
        }
        if let Some(drop) = self.drop {
            json.insert("drop".to_owned(), name_of(&DROPS, drop).into());
        }
        if let Some(rate) = self.slow_bytes_per_s {
            json.insert("slow_bytes_per_s".to_owned(), rate.into());
        }
        if let Some(bytes) = self.image_bytes {
            json.insert("image_bytes".to_owned(), bytes.into());
        }
        json.into()
    }
}

/// A body of `_control` that says nothing sensible, with the place of the mistake.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid {
    field: String,
    message: String,
}

impl Invalid {
    pub(super) fn new(field: &str, message: impl Into<String>) -> Invalid {
        Invalid {
            field: field.to_owned(),
            message: message.into(),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"error": {
            "message": self.message,
            "type": "invalid_request_error",
            "param": self.field,
            "code": "invalid_control",
        }})
    }
}

const BODY_FAULTS: [(&str, BodyFault); 4] = [
    ("truncated", BodyFault::Truncated),
    ("empty_data", BodyFault::EmptyData),
    ("not_an_image", BodyFault::NotAnImage),
    ("html", BodyFault::Html),
];

const DROPS: [(&str, Drop); 3] = [
    ("before_headers", Drop::BeforeHeaders),
    ("after_headers", Drop::AfterHeaders),
    ("mid_body", Drop::MidBody),
];

const ENTRY_FIELDS: &str =
    "match, delay_ms, status, code, message, headers, body, drop, slow_bytes_per_s, image_bytes";

/// The longest delay that makes sense: longer than any timeout that a test would wait for.
const MAX_DELAY_MS: u64 = 3_600_000;

/// The largest padded picture: more than the 50 MB that OpenAI itself takes for an image.
const MAX_IMAGE_BYTES: u64 = 200_000_000;

/// Reads the body of `POST /_control`.
pub(super) fn parse_control(value: &Value) -> Result<(Vec<Entry>, Option<Entry>), Invalid> {
    let Value::Object(fields) = value else {
        return Err(Invalid::new(
            "",
            "The body must be an object with script and default.",
        ));
    };
    let mut script = Vec::new();
    let mut default = None;
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("script", Value::Array(entries)) => {
                for (index, entry) in entries.iter().enumerate() {
                    script.push(parse_entry(&format!("script[{index}]"), entry)?);
                }
            }
            ("script", _) => {
                return Err(Invalid::new("script", "script must be a list of entries."));
            }
            ("default", entry) => default = Some(parse_entry("default", entry)?),
            _ => {
                return Err(Invalid::new(
                    name,
                    format!("Unknown field {name}; there are script and default."),
                ));
            }
        }
    }
    Ok((script, default))
}

fn parse_entry(place: &str, value: &Value) -> Result<Entry, Invalid> {
    let fields = object(place, value)?;
    let mut entry = Entry::default();
    for (name, value) in fields {
        let place = format!("{place}.{name}");
        match name.as_str() {
            "match" => entry.for_calls = Some(parse_match(&place, value)?),
            "delay_ms" => entry.delay_ms = whole_number(&place, value, 0, MAX_DELAY_MS)?,
            "status" => entry.status = u16::try_from(whole_number(&place, value, 200, 599)?).ok(),
            "code" => entry.code = Some(text(&place, value)?.to_owned()),
            "message" => entry.message = Some(text(&place, value)?.to_owned()),
            "headers" => entry.headers = parse_headers(&place, value)?,
            "body" => entry.body = Some(choice(&place, value, &BODY_FAULTS)?),
            "drop" => entry.drop = Some(choice(&place, value, &DROPS)?),
            "slow_bytes_per_s" => {
                entry.slow_bytes_per_s = Some(whole_number(&place, value, 1, u64::MAX)?)
            }
            "image_bytes" => {
                entry.image_bytes = Some(whole_number(&place, value, 1, MAX_IMAGE_BYTES)?)
            }
            _ => {
                return Err(Invalid::new(
                    &place,
                    format!("Unknown field {place}; an entry has {ENTRY_FIELDS}."),
                ));
            }
        }
    }
    Ok(entry)
}

fn parse_match(place: &str, value: &Value) -> Result<Match, Invalid> {
    let mut wanted = Match {
        method: None,
        path: None,
    };
    for (name, value) in object(place, value)? {
        let place = format!("{place}.{name}");
        match name.as_str() {
            "method" => {
                let method = text(&place, value)?.to_ascii_uppercase().parse();
                wanted.method = Some(method.map_err(|_| {
                    Invalid::new(&place, format!("{place} must be an HTTP method."))
                })?);
            }
            "path" => wanted.path = Some(text(&place, value)?.to_owned()),
            _ => {
                return Err(Invalid::new(
                    &place,
                    format!("Unknown field {place}; a match has method and path."),
                ));
            }
        }
    }
    Ok(wanted)
}

fn parse_headers(place: &str, value: &Value) -> Result<Vec<(HeaderName, HeaderValue)>, Invalid> {
    let mut headers = Vec::new();
    for (name, value) in object(place, value)? {
        let place = format!("{place}.{name}");
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(Invalid::new(&place, format!("{place} must be a string."))),
        };
        let name = name.to_ascii_lowercase().parse::<HeaderName>();
        let value = text.parse::<HeaderValue>();
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Invalid::new(
                &place,
                format!("{place} is not a valid HTTP header."),
            ));
        };
        headers.push((name, value));
    }
    Ok(headers)
}

fn object<'a>(place: &str, value: &'a Value) -> Result<&'a Map<String, Value>, Invalid> {
    value
        .as_object()
        .ok_or_else(|| Invalid::new(place, format!("{place} must be an object.")))
}

fn text<'a>(place: &str, value: &'a Value) -> Result<&'a str, Invalid> {
    value
        .as_str()
        .ok_or_else(|| Invalid::new(place, format!("{place} must be a string.")))
}

fn whole_number(place: &str, value: &Value, least: u64, most: u64) -> Result<u64, Invalid> {
    value
        .as_u64()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            let range = if most == u64::MAX {
                format!("{least} or more")
            } else {
                format!("{least} to {most}")
            };
            Invalid::new(place, format!("{place} must be a whole number, {range}."))
        })
}

fn choice<T: Copy>(place: &str, value: &Value, choices: &[(&str, T)]) -> Result<T, Invalid> {
    let chosen = value
        .as_str()
        .and_then(|wanted| choices.iter().find(|(name, _)| *name == wanted));
    chosen.map(|(_, choice)| *choice).ok_or_else(|| {
        let names = choices
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ");
        Invalid::new(place, format!("{place} must be one of {names}."))
    })
}

fn name_of<T: PartialEq>(choices: &[(&'static str, T)], wanted: T) -> &'static str {
    choices
        .iter()
        .find(|(_, choice)| *choice == wanted)
        .map_or("", |(name, _)| name)
}
