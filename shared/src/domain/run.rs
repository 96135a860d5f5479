//! A run: one request for an image, from its acceptance to its end.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    attempt::Attempt,
    cost::CostUsd,
    failure::Billed,
    id::{DatasetId, ImageId, RunId, UserId},
    image::{AspectRatio, Background, ImageFormat, Quality, Resolution},
    source::{ImageSource, LeftOut, Reference},
};

/// Where a run stands: pending → running → succeeded | failed | canceled. An end state never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Accepted; no worker has taken it up.
    Pending,
    /// Taken up by a worker, or given back by one for the next.
    Running,
    /// The image is stored and recorded.
    Succeeded,
    /// Ended without an image.
    Failed,
    /// Ended because the caller asked for it.
    Canceled,
}

impl RunStatus {
    /// All of them, in the order of a run's life.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Canceled,
    ];

    /// The word used in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Reads the word of a row.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether this is an end state.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }
}

/// Whether a run makes an image anew or edits others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// From a prompt.
    Generate,
    /// From images and an instruction.
    Edit,
}

impl Mode {
    /// Every mode's word.
    pub const WORDS: [&str; 2] = ["generate", "edit"];

    /// The word used in rows and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Edit => "edit",
        }
    }

    /// Reads the word of a row.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Generate, Self::Edit]
            .into_iter()
            .find(|mode| mode.as_str() == word)
    }
}

/// What an asset kind may be.
pub const ASSET_KIND_FORM: &str = "1 to 64 characters of a-z, 0-9 and -";

/// Whether a text can be an asset kind, the caller's category of an image.
pub fn is_asset_kind(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// The settings of a run, kept in `ai_image_runs.options`: what the worker needs to make the picture, and what the caller wants kept.
/// Everything has a default, so that rows written by other callers of the table can be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunOptions {
    /// Shape of the picture.
    pub aspect_ratio: AspectRatio,
    /// How much work the model puts in.
    pub quality: Quality,
    /// File format.
    pub format: ImageFormat,
    /// Size class.
    pub resolution: Resolution,
    /// Background of the picture.
    pub background: Background,
    /// The style as the caller gave it.
    pub style: Option<String>,
    /// Whether the caller named the model; then no other model is tried after it.
    pub model_named: bool,
    /// Waits before the attempts in milliseconds, where the caller overrides `RETRY_DELAYS_MS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_delays_ms: Option<Vec<u64>>,
    /// Visual elements of the dataset that went into the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique_visual_elements: Option<Value>,
    /// Images to edit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<ImageSource>,
    /// Says by its transparent part which part of the first source is to be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<ImageSource>,
    /// Images of the dataset that go with the request, after the sources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Reference>,
    /// Images of the dataset that could not be loaded, and so did not go with the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references_left_out: Vec<LeftOut>,
    /// The caller's own notes.
    pub metadata: Map<String, Value>,
    /// Anything else: kept as it is.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            aspect_ratio: AspectRatio::Square,
            quality: Quality::Standard,
            format: ImageFormat::Png,
            resolution: Resolution::TwoK,
            background: Background::Auto,
            style: None,
            model_named: false,
            retry_delays_ms: None,
            unique_visual_elements: None,
            sources: Vec::new(),
            mask: None,
            references: Vec::new(),
            references_left_out: Vec::new(),
            metadata: Map::new(),
            other: Map::new(),
        }
    }
}

/// A row of `ai_image_runs`, without what only its own statements need (lease token, request hash).
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Its owner; none for an anonymous caller.
    pub owner: Option<UserId>,
    /// Generate or edit.
    pub mode: Mode,
    /// The caller's category, for analytics.
    pub asset_kind: String,
    /// What the user typed.
    pub user_prompt: String,
    /// What is sent to the vendor.
    pub resolved_prompt: String,
    /// The style preset.
    pub style_preset: Option<String>,
    /// The vendor.
    pub provider: String,
    /// The model that is or was asked last.
    pub model: String,
    /// Its settings.
    pub options: RunOptions,
    /// Attempts after the first.
    pub retry_count: i32,
    /// Where it stands.
    pub status: RunStatus,
    /// Why it failed.
    pub error_code: Option<String>,
    /// The same, for people.
    pub error_message: Option<String>,
    /// Details of the failure: class, whether trying again helps, moderation details.
    pub error_meta: Option<Value>,
    /// The image's public URL.
    pub image_url: Option<String>,
    /// What the vendor said beside the image.
    pub response_metadata: Option<Value>,
    /// Every call of the vendor.
    pub attempts: Vec<Attempt>,
    /// When a worker first took it up.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Number of its latest event.
    pub sequence: i32,
    /// The record of its image.
    pub image_id: Option<ImageId>,
    /// When its image was deleted; it has neither record nor URL then.
    pub image_deleted_at: Option<Timestamp>,
    /// The dataset it draws on.
    pub dataset_id: Option<DatasetId>,
    /// What it cost; none where the price is not known.
    pub cost_usd: Option<CostUsd>,
    /// Version of the price table that the cost was computed with.
    pub price_version: Option<String>,
    /// When the caller asked to cancel it.
    pub cancel_requested_at: Option<Timestamp>,
    /// No attempt begins after this.
    pub deadline_at: Option<Timestamp>,
    /// Whether a call whose answer was lost may be repeated, and so be paid twice.
    pub retry_unknown: bool,
    /// The image that this one was made from.
    pub parent_image_id: Option<ImageId>,
    /// W3C `traceparent` of the request that made the run.
    pub trace_parent: Option<String>,
}

impl Run {
    /// Where the image lies in the bucket: a path of the run's own, so that a repeated upload overwrites itself and nothing else.
    pub fn storage_path(&self) -> String {
        format!("generated/{}.{}", self.id, self.options.format.extension())
    }

    /// Whether any attempt was, or may have been, paid for.
    pub fn may_be_billed(&self) -> bool {
        self.attempts
            .iter()
            .any(|attempt| attempt.billed != Billed::No)
    }
}
