//! The background: a gradient of two related hues with a few large soft lights.

use crate::canvas::Canvas;

/// The colours of one prompt, and where its lights are.
#[derive(Clone, Debug)]
pub struct Scene {
    /// For lines and small letters.
    pub accent: [u8; 3],
    /// Of the panel that the text is written on.
    pub panel: [u8; 3],
    top: [f32; 3],
    bottom: [f32; 3],
    lights: [Light; 5],
}

/// A soft disc. Places and radius are in parts of the short edge, measured from the middle.
#[derive(Clone, Copy, Debug)]
struct Light {
    x: f32,
    y: f32,
    radius: f32,
    colour: [f32; 3],
}

impl Scene {
    /// The same colours for the same seed.
    pub fn of(seed: u64) -> Scene {
        let mut numbers = Numbers(seed);
        let hue = numbers.next();
        let second = hue + 0.08 + 0.12 * numbers.next();
        let lights = std::array::from_fn(|index| {
            let light_hue = if index % 2 == 0 { second } else { hue - 0.06 };
            Light {
                x: 1.5 * numbers.next() - 0.75,
                y: 1.5 * numbers.next() - 0.75,
                radius: 0.22 + 0.5 * numbers.next(),
                colour: rgb(light_hue, 0.55, 0.22 + 0.2 * numbers.next()),
            }
        });
        Scene {
            accent: bytes(rgb(second, 0.32, 1.0)),
            panel: bytes(rgb(hue, 0.6, 0.09)),
            top: rgb(hue, 0.68, 0.58),
            bottom: rgb(second, 0.76, 0.2),
            lights,
        }
    }

    /// Fills a picture. One colour is worked out for each small square: the change from one to the next is too slight to
    /// see, and a large picture takes no longer than a small one.
    pub fn paint(&self, width: usize, height: usize) -> Canvas {
        let step = (width.max(height) / 300).max(1);
        let mut canvas = Canvas::opaque(width, height);
        let short = width.min(height) as f32;
        let row_bytes = width * 3;
        for top in (0..height).step_by(step) {
            let y = (top as f32 - height as f32 / 2.0) / short;
            for left in (0..width).step_by(step) {
                let x = (left as f32 - width as f32 / 2.0) / short;
                let along = ((left as f32 / width as f32) * 0.35
                    + (top as f32 / height as f32) * 0.65)
                    .min(1.0);
                let colour = bytes(self.colour(x, y, along));
                let right = (left + step).min(width);
                let start = top * row_bytes;
                let square = &mut canvas.data[start + left * 3..start + right * 3];
                let mut at = 0;
                while at < square.len() {
                    square[at] = colour[0];
                    square[at + 1] = colour[1];
                    square[at + 2] = colour[2];
                    at += 3;
                }
            }
            for row in top + 1..(top + step).min(height) {
                canvas
                    .data
                    .copy_within(top * row_bytes..(top + 1) * row_bytes, row * row_bytes);
            }
        }
        canvas
    }

    fn colour(&self, x: f32, y: f32, along: f32) -> [f32; 3] {
        let mut colour = mix(self.top, self.bottom, along);
        for light in &self.lights {
            let (dx, dy) = (x - light.x, y - light.y);
            let nearness = 1.0 - (dx * dx + dy * dy) / (light.radius * light.radius);
            if nearness > 0.0 {
                let strength = nearness * nearness;
                colour[0] += light.colour[0] * strength;
                colour[1] += light.colour[1] * strength;
                colour[2] += light.colour[2] * strength;
            }
        }
        colour
    }
}

/// SplitMix64: enough for colours.
struct Numbers(u64);

impl Numbers {
    /// From 0 to 1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed >> 40) as f32) / 16_777_216.0
    }
}

fn mix(from: [f32; 3], to: [f32; 3], share: f32) -> [f32; 3] {
    std::array::from_fn(|channel| from[channel] + (to[channel] - from[channel]) * share)
}

fn bytes(colour: [f32; 3]) -> [u8; 3] {
    colour.map(|channel| (channel * 255.0) as u8)
}

/// Hue in turns; saturation and value from 0 to 1.
fn rgb(hue: f32, saturation: f32, value: f32) -> [f32; 3] {
    let sector = hue.rem_euclid(1.0) * 6.0;
    [5.0, 3.0, 1.0].map(|offset| {
        let place = (offset + sector) % 6.0;
        value - value * saturation * place.min(4.0 - place).clamp(0.0, 1.0)
    })
}
