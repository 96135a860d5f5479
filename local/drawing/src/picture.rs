//! Draws the picture of an answer: a soft background whose colours come from the prompt, and the prompt written on a
//! panel, so that one sees at a glance which request a picture belongs to.

use image::DynamicImage;
use image::imageops::FilterType;
use sha2::{Digest, Sha256};

use crate::background::Scene;
use crate::canvas::{Canvas, Panel};
use crate::lettering::Lettering;

/// What to draw.
#[derive(Clone, Copy, Debug)]
pub struct Drawing<'a> {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// What is written on the panel.
    pub prompt: &'a str,
    /// The small line under it.
    pub caption: &'a str,
    /// Leaves everything around the panel transparent.
    pub transparent: bool,
    /// The picture that is edited; it takes the background's place.
    pub source: Option<&'a DynamicImage>,
    /// Where the picture may be edited: where this is transparent.
    pub mask: Option<&'a DynamicImage>,
}

/// Draws it.
pub fn draw(drawing: &Drawing<'_>) -> Canvas {
    let scene = Scene::of(seed(drawing.prompt));
    let (width, height) = (drawing.width as usize, drawing.height as usize);
    let mut canvas = match (drawing.source, drawing.transparent) {
        (Some(source), transparent) => {
            let fitted = source.resize_to_fill(drawing.width, drawing.height, FilterType::Triangle);
            let mut canvas = Canvas::of_picture(&fitted, transparent);
            if let Some(mask) = drawing.mask {
                canvas.tint_where_transparent(mask, scene.accent);
            }
            canvas
        }
        (None, true) => Canvas::transparent(width, height),
        (None, false) => scene.paint(width, height),
    };
    write_on_panel(&mut canvas, drawing, &scene);
    canvas
}

/// A number that stands for a text.
pub fn seed(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    digest
        .iter()
        .take(8)
        .fold(0, |seed, byte| (seed << 8) | u64::from(*byte))
}

/// The panel, with as large letters as let the whole prompt fit in.
fn write_on_panel(canvas: &mut Canvas, drawing: &Drawing<'_>, scene: &Scene) {
    let (width, height) = (canvas.width as f32, canvas.height as f32);
    let short = width.min(height);
    let margin = short * 0.07;
    let padding = short * 0.05;
    let text_width = width - 2.0 * (margin + padding);
    let caption_scale = short / 460.0;
    let caption_room = caption_scale * 8.0 + padding * 0.9;
    // An edited picture shall stay visible, so the panel takes less of it.
    let share = if drawing.source.is_some() { 0.36 } else { 0.86 };
    let text_height = (height - 2.0 * margin) * share - 2.0 * padding - caption_room;

    let text = Lettering::fit(
        drawing.prompt,
        text_width,
        text_height,
        short / 110.0,
        short / 620.0,
    );
    let caption = Lettering::one_line(drawing.caption, text_width, caption_scale);

    let panel_height = text.height() + caption_room + 2.0 * padding;
    let top = if drawing.source.is_some() {
        height - margin - panel_height
    } else {
        (height - panel_height) / 2.0
    };
    canvas.darken(&Panel {
        left: margin,
        top,
        width: width - 2.0 * margin,
        height: panel_height,
        radius: short * 0.03,
        colour: scene.panel,
        strength: 0.66,
    });
    let left = margin + padding;
    text.write(canvas, left, top + padding, [247, 245, 240]);
    let rule = top + padding + text.height() + padding * 0.45;
    canvas.fill(
        left,
        rule,
        short * 0.09,
        (short / 340.0).max(2.0),
        scene.accent,
    );
    caption.write(canvas, left, rule + padding * 0.45, scene.accent);
}
