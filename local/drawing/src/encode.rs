//! A canvas as a file, and files made larger on purpose.

use std::io::Cursor;

use anyhow::Context as _;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder as _};

use crate::canvas::Canvas;

/// What a picture is sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP, without loss.
    Webp,
}

impl Format {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Jpeg => "jpeg",
            Format::Webp => "webp",
        }
    }
}

/// Of a JPEG for which no compression was asked.
const USUAL_JPEG_QUALITY: u8 = 88;

/// The most that one comment of a JPEG can hold.
const JPEG_COMMENT_BYTES: usize = 65_533;

/// Encodes a picture; `compression` (0 to 100) is the quality of a JPEG.
pub fn encode(canvas: &Canvas, format: Format, compression: Option<u8>) -> anyhow::Result<Vec<u8>> {
    let mut file = Vec::with_capacity(canvas.data.len() / 8);
    let colour = if canvas.channels == 4 {
        ExtendedColorType::Rgba8
    } else {
        ExtendedColorType::Rgb8
    };
    let (width, height) = (u32::try_from(canvas.width)?, u32::try_from(canvas.height)?);
    match format {
        Format::Png => {
            PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Up)
                .write_image(&canvas.data, width, height, colour)
        }
        Format::Jpeg => JpegEncoder::new_with_quality(
            &mut file,
            compression.unwrap_or(USUAL_JPEG_QUALITY).max(1),
        )
        .write_image(&canvas.data, width, height, colour),
        Format::Webp => WebPEncoder::new_lossless(Cursor::new(&mut file)).write_image(
            &canvas.data,
            width,
            height,
            colour,
        ),
    }
    .context("the picture could not be encoded")?;
    Ok(file)
}

/// Makes a file about `target` bytes large with noise that every decoder skips: a private chunk of a PNG, comments of a
/// JPEG, an unknown chunk of a WebP. The file stays valid, and nothing on its way can compress it.
pub fn pad(mut file: Vec<u8>, format: Format, target: usize, seed: u64) -> Vec<u8> {
    let missing = target.saturating_sub(file.len());
    if missing < 16 {
        return file;
    }
    match format {
        Format::Png => {
            // Length, name, noise, checksum: before the last chunk, IEND, of twelve bytes.
            let end = file.split_off(file.len() - 12);
            let size = missing - 12;
            file.extend_from_slice(&u32::try_from(size).unwrap_or(0).to_be_bytes());
            let start = file.len();
            file.extend_from_slice(b"noIs");
            append_noise(&mut file, size, seed);
            let checksum = crc32fast::hash(&file[start..]);
            file.extend_from_slice(&checksum.to_be_bytes());
            file.extend_from_slice(&end);
            file
        }
        Format::Jpeg => {
            let mut padded = file[..2].to_vec();
            let mut left = missing;
            while left > 4 {
                let size = (left - 4).min(JPEG_COMMENT_BYTES);
                padded.extend_from_slice(&[0xFF, 0xFE]);
                padded.extend_from_slice(&u16::try_from(size + 2).unwrap_or(2).to_be_bytes());
                append_noise(&mut padded, size, seed ^ left as u64);
                left -= size + 4;
            }
            padded.extend_from_slice(&file[2..]);
            padded
        }
        Format::Webp => {
            let size = (missing - 8) / 2 * 2;
            file.extend_from_slice(b"NOIS");
            file.extend_from_slice(&u32::try_from(size).unwrap_or(0).to_le_bytes());
            append_noise(&mut file, size, seed);
            let whole = u32::try_from(file.len() - 8).unwrap_or(0).to_le_bytes();
            file[4..8].copy_from_slice(&whole);
            file
        }
    }
}

/// Xorshift: quick, and nothing that a compressor finds a pattern in.
fn append_noise(file: &mut Vec<u8>, size: usize, seed: u64) {
    let mut state = seed | 1;
    let end = file.len() + size;
    file.reserve(size + 8);
    while file.len() < end {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.extend_from_slice(&state.to_le_bytes());
    }
    file.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::Format;
    use super::{encode, pad};
    use crate::canvas::Canvas;

    #[test]
    fn padded_files_are_as_large_as_asked_and_still_pictures() {
        let canvas = Canvas::opaque(64, 48);
        for format in [Format::Png, Format::Jpeg, Format::Webp] {
            let plain = encode(&canvas, format, None).unwrap();
            for target in [plain.len(), 5_000, 200_001] {
                let file = pad(plain.clone(), format, target, 7);
                assert!(
                    file.len().abs_diff(target.max(plain.len())) <= 8,
                    "{format:?} {target}: {}",
                    file.len()
                );
                let picture = image::load_from_memory(&file).unwrap();
                assert_eq!(
                    (picture.width(), picture.height()),
                    (64, 48),
                    "{format:?} {target}"
                );
            }
        }
    }
}
