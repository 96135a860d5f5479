//! What callers may ask for: the fields that generate, edit and regenerate have in common.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    domain::{
        id::{DatasetId, ImageId},
        image::{AspectRatio, Background, ImageFormat, Quality, Resolution},
        model::{MODELS, Model, ModelState, openai_quality},
        run::{ASSET_KIND_FORM, Mode, RunOptions, is_asset_kind},
        style::STYLE_LIMIT,
    },
    http::{FieldError, fields::Fields},
};

/// The fields below, as the body spells them.
pub const OPTION_FIELDS: [&str; 11] = [
    "dataset_id",
    "style",
    "aspect_ratio",
    "quality",
    "format",
    "resolution",
    "model",
    "background",
    "asset_kind",
    "metadata",
    "retry_unknown",
];

/// Largest `metadata` as JSON, in bytes.
const METADATA_LIMIT: usize = 4096;

/// The options of an image as the caller gave them, with defaults filled in.
#[derive(Clone, Debug)]
pub struct ImageOptions {
    /// The dataset to draw on.
    pub dataset_id: Option<DatasetId>,
    /// Style, named or free.
    pub style: Option<String>,
    /// The model to ask first.
    pub model: Model,
    /// The caller's category.
    pub asset_kind: String,
    /// Whether a call whose answer was lost may be repeated.
    pub retry_unknown: bool,
    /// What the run keeps and the worker needs.
    pub run: RunOptions,
}

/// A request that is ready to become a run.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Generate or edit.
    pub mode: Mode,
    /// What the user typed.
    pub user_prompt: String,
    /// What will be sent.
    pub resolved_prompt: String,
    /// Style, named or free.
    pub style_preset: Option<String>,
    /// The model to ask first.
    pub model: Model,
    /// The caller's category.
    pub asset_kind: String,
    /// Settings.
    pub options: RunOptions,
    /// The dataset drawn on.
    pub dataset_id: Option<DatasetId>,
    /// The image this one is made from.
    pub parent_image_id: Option<ImageId>,
    /// Whether a call whose answer was lost may be repeated.
    pub retry_unknown: bool,
    /// SHA-256 of the request, for the idempotency key.
    pub request_hash: String,
}

/// Reads the common options. Mistakes are noted in `fields`.
pub fn image_options(fields: &mut Fields, default_model: &Model) -> ImageOptions {
    let dataset_id = fields.parsed("dataset_id", "a UUID");
    let style = fields.text("style", 1..=STYLE_LIMIT);
    let aspect_ratio = fields
        .word("aspect_ratio", AspectRatio::WORDS)
        .unwrap_or_default();
    let quality: Quality = fields.word("quality", Quality::WORDS).unwrap_or_default();
    let format: ImageFormat = fields
        .word("format", ImageFormat::WORDS)
        .unwrap_or_default();
    let resolution = fields
        .word("resolution", Resolution::WORDS)
        .unwrap_or_default();
    let background: Background = fields
        .word("background", Background::WORDS)
        .unwrap_or_default();
    let named = model(fields);
    let model = named.clone().unwrap_or_else(|| default_model.clone());
    if let Err(error) = openai_quality(&model, quality) {
        let words: Vec<&str> = error
            .allowed
            .iter()
            .map(|quality| quality.as_str())
            .collect();
        fields.error(FieldError::new(
            "quality",
            format!("{} has no quality {}.", model.as_str(), quality.as_str()),
            words,
        ));
    }
    if !background.fits(format) {
        let message = format!(
            "a {} picture cannot have a {} background.",
            format.as_str(),
            background.as_str()
        );
        fields.error(FieldError::new(
            "background",
            message,
            "auto or opaque, or the format png or webp",
        ));
    }
    let asset_kind = asset_kind(fields);
    let metadata = fields
        .object("metadata", METADATA_LIMIT)
        .unwrap_or_default();
    let retry_unknown = fields.boolean("retry_unknown").unwrap_or(false);
    ImageOptions {
        dataset_id,
        style: style.clone(),
        model,
        asset_kind,
        retry_unknown,
        run: RunOptions {
            aspect_ratio,
            quality,
            format,
            resolution,
            background,
            style,
            model_named: named.is_some(),
            retry_delays_ms: None,
            metadata,
            ..RunOptions::default()
        },
    }
}

fn model(fields: &mut Fields) -> Option<Model> {
    let text = fields.text("model", 1..=100)?;
    let live = || {
        MODELS
            .iter()
            .filter(|info| info.state != ModelState::Retired)
            .map(|info| info.name)
            .collect::<Vec<_>>()
    };
    match Model::try_from(text.clone()) {
        Ok(model) if model.is_retired() => {
            fields.error(FieldError::new(
                "model",
                format!("{text} is retired."),
                live(),
            ));
            None
        }
        Ok(model) => Some(model),
        Err(error) => {
            fields.error(FieldError::new("model", format!("{error}."), live()));
            None
        }
    }
}

fn asset_kind(fields: &mut Fields) -> String {
    let Some(kind) = fields.text("asset_kind", 1..=64) else {
        return "generic".to_owned();
    };
    if !is_asset_kind(&kind) {
        fields.error(FieldError::new(
            "asset_kind",
            format!("must be {ASSET_KIND_FORM}."),
            ASSET_KIND_FORM,
        ));
    }
    kind
}

/// SHA-256 of a request, in hex: its route and its body with the keys in order, so that spelling the same request differently
/// (white space, order of keys) is the same request.
pub fn request_hash(route: &str, body: &[u8]) -> String {
    let canonical = serde_json::from_slice::<Value>(body)
        .map(|value| value.to_string())
        .unwrap_or_default();
    let digest = Sha256::new()
        .chain_update(route)
        .chain_update([0])
        .chain_update(canonical)
        .finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_request_has_the_same_hash_however_it_is_spelled() {
        let hash = |body: &str| request_hash("generate", body.as_bytes());
        assert_eq!(
            hash(r#"{"a": 1, "b": [1, 2]}"#),
            hash("{\"b\":[1,2],\n\"a\":1}")
        );
        assert_ne!(hash(r#"{"a": 1}"#), hash(r#"{"a": 2}"#));
        assert_ne!(hash("{}"), request_hash("edit", b"{}"));
    }
}
