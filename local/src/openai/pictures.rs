//! All pictures of one order, drawn and encoded.

use drawing::encode::{encode, pad};
use drawing::picture::{Drawing, draw, seed};

use super::request::{Order, Sources};

/// Files ready to be sent.
#[derive(Debug)]
pub struct Pictures {
    /// One for each picture that was asked for.
    pub finished: Vec<Vec<u8>>,
    /// For an event stream: what the first picture looked like on the way.
    pub partial: Vec<Vec<u8>>,
}

/// Draws an order. `number` is written on each picture: two calls never give the same file. `image_bytes` makes the files
/// about that large.
///
/// # Errors
/// A picture could not be encoded.
pub fn draw_all(
    order: &Order,
    sources: &Sources,
    number: u64,
    image_bytes: Option<u64>,
) -> anyhow::Result<Pictures> {
    let mut pictures = Pictures {
        finished: Vec::new(),
        partial: Vec::new(),
    };
    let about = format!(
        "{}  \u{b7}  {}x{}  \u{b7}  {}",
        order.model, order.width, order.height, order.quality
    );
    if order.stream {
        for index in 1..=order.partial_images {
            let caption = format!("{about}  \u{b7}  #{number}, not finished: {index}");
            pictures.partial.push(file(order, sources, &caption, None)?);
        }
    }
    for index in 1..=order.n {
        let of = if order.n > 1 {
            format!(", {index} of {}", order.n)
        } else {
            String::new()
        };
        let caption = format!("{about}  \u{b7}  #{number}{of}");
        pictures
            .finished
            .push(file(order, sources, &caption, image_bytes)?);
    }
    Ok(pictures)
}

fn file(
    order: &Order,
    sources: &Sources,
    caption: &str,
    image_bytes: Option<u64>,
) -> anyhow::Result<Vec<u8>> {
    let canvas = draw(&Drawing {
        width: order.width,
        height: order.height,
        prompt: &order.prompt,
        caption,
        transparent: order.transparent,
        source: sources.first.as_ref(),
        mask: sources.mask.as_ref(),
    });
    let file = encode(&canvas, order.format, order.compression)?;
    Ok(match image_bytes {
        Some(bytes) => pad(file, order.format, usize::try_from(bytes)?, seed(caption)),
        None => file,
    })
}
