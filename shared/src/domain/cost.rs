//! What an image cost, computed from the usage that `OpenAI` reports; and an estimate before the call.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::image::PixelSize;
use crate::domain::model::Model;

const NANOS: u64 = 1_000_000_000;

/// An amount in US dollars, kept as whole nano-dollars so that sums are exact. JSON shows it as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CostUsd(u64);

/// Tokens that one call used, in `OpenAI`'s shape. Any part may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens of prompt and source images together.
    pub input_tokens: Option<u64>,
    /// Tokens of what was made.
    pub output_tokens: Option<u64>,
    /// Both together.
    pub total_tokens: Option<u64>,
    /// How the input splits into text and images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens_details: Option<InputTokens>,
    /// How the output splits into text and image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens_details: Option<TokenSplit>,
}

/// Input tokens by kind, and how many of them came from `OpenAI`'s cache at a lower price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InputTokens {
    /// Tokens of the prompt.
    pub text_tokens: Option<u64>,
    /// Tokens of source images.
    pub image_tokens: Option<u64>,
    /// How many of both were cached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<u64>,
    /// How the cached ones split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_tokens_details: Option<TokenSplit>,
}

/// Tokens by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenSplit {
    /// Tokens of text.
    pub text_tokens: Option<u64>,
    /// Tokens of images.
    pub image_tokens: Option<u64>,
}

impl CostUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount from nano-dollars.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The amount in nano-dollars.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The nearest floating-point number, for JSON and metrics.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact below nine million dollars"
    )]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / NANOS as f64
    }

    /// The cost of one call. `None` when the model's prices, or the split into text and image tokens, are not known:
    /// an unknown cost is never 0.
    #[must_use]
    pub fn of(model: &Model, usage: &Usage) -> Option<Self> {
        let prices = model.info()?.prices?;
        let (text_in, image_in) = usage.input_split()?;
        let (text_cached, image_cached) = usage.cached_split(text_in, image_in);
        let (text_out, image_out) = usage.output_split()?;
        let text_out_nanos = match (text_out, prices.text_out) {
            (0, _) => 0,
            (tokens, Some(price)) => tokens.checked_mul(price)?,
            (_, None) => return None,
        };
        [
            ((text_in - text_cached), prices.text_in),
            (text_cached, prices.text_in_cached),
            ((image_in - image_cached), prices.image_in),
            (image_cached, prices.image_in_cached),
            (image_out, prices.image_out),
        ]
        .into_iter()
        .try_fold(text_out_nanos, |sum, (tokens, price)| {
            sum.checked_add(tokens.checked_mul(price)?)
        })
        .map(Self)
    }

    /// What the image itself will cost, without prompt and source images. `None` where no formula or price is known,
    /// as for quality `auto`.
    #[must_use]
    pub fn estimate(model: &Model, openai_quality: &str, size: PixelSize) -> Option<Self> {
        let prices = model.info()?.prices?;
        estimated_output_tokens(model, openai_quality, size)?
            .checked_mul(prices.image_out)
            .map(Self)
    }
}

/// Output tokens of an image before it is made, by `OpenAI`'s formula. `openai_quality` is `OpenAI`'s word.
#[must_use]
pub fn estimated_output_tokens(
    model: &Model,
    openai_quality: &str,
    size: PixelSize,
) -> Option<u64> {
    let factor = model
        .info()?
        .factors
        .iter()
        .find(|known| known.quality == openai_quality)?
        .factor;
    let (width, height) = (u64::from(size.width), u64::from(size.height));
    let (long, short) = (width.max(height), width.min(height));
    if short == 0 {
        return None;
    }
    let across = (2 * factor * short + long) / (2 * long);
    Some((factor * across * (2_000_000 + width * height)).div_ceil(4_000_000))
}

impl Usage {
    /// Text and image tokens of the input.
    fn input_split(&self) -> Option<(u64, u64)> {
        let details = self.input_tokens_details.unwrap_or_default();
        match (details.text_tokens, details.image_tokens, self.input_tokens) {
            (Some(text), Some(image), _) => Some((text, image)),
            (Some(text), None, Some(all)) => Some((text, all.checked_sub(text)?)),
            (None, Some(image), Some(all)) => Some((all.checked_sub(image)?, image)),
            (None, None, Some(0)) => Some((0, 0)),
            _ => None,
        }
    }

    /// Cached text and image tokens. Where only their sum is given, text is taken first: that is the smaller discount,
    /// so the cost is not understated.
    fn cached_split(&self, text_in: u64, image_in: u64) -> (u64, u64) {
        let details = self.input_tokens_details.unwrap_or_default();
        let split = details.cached_tokens_details.unwrap_or_default();
        let all = details.cached_tokens;
        let text = split
            .text_tokens
            .or_else(|| all.map(|all| all.saturating_sub(split.image_tokens.unwrap_or(0))))
            .unwrap_or(0)
            .min(text_in);
        let image = split
            .image_tokens
            .or_else(|| all.map(|all| all.saturating_sub(text)))
            .unwrap_or(0);
        (text, image.min(image_in))
    }

    /// Text and image tokens of the output. Without details all of it is the image.
    fn output_split(&self) -> Option<(u64, u64)> {
        let details = self.output_tokens_details.unwrap_or_default();
        match (
            details.text_tokens,
            details.image_tokens,
            self.output_tokens,
        ) {
            (Some(text), Some(image), _) => Some((text, image)),
            (text, None, Some(all)) => {
                let text = text.unwrap_or(0);
                Some((text, all.checked_sub(text)?))
            }
            (None, Some(image), all) => Some((all.unwrap_or(image).checked_sub(image)?, image)),
            (_, None, None) => None,
        }
    }
}

impl Add for CostUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for CostUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// A plain decimal, as Postgres' `numeric` reads it: `0.05268`.
impl fmt::Display for CostUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:09}", self.0 % NANOS);
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{}", self.0 / NANOS),
            decimals => write!(f, "{}.{decimals}", self.0 / NANOS),
        }
    }
}

/// A text that is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an amount in dollars with at most nine decimals")]
pub struct NotAnAmount;

impl FromStr for CostUsd {
    type Err = NotAnAmount;

    fn from_str(text: &str) -> Result<Self, NotAnAmount> {
        let digits_only = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        // Postgres pads a numeric with a scale; zeros past the ninth decimal carry nothing.
        let decimals = decimals.trim_end_matches('0');
        if whole.is_empty() || !digits_only(whole) || !digits_only(decimals) || decimals.len() > 9 {
            return Err(NotAnAmount);
        }
        let whole: u64 = whole.parse().map_err(|_| NotAnAmount)?;
        let nanos: u64 = format!("{decimals:0<9}").parse().map_err(|_| NotAnAmount)?;
        whole
            .checked_mul(NANOS)
            .and_then(|whole| whole.checked_add(nanos))
            .map(Self)
            .ok_or(NotAnAmount)
    }
}

impl Serialize for CostUsd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.to_f64())
    }
}

impl<'de> Deserialize<'de> for CostUsd {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be in range first"
    )]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        if !(0.0..9.0e6).contains(&dollars) {
            return Err(serde::de::Error::custom(
                "an amount in dollars is not negative and below nine million",
            ));
        }
        #[expect(clippy::cast_precision_loss, reason = "one billion is exact")]
        let nanos = (dollars * NANOS as f64).round() as u64;
        Ok(Self(nanos))
    }
}

#[cfg(test)]
mod tests;
