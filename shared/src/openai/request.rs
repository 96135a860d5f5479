//! What is asked of `OpenAI`, and how it is put on the wire.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::Body;
use reqwest::multipart::{Form, Part};
use serde::Serialize;

use crate::domain::fault::Fault;
use crate::domain::image::{Background, ImageFormat, PixelSize, Quality};
use crate::domain::model::{Model, openai_quality};
use crate::domain::sniff;

/// The most source images of one edit (`OpenAI`'s images API, November 2026).
pub const MOST_SOURCE_IMAGES: usize = 16;
/// Every source image is smaller than this.
pub const SOURCE_IMAGE_LIMIT: usize = 50_000_000;
/// A mask is smaller than this.
pub const MASK_LIMIT: usize = 4_000_000;

/// One image to be made.
#[derive(Debug, Clone)]
pub struct ImageRequest<'a> {
    /// The model to ask.
    pub model: &'a Model,
    /// The composed prompt.
    pub prompt: &'a str,
    /// The pixels to ask for; `None` lets the model choose.
    pub size: Option<PixelSize>,
    /// The quality, in our words.
    pub quality: Quality,
    /// The file format.
    pub format: ImageFormat,
    /// What is behind the subject.
    pub background: Background,
    /// A hash that stands for the user, at most 128 characters; never the user's id.
    pub safety_identifier: Option<&'a str>,
    /// The longest that this call may take from first to last; the client's own limit holds too.
    pub timeout: Option<Duration>,
}

/// One image to be made of others.
#[derive(Debug, Clone)]
pub struct EditRequest<'a> {
    /// What to make; its prompt is the instruction.
    pub image: ImageRequest<'a>,
    /// The images to edit and then those to look at, 1 to [`MOST_SOURCE_IMAGES`].
    pub sources: Vec<SourceImage>,
    /// A PNG of the first source's dimensions whose transparent part is to be changed.
    pub mask: Option<Bytes>,
}

/// An image that goes with an edit. Cloning it does not copy the bytes.
#[derive(Clone)]
pub struct SourceImage {
    /// The file.
    pub bytes: Bytes,
    /// What the file is, as found by looking at it.
    pub format: ImageFormat,
}

impl std::fmt::Debug for SourceImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "SourceImage({}, {} bytes)",
            self.format,
            self.bytes.len()
        )
    }
}

/// Why a request is not sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotSent {
    /// The API would refuse a value.
    #[error("{0}")]
    InvalidValue(String),
    /// The API would refuse an image.
    #[error("{0}")]
    InvalidImage(&'static str),
    /// It cannot be put on the wire.
    #[error("{0}")]
    Unwritable(&'static str),
}

impl From<NotSent> for Fault {
    fn from(reason: NotSent) -> Self {
        match reason {
            NotSent::InvalidValue(message) => Self::NotSent {
                code: "invalid_value",
                message,
            },
            NotSent::InvalidImage(message) => Self::NotSent {
                code: "invalid_image_file",
                message: message.to_owned(),
            },
            NotSent::Unwritable(message) => Self::Misconfigured { message },
        }
    }
}

/// The fields that generations and edits share, in `OpenAI`'s words.
#[derive(Debug, Serialize)]
pub(super) struct Fields<'a> {
    model: &'a str,
    prompt: &'a str,
    size: String,
    quality: &'static str,
    output_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    background: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_identifier: Option<&'a str>,
}

impl<'a> ImageRequest<'a> {
    /// The request in `OpenAI`'s words, or why it would be refused.
    pub(super) fn fields(&self) -> Result<Fields<'a>, NotSent> {
        let quality = openai_quality(self.model, self.quality)
            .map_err(|error| NotSent::InvalidValue(error.to_string()))?;
        if !self.background.fits(self.format) {
            return Err(NotSent::InvalidValue(
                "a transparent background needs the format png or webp".to_owned(),
            ));
        }
        Ok(Fields {
            model: self.model.as_str(),
            prompt: self.prompt,
            size: self
                .size
                .map_or_else(|| "auto".to_owned(), |size| size.to_string()),
            quality,
            output_format: self.format.openai_name(),
            background: (self.background != Background::Auto).then_some(self.background.as_str()),
            safety_identifier: self.safety_identifier,
        })
    }

    /// The most bytes that the image can have as far as its size tells: three bytes a pixel and some room for metadata.
    /// JPEG and WebP stay far below.
    pub(super) fn expected_bytes(&self) -> usize {
        let Some(size) = self.size else {
            return 0;
        };
        let pixels = u64::from(size.width) * u64::from(size.height);
        let bytes = match self.format {
            ImageFormat::Png => pixels * 3,
            ImageFormat::Jpg | ImageFormat::Webp => pixels,
        };
        usize::try_from(bytes + (64 << 10)).unwrap_or_default()
    }
}

impl EditRequest<'_> {
    /// The request as a form, or why it would be refused. The images are read from where they are, piece by piece.
    pub(super) fn form(&self) -> Result<Form, NotSent> {
        self.check_images()?;
        let fields = self.image.fields()?;
        let owned = |text: &str| text.to_owned();
        let mut form = Form::new()
            .text("model", owned(fields.model))
            .text("prompt", owned(fields.prompt))
            .text("size", fields.size)
            .text("quality", fields.quality)
            .text("output_format", fields.output_format);
        if let Some(background) = fields.background {
            form = form.text("background", background);
        }
        if let Some(identifier) = fields.safety_identifier {
            form = form.text("safety_identifier", owned(identifier));
        }
        // A repeated `image` is refused as a duplicate, a single `image[]` is not what the API documents.
        let name = if self.sources.len() == 1 {
            "image"
        } else {
            "image[]"
        };
        for (index, source) in self.sources.iter().enumerate() {
            let file_name = format!("image-{}.{}", index + 1, source.format.extension());
            form = form.part(
                name,
                file_part(source.bytes.clone(), source.format, file_name)?,
            );
        }
        if let Some(mask) = &self.mask {
            form = form.part(
                "mask",
                file_part(mask.clone(), ImageFormat::Png, "mask.png".to_owned())?,
            );
        }
        Ok(form)
    }

    fn check_images(&self) -> Result<(), NotSent> {
        let refused = |message| Err(NotSent::InvalidImage(message));
        let Some(first) = self.sources.first() else {
            return refused("an edit needs an image");
        };
        if self.sources.len() > MOST_SOURCE_IMAGES {
            return refused("an edit takes at most 16 images");
        }
        if self
            .sources
            .iter()
            .any(|source| source.bytes.len() >= SOURCE_IMAGE_LIMIT)
        {
            return refused("an image to edit must be smaller than 50 MB");
        }
        let Some(mask) = &self.mask else {
            return Ok(());
        };
        if mask.len() >= MASK_LIMIT {
            return refused("a mask must be smaller than 4 MB");
        }
        match (sniff::inspect(mask), sniff::inspect(&first.bytes)) {
            (Ok(mask), _) if mask.format != ImageFormat::Png => refused("a mask must be a PNG"),
            (Ok(mask), Ok(first)) if mask.size() == first.size() => Ok(()),
            (Ok(_), Ok(_)) => refused("a mask must have the dimensions of the image"),
            (Err(_), _) => refused("the mask is not a whole PNG"),
            (_, Err(_)) => refused("the image to edit is not a whole image"),
        }
    }
}

fn file_part(bytes: Bytes, format: ImageFormat, file_name: String) -> Result<Part, NotSent> {
    let length = bytes.len() as u64;
    Part::stream_with_length(in_pieces(bytes), length)
        .file_name(file_name)
        .mime_str(format.content_type())
        .map_err(|_| NotSent::Unwritable("a content type could not be sent"))
}

/// A body that hands out slices of the same memory: given one large piece, the HTTP client may copy all of it into its
/// write buffer.
fn in_pieces(bytes: Bytes) -> Body {
    const PIECE: usize = 64 << 10;
    Body::wrap_stream(stream::unfold(bytes, |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(rest.len().min(PIECE));
        Some((Ok::<_, std::convert::Infallible>(piece), rest))
    }))
}
