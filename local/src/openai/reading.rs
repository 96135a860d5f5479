//! From an HTTP request to an order: JSON or multipart, and what the log of calls keeps of it.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest as _, Multipart, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::refusal::Refusal;
use super::request::{Endpoint, Order, Sources, check, missing, wrong_type};
use super::sources::{self, File};
use crate::script::calls::describe_file;

/// The most source pictures of an edit.
const MAX_IMAGES: usize = 16;

/// What came, and whether it can be done.
#[derive(Debug)]
pub struct Asked {
    /// For the log of calls.
    pub fields: Value,
    /// What to make, or what is wrong with the request.
    pub order: Result<(Order, Sources), Refusal>,
}

impl Asked {
    fn refused(refusal: Refusal) -> Asked {
        Asked {
            fields: Value::Null,
            order: Err(refusal),
        }
    }
}

/// Reads a request to `/images/generations`.
pub async fn generation(parts: &Parts, body: Body) -> Asked {
    if !content_type(parts).starts_with("application/json") {
        return Asked::refused(unsupported(parts, "'application/json'"));
    }
    let fields = match read_json(body).await {
        Ok(fields) => fields,
        Err(refusal) => return Asked::refused(refusal),
    };
    let order = check(Endpoint::Generations, &fields).map(|order| (order, Sources::default()));
    Asked {
        fields: fields.into(),
        order,
    }
}

/// Reads a request to `/images/edits`.
pub async fn edit(parts: &Parts, body: Body) -> (Endpoint, Asked) {
    let content_type = content_type(parts);
    if content_type.starts_with("multipart/form-data") {
        return (Endpoint::MultipartEdits, multipart_edit(parts, body).await);
    }
    if content_type.starts_with("application/json") {
        return (Endpoint::JsonEdits, json_edit(body).await);
    }
    let refusal = unsupported(parts, "'application/json' and 'multipart/form-data'");
    (Endpoint::JsonEdits, Asked::refused(refusal))
}

fn content_type(parts: &Parts) -> &str {
    parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("")
}

fn unsupported(parts: &Parts, supported: &str) -> Refusal {
    let message = format!(
        "Unsupported content type: '{}'. This API method accepts {supported}.",
        content_type(parts)
    );
    Refusal {
        code: Some("unsupported_content_type".to_owned()),
        ..Refusal::without_code(StatusCode::BAD_REQUEST, message)
    }
}

async fn read_json(body: Body) -> Result<Map<String, Value>, Refusal> {
    let unreadable = || {
        let message = "We could not parse the JSON body of your request. The OpenAI API expects a JSON payload.";
        Refusal::without_code(StatusCode::BAD_REQUEST, message)
    };
    let bytes = axum::body::to_bytes(body, usize::MAX)
        .await
        .map_err(|_| unreadable())?;
    serde_json::from_slice(&bytes).map_err(|_| unreadable())
}

async fn json_edit(body: Body) -> Asked {
    let fields = match read_json(body).await {
        Ok(fields) => fields,
        Err(refusal) => return Asked::refused(refusal),
    };
    let order = order_of_json_edit(&fields).await;
    Asked {
        fields: without_pictures(fields.into()),
        order,
    }
}

async fn order_of_json_edit(fields: &Map<String, Value>) -> Result<(Order, Sources), Refusal> {
    let order = check(Endpoint::JsonEdits, fields)?;
    let references = fields.get("images").ok_or_else(|| missing("images"))?;
    let Value::Array(references) = references else {
        return Err(wrong_type("images", "an array", references));
    };
    check_count("images", references.len())?;
    let mut files = Vec::new();
    for (index, reference) in references.iter().enumerate() {
        files.push(sources::load_reference(&format!("images[{index}]"), reference).await?);
    }
    let mask = match fields.get("mask").filter(|mask| !mask.is_null()) {
        Some(mask) => Some(sources::load_reference("mask", mask).await?),
        None => None,
    };
    Ok((order, sources::decode(files, mask).await?))
}

fn check_count(name: &str, count: usize) -> Result<(), Refusal> {
    if (1..=MAX_IMAGES).contains(&count) {
        return Ok(());
    }
    let message = format!(
        "Invalid '{name}': expected an array of 1 to {MAX_IMAGES} items, but got {count} instead."
    );
    Err(Refusal::of_parameter("invalid_value", name, message))
}

async fn multipart_edit(parts: &Parts, body: Body) -> Asked {
    let mut request = Request::new(body);
    *request.headers_mut() = parts.headers.clone();
    // The default limit of two megabytes is lifted by the router, which marks the request with it.
    *request.extensions_mut() = parts.extensions.clone();
    match read_form(request).await {
        Ok(form) => {
            let fields = form.describe();
            Asked {
                fields,
                order: form.into_order().await,
            }
        }
        Err(message) => {
            let message = format!("Could not parse multipart form: {message}");
            Asked::refused(Refusal::without_code(StatusCode::BAD_REQUEST, message))
        }
    }
}

/// The parts of a multipart body, in the order they came.
#[derive(Debug, Default)]
struct Form {
    texts: Vec<(String, String)>,
    files: Vec<(String, File)>,
}

async fn read_form(request: Request) -> Result<Form, String> {
    let mut multipart = Multipart::from_request(request, &())
        .await
        .map_err(|rejection| rejection.body_text())?;
    let mut form = Form::default();
    while let Some(field) = multipart
        .next_field()
        .await
        .map_err(|error| error.body_text())?
    {
        let name = field.name().unwrap_or_default().to_owned();
        let filename = field.file_name().map(str::to_owned);
        let content_type = field.content_type().map(str::to_owned);
        let bytes = field.bytes().await.map_err(|error| error.body_text())?;
        if filename.is_some() {
            form.files.push((
                name.clone(),
                File {
                    name,
                    filename,
                    content_type,
                    bytes,
                },
            ));
        } else {
            form.texts
                .push((name, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    Ok(form)
}

impl Form {
    fn describe(&self) -> Value {
        let mut fields = Map::new();
        for (name, text) in &self.texts {
            add(&mut fields, name, Value::from(text.as_str()));
        }
        for (name, file) in &self.files {
            add(
                &mut fields,
                name,
                describe_file(
                    file.filename.as_deref(),
                    file.content_type.as_deref(),
                    &file.bytes,
                ),
            );
        }
        fields.into()
    }

    async fn into_order(self) -> Result<(Order, Sources), Refusal> {
        let mut fields = Map::new();
        for (name, text) in self.texts {
            if ["image", "image[]", "mask"].contains(&name.as_str()) {
                return Err(wrong_type(&name, "a file", &text.into()));
            }
            if fields.insert(name.clone(), text.into()).is_some() {
                return Err(duplicate(&name));
            }
        }
        let (mut single, mut several, mut mask) = (None, Vec::new(), None);
        for (name, file) in self.files {
            let earlier = match name.as_str() {
                "image" => single.replace(file),
                "mask" => mask.replace(file),
                "image[]" => {
                    several.push(file);
                    None
                }
                // A file under a name that is for text is treated as the text it holds.
                _ => fields
                    .insert(name.clone(), String::from_utf8_lossy(&file.bytes).into())
                    .map(|_| file),
            };
            if earlier.is_some() {
                return Err(duplicate(&name));
            }
        }
        let order = check(Endpoint::MultipartEdits, &fields)?;
        let files = match (single, several) {
            (Some(_), several) if !several.is_empty() => return Err(duplicate("image")),
            (Some(file), _) => vec![file],
            (None, several) if several.is_empty() => return Err(missing("image")),
            (None, several) => several,
        };
        check_count("image", files.len())?;
        Ok((order, sources::decode(files, mask).await?))
    }
}

/// Adds a value under a name; a name that comes again becomes a list.
fn add(fields: &mut Map<String, Value>, name: &str, value: Value) {
    match fields.get_mut(name) {
        Some(Value::Array(values)) => values.push(value),
        Some(earlier) => *earlier = Value::Array(vec![earlier.take(), value]),
        None => {
            fields.insert(name.to_owned(), value);
        }
    }
}

fn duplicate(name: &str) -> Refusal {
    let message = format!(
        "Duplicate parameter: '{name}'. You provided multiple values for this parameter, whereas only one is allowed. \
         If you are trying to provide a list of values, use the array syntax instead e.g. '{name}[]=<value>'."
    );
    Refusal::of_parameter("duplicate_parameter", name, message)
}

/// Pictures in data URLs become descriptions, or the log would hold megabytes of text.
fn without_pictures(value: Value) -> Value {
    match value {
        Value::String(text) => match decode_data_url(&text) {
            Some((content_type, bytes)) => describe_file(None, Some(&content_type), &bytes),
            None => Value::String(text),
        },
        Value::Array(values) => values.into_iter().map(without_pictures).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, without_pictures(value)))
            .collect(),
        other => other,
    }
}

/// Content type and bytes of `data:image/png;base64,…`.
pub(super) fn decode_data_url(url: &str) -> Option<(String, Bytes)> {
    let (content_type, encoded) = url.strip_prefix("data:")?.split_once(";base64,")?;
    Some((
        content_type.to_owned(),
        STANDARD.decode(encoded).ok()?.into(),
    ))
}
