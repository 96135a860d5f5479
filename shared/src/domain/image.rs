//! The words a caller may use to say what an image should be.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A word that is none of those a field knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is no {field}; allowed: {}", .allowed.join(", "))]
pub struct NotAllowed {
    /// The field's name as the API spells it.
    pub field: &'static str,
    /// What was given.
    pub value: String,
    /// Every word the field knows, in the order of the documentation.
    pub allowed: &'static [&'static str],
}

/// Declares an enum whose variants are words on the wire and in the database, so that the list of words is written once.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $field:literal, default $default:ident, { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "&'static str")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
            /// Every value's word, in the same order.
            pub const WORDS: &[&'static str] = &[$($word,)+];
            /// The field's name as the API spells it.
            pub const FIELD: &'static str = $field;

            /// The word that stands for this value in JSON and in the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::$default
            }
        }

        impl FromStr for $name {
            type Err = NotAllowed;

            fn from_str(value: &str) -> Result<Self, NotAllowed> {
                let wanted = Self::synonym(value);
                Self::ALL
                    .iter()
                    .copied()
                    .find(|known| known.as_str() == wanted)
                    .ok_or_else(|| NotAllowed { field: $field, value: value.to_owned(), allowed: Self::WORDS })
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAllowed;

            fn try_from(value: String) -> Result<Self, NotAllowed> {
                value.parse()
            }
        }

        impl From<$name> for &'static str {
            fn from(value: $name) -> Self {
                value.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

/// Gives enums of [`words!`] no second spelling of their words.
macro_rules! no_synonyms {
    ($($name:ident)+) => {
        $(impl $name {
            const fn synonym(value: &str) -> &str {
                value
            }
        })+
    };
}

words! {
    /// Width to height.
    AspectRatio, "aspect_ratio", default Square, {
        /// 1:1
        Square = "1:1",
        /// 2:3, upright
        TwoThree = "2:3",
        /// 3:2
        ThreeTwo = "3:2",
        /// 3:4, upright
        ThreeFour = "3:4",
        /// 4:3
        FourThree = "4:3",
        /// 4:5, upright
        FourFive = "4:5",
        /// 5:4
        FiveFour = "5:4",
        /// 9:16, upright
        NineSixteen = "9:16",
        /// 16:9
        SixteenNine = "16:9",
        /// 21:9
        TwentyOneNine = "21:9",
    }
}

words! {
    /// How many pixels, in steps; what a step means for an aspect ratio is the table in `domain::size`.
    Resolution, "resolution", default TwoK, {
        /// About one megapixel.
        OneK = "1K",
        /// About four megapixels.
        TwoK = "2K",
        /// About eight megapixels, the most that the models make.
        FourK = "4K",
    }
}

words! {
    /// How much work the model puts into the image, which is most of its price.
    Quality, "quality", default Standard, {
        /// The everyday quality; today's models call it medium.
        Standard = "standard",
        /// The better quality; today's models call it high.
        Hd = "hd",
        /// The model's own `low`.
        Low = "low",
        /// The model's own `medium`.
        Medium = "medium",
        /// The model's own `high`.
        High = "high",
        /// The model chooses.
        Auto = "auto",
        /// Above high, on the models that have it.
        Xhigh = "xhigh",
        /// The most, on the models that have it.
        Max = "max",
    }
}

words! {
    /// The file format of the image.
    ImageFormat, "format", default Png, {
        /// Lossless, may be transparent.
        Png = "png",
        /// Lossy and opaque; `jpeg` is read as this.
        Jpg = "jpg",
        /// Small, may be transparent.
        Webp = "webp",
    }
}

words! {
    /// What is behind the subject.
    Background, "background", default Auto, {
        /// The model chooses.
        Auto = "auto",
        /// Filled.
        Opaque = "opaque",
        /// See-through, which needs a format with an alpha channel.
        Transparent = "transparent",
    }
}

no_synonyms! { AspectRatio Resolution Quality Background }

impl AspectRatio {
    /// The two numbers of the ratio, width first.
    #[must_use]
    pub const fn parts(self) -> (u32, u32) {
        match self {
            Self::Square => (1, 1),
            Self::TwoThree => (2, 3),
            Self::ThreeTwo => (3, 2),
            Self::ThreeFour => (3, 4),
            Self::FourThree => (4, 3),
            Self::FourFive => (4, 5),
            Self::FiveFour => (5, 4),
            Self::NineSixteen => (9, 16),
            Self::SixteenNine => (16, 9),
            Self::TwentyOneNine => (21, 9),
        }
    }
}

impl ImageFormat {
    fn synonym(value: &str) -> &str {
        if value == "jpeg" { "jpg" } else { value }
    }

    /// The MIME type that the image is stored and served with.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpg => "image/jpeg",
            Self::Webp => "image/webp",
        }
    }

    /// The end of the stored object's name, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        self.as_str()
    }

    /// What `OpenAI` calls this format in `output_format`.
    #[must_use]
    pub const fn openai_name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpg => "jpeg",
            Self::Webp => "webp",
        }
    }

    /// Whether an image of this format can be see-through.
    #[must_use]
    pub const fn has_alpha(self) -> bool {
        !matches!(self, Self::Jpg)
    }

    /// The format that a MIME type names, parameters ignored.
    #[must_use]
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        Self::ALL
            .iter()
            .copied()
            .find(|format| essence.eq_ignore_ascii_case(format.content_type()))
    }
}

impl Background {
    /// Whether the models accept this background with that format: transparent needs an alpha channel.
    #[must_use]
    pub const fn fits(self, format: ImageFormat) -> bool {
        !matches!(self, Self::Transparent) || format.has_alpha()
    }
}

/// Width and height of an image in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PixelSize {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

impl PixelSize {
    /// A size from its two edges, width first.
    #[must_use]
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }
}

/// Written as `OpenAI` reads it: `1024x1536`.
impl fmt::Display for PixelSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back_and_travels_as_a_json_string() {
        fn check<T>(all: &[T], words: &[&str])
        where
            T: Copy
                + PartialEq
                + fmt::Debug
                + FromStr<Err = NotAllowed>
                + Serialize
                + for<'de> Deserialize<'de>,
        {
            assert_eq!(all.len(), words.len());
            for (value, word) in all.iter().zip(words) {
                assert_eq!(word.parse::<T>().as_ref(), Ok(value));
                let json = serde_json::to_value(value).unwrap();
                assert_eq!(json, serde_json::json!(word));
                assert_eq!(serde_json::from_value::<T>(json).unwrap(), *value);
            }
        }
        check(AspectRatio::ALL, AspectRatio::WORDS);
        check(Resolution::ALL, Resolution::WORDS);
        check(Quality::ALL, Quality::WORDS);
        check(ImageFormat::ALL, ImageFormat::WORDS);
        check(Background::ALL, Background::WORDS);
    }

    #[test]
    fn jpeg_is_read_as_jpg_and_a_wrong_word_names_what_is_allowed() {
        assert_eq!("jpeg".parse(), Ok(ImageFormat::Jpg));
        let error = "gif".parse::<ImageFormat>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`gif` is no format; allowed: png, jpg, webp"
        );
        for wrong in ["PNG", "", " png", "1k"] {
            assert!(wrong.parse::<ImageFormat>().is_err());
            assert!(wrong.parse::<Resolution>().is_err());
        }
    }

    #[test]
    fn formats_have_names_for_everybody() {
        let names = |format: ImageFormat| {
            (
                format.content_type(),
                format.extension(),
                format.openai_name(),
            )
        };
        assert_eq!(names(ImageFormat::Png), ("image/png", "png", "png"));
        assert_eq!(names(ImageFormat::Jpg), ("image/jpeg", "jpg", "jpeg"));
        assert_eq!(names(ImageFormat::Webp), ("image/webp", "webp", "webp"));
        assert_eq!(
            ImageFormat::from_content_type("Image/JPEG; q=1"),
            Some(ImageFormat::Jpg)
        );
        assert_eq!(ImageFormat::from_content_type("text/html"), None);
    }

    #[test]
    fn only_transparent_on_jpg_does_not_fit() {
        for background in Background::ALL {
            for format in ImageFormat::ALL {
                let impossible =
                    *background == Background::Transparent && *format == ImageFormat::Jpg;
                assert_eq!(background.fits(*format), !impossible);
            }
        }
    }
}
