//! A request for pictures, checked as the real API checks it.

use drawing::encode::Format;
use image::DynamicImage;
use serde_json::{Map, Value};

use super::models::Family;
use super::refusal::Refusal;

/// Which of the two endpoints was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /v1/images/generations`, JSON.
    Generations,
    /// `POST /v1/images/edits` with a JSON body.
    JsonEdits,
    /// `POST /v1/images/edits` with a multipart body, whose fields are all text.
    MultipartEdits,
}

/// A request that the real API would take.
#[derive(Clone, Debug)]
pub struct Order {
    /// What to draw.
    pub prompt: String,
    /// The model's name as it was given.
    pub model: String,
    /// The rules of the model.
    pub family: Family,
    /// How many pictures.
    pub n: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Never `auto`: what the model would have chosen.
    pub quality: String,
    /// The encoding of the picture.
    pub format: Format,
    /// 0 to 100.
    pub compression: Option<u8>,
    /// With a transparent background.
    pub transparent: bool,
    /// Whether the answer is an event stream.
    pub stream: bool,
    /// How many unfinished pictures come before the finished one.
    pub partial_images: u32,
    /// The caller's name for its user.
    pub safety_identifier: Option<String>,
}

/// The source pictures of an edit.
#[derive(Debug, Default)]
pub struct Sources {
    /// The first picture, to draw over.
    pub first: Option<DynamicImage>,
    /// The mask of the first picture.
    pub mask: Option<DynamicImage>,
    /// Width and height of each picture, the first one too.
    pub dimensions: Vec<(u32, u32)>,
}

const MAX_PROMPT_CHARS: usize = 32_000;
const MAX_SAFETY_IDENTIFIER_CHARS: usize = 128;

/// Fields that every endpoint has. `images`, `image` and `mask` are read elsewhere.
const FIELDS: [&str; 17] = [
    "prompt",
    "model",
    "n",
    "quality",
    "size",
    "output_format",
    "output_compression",
    "background",
    "stream",
    "partial_images",
    "safety_identifier",
    "user",
    "complexity",
    "frame_count",
    "frame_duration_ms",
    "svg",
    "moderation",
];

impl Endpoint {
    fn has_field(self, name: &str) -> bool {
        match (self, name) {
            (Endpoint::MultipartEdits, "moderation") => false,
            (
                Endpoint::MultipartEdits,
                "input_fidelity" | "mask" | "image" | "image[]" | "markup",
            ) => true,
            (Endpoint::JsonEdits, "input_fidelity" | "mask" | "images" | "markup") => true,
            _ => FIELDS.contains(&name),
        }
    }
}

/// Checks the fields of a request. In a multipart body every value is a string, and `true` and `3` are read as what they
/// look like.
pub fn check(endpoint: Endpoint, fields: &Map<String, Value>) -> Result<Order, Refusal> {
    if let Some(name) = fields.keys().find(|name| !endpoint.has_field(name)) {
        return Err(Refusal::of_parameter(
            "unknown_parameter",
            name,
            format!("Unknown parameter: '{name}'."),
        ));
    }
    let fields = Fields {
        fields,
        text_only: endpoint == Endpoint::MultipartEdits,
    };

    let prompt = fields.text("prompt")?.ok_or_else(|| missing("prompt"))?;
    let length = prompt.chars().count();
    if length == 0 || length > MAX_PROMPT_CHARS {
        let message = format!(
            "Invalid 'prompt': expected 1 to {MAX_PROMPT_CHARS} characters, but got {length} instead."
        );
        return Err(Refusal::of_parameter("invalid_value", "prompt", message));
    }
    let model = fields.text("model")?.ok_or_else(|| missing("model"))?;
    let family = Family::of(model)?;
    let n = fields.number("n", 1, 10)?.unwrap_or(1);
    let quality = fields
        .choice("quality", family.qualities())?
        .unwrap_or("auto");
    let (width, height) = family.size(fields.text("size")?.unwrap_or("auto"))?;
    let format = match fields.choice("output_format", &["png", "jpeg", "webp"])? {
        Some("jpeg") => Format::Jpeg,
        Some("webp") => Format::Webp,
        _ => Format::Png,
    };
    let compression = fields
        .number("output_compression", 0, 100)?
        .and_then(|percent| u8::try_from(percent).ok());
    if compression.is_some_and(|percent| percent < 100) && format == Format::Png {
        let message = "Compression less than 100 is not supported for PNG output format.";
        return Err(Refusal::of_parameter(
            "invalid_value",
            "output_compression",
            message,
        ));
    }
    let transparent =
        fields.choice("background", &["auto", "opaque", "transparent"])? == Some("transparent");
    if transparent && format == Format::Jpeg {
        let message = "Transparent background is not supported for JPEG output format.";
        return Err(Refusal::of_parameter(
            "invalid_value",
            "background",
            message,
        ));
    }
    fields.choice("moderation", &["auto", "low"])?;
    fields.choice("input_fidelity", &["low", "high"])?;
    let safety_identifier = fields.text("safety_identifier")?;
    if safety_identifier.is_some_and(|name| name.chars().count() > MAX_SAFETY_IDENTIFIER_CHARS) {
        let message =
            "Invalid 'safety_identifier': string too long. Expected at most 128 characters.";
        return Err(Refusal::of_parameter(
            "invalid_value",
            "safety_identifier",
            message,
        ));
    }
    fields.text("user")?;
    for name in ["complexity", "frame_count", "frame_duration_ms", "svg"] {
        if fields.get(name).is_some() {
            let message = format!("'{name}' is only supported for the gif and svg output formats.");
            return Err(Refusal::of_parameter("invalid_value", name, message));
        }
    }

    Ok(Order {
        prompt: prompt.to_owned(),
        model: model.to_owned(),
        family,
        n,
        width,
        height,
        quality: if quality == "auto" { "medium" } else { quality }.to_owned(),
        format,
        compression,
        transparent,
        stream: fields.boolean("stream")?.unwrap_or(false),
        partial_images: fields.number("partial_images", 0, 3)?.unwrap_or(0),
        safety_identifier: safety_identifier.map(str::to_owned),
    })
}

pub(super) fn missing(name: &str) -> Refusal {
    Refusal::of_parameter(
        "missing_required_parameter",
        name,
        format!("Missing required parameter: '{name}'."),
    )
}

struct Fields<'a> {
    fields: &'a Map<String, Value>,
    text_only: bool,
}

impl<'a> Fields<'a> {
    /// A field that is there and not null.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        value
            .as_str()
            .map(Some)
            .ok_or_else(|| wrong_type(name, "a string", value))
    }

    fn choice(
        &self,
        name: &str,
        choices: &[&'static str],
    ) -> Result<Option<&'static str>, Refusal> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let chosen = choices.iter().find(|choice| **choice == text);
        chosen.map(|choice| Some(*choice)).ok_or_else(|| {
            let supported = choices
                .iter()
                .map(|choice| format!("'{choice}'"))
                .collect::<Vec<_>>()
                .join(", ");
            let message = format!("Invalid value: '{text}'. Supported values are: {supported}.");
            Refusal::of_parameter("invalid_value", name, message)
        })
    }

    fn number(&self, name: &str, least: u32, most: u32) -> Result<Option<u32>, Refusal> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = if self.text_only {
            value.as_str().and_then(|text| text.parse().ok())
        } else {
            value.as_i64()
        };
        let number = number.ok_or_else(|| wrong_type(name, "an integer", value))?;
        let in_range = u32::try_from(number)
            .ok()
            .filter(|number| (least..=most).contains(number));
        in_range.map(Some).ok_or_else(|| {
            let message = format!("Invalid '{name}': expected a value from {least} to {most}, but got {number} instead.");
            Refusal::of_parameter("invalid_value", name, message)
        })
    }

    fn boolean(&self, name: &str) -> Result<Option<bool>, Refusal> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let boolean = match value.as_str() {
            Some("true") if self.text_only => Some(true),
            Some("false") if self.text_only => Some(false),
            _ => value.as_bool(),
        };
        boolean
            .map(Some)
            .ok_or_else(|| wrong_type(name, "a boolean", value))
    }
}

pub(super) fn wrong_type(name: &str, expected: &str, value: &Value) -> Refusal {
    let got = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    let message = format!("Invalid type for '{name}': expected {expected}, but got {got} instead.");
    Refusal::of_parameter("invalid_type", name, message)
}
