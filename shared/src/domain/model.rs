//! The models: what each accepts and what it costs. The one place to touch when `OpenAI` adds a model or changes a price;
//! change [`PRICE_VERSION`] with it. A model that is not listed still works: its cost is then unknown.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::image::Quality;

/// The month that the table below was checked against `OpenAI`'s price list; stored with every run that has a cost.
pub const PRICE_VERSION: &str = "2026-11";

/// Whether a model may still be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelState {
    /// In service.
    Live,
    /// In service until the named day (ISO 8601): fine in records, never a default.
    ShutsDown(&'static str),
    /// Out of service: found in old records only.
    Retired,
}

/// Which sizes a model makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeRule {
    /// Any within the limits of `domain::size::is_free_size`.
    Free,
    /// 1024x1024, 1536x1024 and 1024x1536 only.
    ThreeSizes,
}

/// Prices in nano-dollars a token, which is the same as thousandths of a dollar per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    /// A token of the prompt.
    pub text_in: u64,
    /// A token of the prompt that `OpenAI` had in its cache.
    pub text_in_cached: u64,
    /// A token of a source image.
    pub image_in: u64,
    /// A token of a source image that `OpenAI` had in its cache.
    pub image_in_cached: u64,
    /// A token of the image made.
    pub image_out: u64,
    /// A token of text that came with the image, where the price list has a price for it.
    pub text_out: Option<u64>,
}

/// The factor `f` of the formula for output tokens, for each quality that the formula is known for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QualityFactor {
    /// `OpenAI`'s word for the quality.
    pub quality: &'static str,
    /// `f`.
    pub factor: u64,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelInfo {
    /// The name without a date.
    pub name: &'static str,
    /// Whether it may still be called.
    pub state: ModelState,
    /// The qualities it accepts, in our words.
    pub qualities: &'static [Quality],
    /// The sizes it makes.
    pub sizes: SizeRule,
    /// What it costs, where that is by token and known.
    pub prices: Option<Prices>,
    /// For the estimate of output tokens; empty where no formula is known.
    pub factors: &'static [QualityFactor],
}

const COMMON: &[Quality] = &[
    Quality::Standard,
    Quality::Hd,
    Quality::Low,
    Quality::Medium,
    Quality::High,
    Quality::Auto,
];
const WITH_MAX: &[Quality] = Quality::ALL;

const GPT_IMAGE_2_PRICES: Prices = Prices {
    text_in: 5_000,
    text_in_cached: 1_250,
    image_in: 8_000,
    image_in_cached: 2_000,
    image_out: 30_000,
    text_out: None,
};
const GPT_IMAGE_1_5_PRICES: Prices = Prices {
    image_out: 32_000,
    text_out: Some(10_000),
    ..GPT_IMAGE_2_PRICES
};
const GPT_IMAGE_1_MINI_PRICES: Prices = Prices {
    text_in: 2_000,
    text_in_cached: 200,
    image_in: 2_500,
    image_in_cached: 250,
    image_out: 8_000,
    text_out: None,
};
const GPT_IMAGE_1_PRICES: Prices = Prices {
    text_in: 5_000,
    text_in_cached: 1_250,
    image_in: 10_000,
    image_in_cached: 2_500,
    image_out: 40_000,
    text_out: None,
};

const fn factor(quality: &'static str, factor: u64) -> QualityFactor {
    QualityFactor { quality, factor }
}

const FACTORS_2: &[QualityFactor] = &[factor("low", 16), factor("medium", 48), factor("high", 96)];
const FACTORS_2_5: &[QualityFactor] = &[
    factor("low", 16),
    factor("medium", 24),
    factor("high", 48),
    factor("xhigh", 64),
    factor("max", 96),
];

const GPT_IMAGE_2: ModelInfo = ModelInfo {
    name: "gpt-image-2",
    state: ModelState::Live,
    qualities: COMMON,
    sizes: SizeRule::Free,
    prices: Some(GPT_IMAGE_2_PRICES),
    factors: FACTORS_2,
};
const fn gpt_image_2_5(name: &'static str) -> ModelInfo {
    ModelInfo {
        name,
        qualities: WITH_MAX,
        factors: FACTORS_2_5,
        ..GPT_IMAGE_2
    }
}
// No formula has been published for 2.6: its cost is known from the usage, its estimate is not.
const fn gpt_image_2_6(name: &'static str) -> ModelInfo {
    ModelInfo {
        name,
        qualities: WITH_MAX,
        factors: &[],
        ..GPT_IMAGE_2
    }
}
const fn older(name: &'static str, state: ModelState, prices: Option<Prices>) -> ModelInfo {
    ModelInfo {
        name,
        state,
        qualities: COMMON,
        sizes: SizeRule::ThreeSizes,
        prices,
        factors: &[],
    }
}

/// Every model known, the sensible default first.
pub const MODELS: &[ModelInfo] = &[
    GPT_IMAGE_2,
    gpt_image_2_5("gpt-image-2.5-flare"),
    gpt_image_2_5("gpt-image-2.5-sunburst"),
    gpt_image_2_6("gpt-image-2.6-flare"),
    gpt_image_2_6("gpt-image-2.6-sunburst"),
    older(
        "gpt-image-1.5",
        ModelState::ShutsDown("2026-12-01"),
        Some(GPT_IMAGE_1_5_PRICES),
    ),
    older(
        "chatgpt-image-latest",
        ModelState::ShutsDown("2026-12-01"),
        Some(GPT_IMAGE_1_5_PRICES),
    ),
    older(
        "gpt-image-1-mini",
        ModelState::ShutsDown("2026-12-01"),
        Some(GPT_IMAGE_1_MINI_PRICES),
    ),
    older("gpt-image-1", ModelState::Retired, Some(GPT_IMAGE_1_PRICES)),
    older("dall-e-3", ModelState::Retired, None),
    older("dall-e-2", ModelState::Retired, None),
];

/// A model's name, known to the table or not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Model(String);

/// A text that cannot be a model's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a model's name is 1 to 100 characters of A-Z a-z 0-9 . _ : -")]
pub struct NotAModel;

/// A quality that the model does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{model} has no quality `{quality}`; allowed: {}", .allowed.iter().map(|q| q.as_str()).collect::<Vec<_>>().join(", "))]
pub struct QualityNotAllowed {
    /// The model asked for.
    pub model: Model,
    /// The quality asked for.
    pub quality: Quality,
    /// What the model has.
    pub allowed: &'static [Quality],
}

impl Model {
    /// The name as it is sent and stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the table knows about the model. A dated name (`gpt-image-2-2026-04-21`) is the model without the date.
    #[must_use]
    pub fn info(&self) -> Option<&'static ModelInfo> {
        let undated = without_date(&self.0);
        MODELS
            .iter()
            .find(|info| info.name == self.0)
            .or_else(|| MODELS.iter().find(|info| info.name == undated))
    }

    /// Whether the model is known to be out of service; an unknown one is given the benefit of the doubt.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.info()
            .is_some_and(|info| info.state == ModelState::Retired)
    }
}

/// The word that `OpenAI` wants for one of ours.
///
/// # Errors
/// When the table says that the model has no such quality; what an unknown model has is left to `OpenAI` to say.
pub fn openai_quality(model: &Model, quality: Quality) -> Result<&'static str, QualityNotAllowed> {
    if let Some(info) = model.info()
        && !info.qualities.contains(&quality)
    {
        return Err(QualityNotAllowed {
            model: model.clone(),
            quality,
            allowed: info.qualities,
        });
    }
    Ok(match quality {
        Quality::Standard | Quality::Medium => "medium",
        Quality::Hd | Quality::High => "high",
        Quality::Low => "low",
        Quality::Auto => "auto",
        Quality::Xhigh => "xhigh",
        Quality::Max => "max",
    })
}

fn without_date(name: &str) -> &str {
    let Some(split) = name.len().checked_sub("-2026-01-01".len()) else {
        return name;
    };
    let (head, date) = name.split_at(split);
    let is_date = date.bytes().enumerate().all(|(i, b)| {
        if matches!(i, 0 | 5 | 8) {
            b == b'-'
        } else {
            b.is_ascii_digit()
        }
    });
    if is_date { head } else { name }
}

impl FromStr for Model {
    type Err = NotAModel;

    fn from_str(name: &str) -> Result<Self, NotAModel> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
        if name.is_empty() || name.len() > 100 || !name.bytes().all(allowed) {
            return Err(NotAModel);
        }
        Ok(Self(name.to_owned()))
    }
}

impl TryFrom<String> for Model {
    type Error = NotAModel;

    fn try_from(name: String) -> Result<Self, NotAModel> {
        name.parse()
    }
}

impl From<Model> for String {
    fn from(model: Model) -> Self {
        model.0
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> Model {
        name.parse().unwrap()
    }

    #[test]
    fn names_are_checked_and_unknown_ones_are_kept() {
        let longest = "m".repeat(100);
        for good in ["gpt-image-2", "ft:gpt-image-2:org_1", "X", longest.as_str()] {
            assert_eq!(model(good).as_str(), good);
        }
        let too_long = "m".repeat(101);
        for bad in ["", "gpt image", "gpt/image", "modèle", too_long.as_str()] {
            assert_eq!(bad.parse::<Model>(), Err(NotAModel), "{bad}");
        }
    }

    #[test]
    fn a_dated_name_is_its_model() {
        let cases = [
            ("gpt-image-2-2026-04-21", Some("gpt-image-2")),
            (
                "gpt-image-2.5-flare-2026-09-08",
                Some("gpt-image-2.5-flare"),
            ),
            ("gpt-image-2-2026-4-21x", None),
            ("gpt-image-3", None),
            ("-2026-04-21", None),
        ];
        for (name, expected) in cases {
            assert_eq!(model(name).info().map(|info| info.name), expected, "{name}");
        }
    }

    #[test]
    fn qualities_by_model() {
        let cases = [
            ("gpt-image-2", Quality::Standard, Some("medium")),
            ("gpt-image-2", Quality::Hd, Some("high")),
            ("gpt-image-2", Quality::Low, Some("low")),
            ("gpt-image-2", Quality::Auto, Some("auto")),
            ("gpt-image-2", Quality::Xhigh, None),
            ("gpt-image-1.5", Quality::Max, None),
            ("gpt-image-2.5-flare", Quality::Xhigh, Some("xhigh")),
            ("gpt-image-2.6-sunburst", Quality::Max, Some("max")),
            ("a-model-of-tomorrow", Quality::Max, Some("max")),
        ];
        for (name, quality, expected) in cases {
            assert_eq!(
                openai_quality(&model(name), quality).ok(),
                expected,
                "{name} {quality}"
            );
        }
        let error = openai_quality(&model("gpt-image-2"), Quality::Max).unwrap_err();
        assert_eq!(
            error.to_string(),
            "gpt-image-2 has no quality `max`; allowed: standard, hd, low, medium, high, auto"
        );
    }

    #[test]
    fn the_first_model_is_live_and_names_are_unique() {
        assert_eq!(MODELS[0].state, ModelState::Live);
        for (index, info) in MODELS.iter().enumerate() {
            assert!(
                MODELS
                    .iter()
                    .skip(index + 1)
                    .all(|other| other.name != info.name),
                "{}",
                info.name
            );
            assert_eq!(
                model(info.name).is_retired(),
                info.state == ModelState::Retired
            );
        }
    }
}
