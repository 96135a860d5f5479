//! What each model takes, as OpenAI's documents of November 2026 say.
//!
//! This is not the product's own table: a stand-in that believed the same table could not show that the table is wrong.

use super::refusal::Refusal;

/// A family of models with the same rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// gpt-image-1.5, gpt-image-1-mini and chatgpt-image-latest: three sizes.
    Three,
    /// gpt-image-2, and any newer name that is not known here.
    Two,
    /// gpt-image-2.5 and 2.6: two more qualities.
    TwoAndAHalf,
}

/// Names that were shut down.
const RETIRED: [&str; 3] = ["dall-e-2", "dall-e-3", "gpt-image-1"];

const FIXED_SIZES: [(u32, u32); 3] = [(1024, 1024), (1536, 1024), (1024, 1536)];

const MAX_EDGE: u32 = 3840;
const MIN_PIXELS: u32 = 655_360;
const MAX_PIXELS: u32 = 8_294_400;

impl Family {
    /// The family of a model, unless it is retired or no image model at all. A name like `gpt-image-9` is taken as one that
    /// came out after this was written.
    pub fn of(model: &str) -> Result<Family, Refusal> {
        if RETIRED.contains(&model) {
            return Err(Refusal {
                message: format!(
                    "The model `{model}` has been deprecated, learn more here: https://platform.openai.com/docs/deprecations"
                ),
                ..Refusal::of_code("model_not_found")
            });
        }
        let family = match model {
            "chatgpt-image-latest" => Family::Three,
            _ if model.starts_with("gpt-image-1.5") || model.starts_with("gpt-image-1-mini") => {
                Family::Three
            }
            _ if model.starts_with("gpt-image-2.5-") || model.starts_with("gpt-image-2.6-") => {
                Family::TwoAndAHalf
            }
            _ if model.starts_with("gpt-image-") => Family::Two,
            _ => {
                return Err(Refusal::of_parameter(
                    "invalid_value",
                    "model",
                    format!(
                        "Invalid value: '{model}'. Value must be the name of an image model, such as 'gpt-image-2'."
                    ),
                ));
            }
        };
        Ok(family)
    }

    /// The words for quality that the model knows.
    pub fn qualities(self) -> &'static [&'static str] {
        match self {
            Family::Three | Family::Two => &["auto", "low", "medium", "high"],
            Family::TwoAndAHalf => &["auto", "low", "medium", "high", "xhigh", "max"],
        }
    }

    /// Width and height of `WxH` or `auto`, if the model can make that.
    pub fn size(self, size: &str) -> Result<(u32, u32), Refusal> {
        if size == "auto" {
            return Ok((1024, 1024));
        }
        let refuse = |rule: &str| {
            Err(Refusal::of_parameter(
                "invalid_value",
                "size",
                format!("Invalid size '{size}'. {rule}"),
            ))
        };
        let edges = size
            .split_once('x')
            .and_then(|(width, height)| Some((edge(width)?, edge(height)?)));
        let Some((width, height)) = edges else {
            return refuse("Expected 'auto' or WIDTHxHEIGHT.");
        };
        if self == Family::Three {
            if !FIXED_SIZES.contains(&(width, height)) {
                return refuse("Supported sizes are 1024x1024, 1024x1536, 1536x1024, and auto.");
            }
            return Ok((width, height));
        }
        if width % 16 != 0 || height % 16 != 0 {
            return refuse("Width and height must be divisible by 16.");
        }
        if width.max(height) > MAX_EDGE {
            return refuse("The longest edge must be less than or equal to 3840 pixels.");
        }
        if width.max(height) > 3 * width.min(height) {
            return refuse("The ratio of the edges must be between 1:3 and 3:1.");
        }
        if width * height < MIN_PIXELS {
            return refuse("The image is below the minimum pixel budget of 655360.");
        }
        if width * height > MAX_PIXELS {
            return refuse("The image is above the maximum pixel budget of 8294400.");
        }
        Ok((width, height))
    }

    /// Output tokens of one picture by OpenAI's formula; of the older models by their table.
    pub fn output_tokens(self, quality: &str, width: u32, height: u32) -> u64 {
        let (width, height) = (u64::from(width), u64::from(height));
        let factor = match (self, quality) {
            (Family::Three, _) => return tokens_of_three(quality, width, height),
            (Family::Two, "low") | (Family::TwoAndAHalf, "low") => 16,
            (Family::Two, "high") => 96,
            (Family::Two, _) => 48,
            (Family::TwoAndAHalf, "high") => 48,
            (Family::TwoAndAHalf, "xhigh") => 64,
            (Family::TwoAndAHalf, "max") => 96,
            (Family::TwoAndAHalf, _) => 24,
        };
        let (long, short) = (width.max(height), width.min(height));
        let short_side = (2 * factor * short + long) / (2 * long);
        (factor * short_side * (2_000_000 + width * height)).div_ceil(4_000_000)
    }
}

/// An edge of two to four digits, without a leading zero.
fn edge(text: &str) -> Option<u32> {
    let plain = (2..=4).contains(&text.len())
        && !text.starts_with('0')
        && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// The published table of gpt-image-1 and its kin: square, portrait, landscape.
fn tokens_of_three(quality: &str, width: u64, height: u64) -> u64 {
    let [square, portrait, landscape] = match quality {
        "low" => [272, 408, 400],
        "high" => [4160, 6240, 6208],
        _ => [1056, 1584, 1568],
    };
    match width.cmp(&height) {
        std::cmp::Ordering::Equal => square,
        std::cmp::Ordering::Less => portrait,
        std::cmp::Ordering::Greater => landscape,
    }
}

#[cfg(test)]
mod tests {
    use super::Family;

    #[test]
    fn tokens_are_those_of_the_published_prices() {
        // gpt-image-2 at 1024x1024 costs $.006, .053 and .211 at 30 dollars a million.
        let table = [
            (Family::Two, "low", 1024, 1024, 196),
            (Family::Two, "medium", 1024, 1024, 1756),
            (Family::Two, "high", 1024, 1024, 7024),
            (Family::TwoAndAHalf, "medium", 1024, 1024, 439),
            (Family::Two, "medium", 3840, 2160, 3336),
            (Family::Three, "medium", 1024, 1536, 1584),
        ];
        for (family, quality, width, height, tokens) in table {
            assert_eq!(
                family.output_tokens(quality, width, height),
                tokens,
                "{family:?} {quality} {width}x{height}"
            );
        }
    }

    #[test]
    fn sizes_follow_the_rules_of_the_family() {
        let two = [
            "1024x1024",
            "auto",
            "2880x2880",
            "3840x2160",
            "3808x1632",
            "1584x672",
            "768x1376",
        ];
        for size in two {
            assert!(Family::Two.size(size).is_ok(), "{size}");
        }
        let wrong = [
            "1000x1000",
            "3856x1024",
            "3840x1024",
            "512x512",
            "3840x3840",
            "1024",
            "1024X1024",
            "01024x1024",
            "x",
            "-16x16",
            "99999x16",
        ];
        for size in wrong {
            assert_eq!(
                Family::Two.size(size).unwrap_err().param.as_deref(),
                Some("size"),
                "{size}"
            );
        }
        assert!(Family::Three.size("2048x2048").is_err());
        assert!(Family::Three.size("1536x1024").is_ok());
    }

    #[test]
    fn retired_models_are_refused_and_new_ones_taken() {
        for model in ["dall-e-2", "dall-e-3", "gpt-image-1"] {
            assert_eq!(Family::of(model).unwrap_err().status, 404, "{model}");
        }
        assert_eq!(Family::of("midjourney").unwrap_err().status, 400);
        assert_eq!(Family::of("gpt-image-2-2026-04-21"), Ok(Family::Two));
        assert_eq!(Family::of("gpt-image-2.6-flare"), Ok(Family::TwoAndAHalf));
        assert_eq!(Family::of("gpt-image-3"), Ok(Family::Two));
        assert_eq!(Family::of("gpt-image-1-mini"), Ok(Family::Three));
    }
}
