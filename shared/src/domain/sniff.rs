//! Whether bytes are a whole image, found out without decoding the pixels: the container is walked to its end.

use crate::domain::image::{ImageFormat, PixelSize};

/// What a whole image says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspected {
    /// The format found, whatever a name or a header says.
    pub format: ImageFormat,
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

impl Inspected {
    /// Width and height together.
    #[must_use]
    pub const fn size(self) -> PixelSize {
        PixelSize::new(self.width, self.height)
    }
}

/// Why bytes are no whole image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnImage {
    /// Neither PNG nor JPEG nor WebP.
    #[error("neither PNG, JPEG nor WebP")]
    UnknownFormat,
    /// The beginning of an image whose end is missing.
    #[error("the image ends too early")]
    Truncated,
    /// An image whose parts contradict each other.
    #[error("the image is damaged: {0}")]
    Damaged(&'static str),
}

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Looks at bytes and says what whole image they are.
///
/// # Errors
/// When they are none, or not a whole one.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, NotAnImage> {
    let inspected = if bytes.starts_with(PNG_SIGNATURE) {
        inspect_png(bytes)?
    } else if bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
        inspect_jpeg(bytes)?
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        inspect_webp(bytes)?
    } else {
        return Err(NotAnImage::UnknownFormat);
    };
    if inspected.width == 0 || inspected.height == 0 {
        return Err(NotAnImage::Damaged("no pixels"));
    }
    Ok(inspected)
}

/// Reads from the front and remembers nothing but what is left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], NotAnImage> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(NotAnImage::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NotAnImage> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(NotAnImage::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }
}

fn inspect_png(bytes: &[u8]) -> Result<Inspected, NotAnImage> {
    let mut reader = Reader(bytes);
    reader.take(PNG_SIGNATURE.len())?;
    let mut size = None;
    let mut has_pixels = false;
    loop {
        let length = u32::from_be_bytes(reader.array()?);
        let kind = reader.array::<4>()?;
        let data = reader.take(usize::try_from(length).map_err(|_| NotAnImage::Truncated)?)?;
        let stored = u32::from_be_bytes(reader.array()?);
        let mut crc = crc32fast::Hasher::new();
        crc.update(&kind);
        crc.update(data);
        if crc.finalize() != stored {
            return Err(NotAnImage::Damaged("checksum"));
        }
        match &kind {
            b"IHDR" if size.is_none() => {
                let mut header = Reader(data);
                let width = u32::from_be_bytes(header.array()?);
                size = Some((width, u32::from_be_bytes(header.array()?)));
            }
            _ if size.is_none() => return Err(NotAnImage::Damaged("no header")),
            b"IDAT" => has_pixels = true,
            b"IEND" => break,
            _ => {}
        }
    }
    match size {
        Some((width, height)) if has_pixels => Ok(Inspected {
            format: ImageFormat::Png,
            width,
            height,
        }),
        _ => Err(NotAnImage::Damaged("no pixels")),
    }
}

fn inspect_jpeg(bytes: &[u8]) -> Result<Inspected, NotAnImage> {
    let mut reader = Reader(bytes);
    reader.take(2)?;
    let mut size = None;
    let mut has_scan = false;
    loop {
        let marker = next_marker(&mut reader)?;
        match marker {
            0xD9 => break,
            // Markers that stand alone.
            0x01 | 0xD0..=0xD8 => continue,
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes(reader.array()?));
        let data = reader.take(
            length
                .checked_sub(2)
                .ok_or(NotAnImage::Damaged("segment length"))?,
        )?;
        match marker {
            // Start of frame: precision, height, width. C4, C8 and CC are other things.
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF if size.is_none() => {
                let mut frame = Reader(data);
                frame.take(1)?;
                let height = u16::from_be_bytes(frame.array()?);
                size = Some((
                    u32::from(u16::from_be_bytes(frame.array()?)),
                    u32::from(height),
                ));
            }
            0xDA => {
                has_scan = true;
                skip_scan(&mut reader)?;
            }
            _ => {}
        }
    }
    match size {
        Some((width, height)) if has_scan => Ok(Inspected {
            format: ImageFormat::Jpg,
            width,
            height,
        }),
        _ => Err(NotAnImage::Damaged("no pixels")),
    }
}

fn next_marker(reader: &mut Reader<'_>) -> Result<u8, NotAnImage> {
    if reader.array()? != [0xFF] {
        return Err(NotAnImage::Damaged("marker expected"));
    }
    loop {
        // Any number of fill bytes may stand before the marker's own byte.
        let [byte] = reader.array()?;
        if byte != 0xFF {
            return Ok(byte);
        }
    }
}

/// Moves to the first marker after compressed data. In it, `FF` is followed by 00 or is a restart marker.
fn skip_scan(reader: &mut Reader<'_>) -> Result<(), NotAnImage> {
    let data = reader.0;
    let mut from = 0;
    loop {
        let rest = data.get(from..).unwrap_or_default();
        let found = rest
            .iter()
            .position(|&byte| byte == 0xFF)
            .ok_or(NotAnImage::Truncated)?;
        let at = from + found;
        match data.get(at + 1).ok_or(NotAnImage::Truncated)? {
            0x00 | 0xD0..=0xD7 => from = at + 2,
            0xFF => from = at + 1,
            _ => {
                reader.take(at)?;
                return Ok(());
            }
        }
    }
}

fn inspect_webp(bytes: &[u8]) -> Result<Inspected, NotAnImage> {
    let mut reader = Reader(bytes);
    reader.take(4)?;
    let length =
        usize::try_from(u32::from_le_bytes(reader.array()?)).map_err(|_| NotAnImage::Truncated)?;
    let mut chunks = Reader(reader.take(length)?);
    chunks.take(4)?;
    let mut has_pixels = false;
    while !chunks.0.is_empty() {
        let kind = chunks.array::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(chunks.array()?))
            .map_err(|_| NotAnImage::Truncated)?;
        chunks.take(length)?;
        if length % 2 == 1 && !chunks.0.is_empty() {
            chunks.take(1)?;
        }
        has_pixels |= matches!(&kind, b"VP8 " | b"VP8L" | b"ANMF");
    }
    if !has_pixels {
        return Err(NotAnImage::Damaged("no pixels"));
    }
    let size = imagesize::blob_size(bytes).map_err(|_| NotAnImage::Damaged("no size"))?;
    let edge = |pixels: usize| u32::try_from(pixels).map_err(|_| NotAnImage::Damaged("size"));
    Ok(Inspected {
        format: ImageFormat::Webp,
        width: edge(size.width)?,
        height: edge(size.height)?,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, Rgb, RgbImage};

    use super::*;

    fn made(format: image::ImageFormat, width: u32, height: u32) -> Vec<u8> {
        let picture = RgbImage::from_fn(width, height, |x, y| {
            let byte = |n: u32| u8::try_from(n % 256).unwrap();
            Rgb([byte(x * 7), byte(y * 5), byte(x * y)])
        });
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::ImageRgb8(picture)
            .write_to(&mut bytes, format)
            .unwrap();
        bytes.into_inner()
    }

    const FORMATS: [(image::ImageFormat, ImageFormat); 3] = [
        (image::ImageFormat::Png, ImageFormat::Png),
        (image::ImageFormat::Jpeg, ImageFormat::Jpg),
        (image::ImageFormat::WebP, ImageFormat::Webp),
    ];

    #[test]
    fn whole_images_are_recognised() {
        for (made_as, format) in FORMATS {
            for (width, height) in [(1, 1), (33, 17), (128, 300)] {
                assert_eq!(
                    inspect(&made(made_as, width, height)),
                    Ok(Inspected {
                        format,
                        width,
                        height
                    })
                );
            }
        }
    }

    #[test]
    fn no_image_survives_being_cut_anywhere() {
        for (made_as, format) in FORMATS {
            let bytes = made(made_as, 33, 17);
            for end in 0..bytes.len() {
                assert!(
                    inspect(&bytes[..end]).is_err(),
                    "{format} cut at {end} of {}",
                    bytes.len()
                );
            }
        }
    }

    #[test]
    fn no_damaged_byte_of_a_png_goes_unseen() {
        let bytes = made(image::ImageFormat::Png, 9, 9);
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0x10;
            assert!(inspect(&damaged).is_err(), "byte {index}");
        }
    }

    #[test]
    fn other_things_are_no_images() {
        let gif = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;".as_slice();
        let cases: [&[u8]; 6] = [
            b"",
            b"<html></html>",
            b"{}",
            gif,
            b"RIFF\x04\x00\x00\x00WEBP",
            &[0xFF, 0xD8, 0xFF, 0xD9],
        ];
        for bytes in cases {
            assert!(inspect(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_png_without_pixels_is_none() {
        let mut bytes = made(image::ImageFormat::Png, 4, 4);
        let header_end = PNG_SIGNATURE.len() + 25;
        bytes.drain(header_end..bytes.len() - 12);
        assert_eq!(inspect(&bytes), Err(NotAnImage::Damaged("no pixels")));
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(mut bytes: Vec<u8>, start in 0_usize..3) {
            let starts: [&[u8]; 3] = [PNG_SIGNATURE, &[0xFF, 0xD8, 0xFF, 0xDA], b"RIFF\x40\x00\x00\x00WEBPVP8X"];
            bytes.splice(0..0, starts[start].iter().copied());
            let _ = inspect(&bytes);
        }
    }
}
