//! Pixels, and the few ways to paint on them.

use image::{DynamicImage, GenericImageView as _};

/// Eight bits a channel, rows from the top, without gaps.
#[derive(Clone, Debug)]
pub struct Canvas {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// 3 (RGB) or 4 (RGBA) bytes a pixel.
    pub channels: usize,
    /// The pixels.
    pub data: Vec<u8>,
}

/// A rounded rectangle that lets what is under it shine through. Lengths in pixels.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    /// The left edge.
    pub left: f32,
    /// The upper edge.
    pub top: f32,
    /// How wide.
    pub width: f32,
    /// How high.
    pub height: f32,
    /// Of the corners.
    pub radius: f32,
    /// Its colour.
    pub colour: [u8; 3],
    /// 0 is invisible, 1 hides what is under it.
    pub strength: f32,
}

impl Canvas {
    /// Black, without transparency.
    pub fn opaque(width: usize, height: usize) -> Canvas {
        Canvas {
            width,
            height,
            channels: 3,
            data: vec![0; width * height * 3],
        }
    }

    /// Nothing at all.
    pub fn transparent(width: usize, height: usize) -> Canvas {
        Canvas {
            width,
            height,
            channels: 4,
            data: vec![0; width * height * 4],
        }
    }

    /// A picture as it is.
    pub fn of_picture(picture: &DynamicImage, transparent: bool) -> Canvas {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        if transparent {
            return Canvas {
                width,
                height,
                channels: 4,
                data: picture.to_rgba8().into_raw(),
            };
        }
        Canvas {
            width,
            height,
            channels: 3,
            data: picture.to_rgb8().into_raw(),
        }
    }

    /// Mixes a colour into one pixel; `strength` is out of 255.
    #[inline]
    pub fn blend(&mut self, x: usize, y: usize, colour: [u8; 3], strength: u8) {
        if x >= self.width || y >= self.height {
            return;
        }
        let start = (y * self.width + x) * self.channels;
        let pixel = &mut self.data[start..start + self.channels];
        for (channel, colour) in pixel.iter_mut().zip(colour) {
            *channel = mix(*channel, colour, strength);
        }
        if let Some(alpha) = pixel.get_mut(3) {
            *alpha = (*alpha).max(strength);
        }
    }

    /// Mixes a colour into a part of a row.
    pub fn blend_span(&mut self, from: usize, to: usize, y: usize, colour: [u8; 3], strength: u8) {
        let to = to.min(self.width);
        if y >= self.height || from >= to {
            return;
        }
        let channels = self.channels;
        let row = y * self.width;
        let pixels = &mut self.data[(row + from) * channels..(row + to) * channels];
        // Millions of pixels in a build that is hardly optimised: an index is a few instructions there, an iterator
        // a few calls.
        let (keep, add) = (
            u32::from(255 - strength),
            colour.map(|colour| u32::from(colour) * u32::from(strength) + 127),
        );
        let (add_red, add_green, add_blue) = (add[0], add[1], add[2]);
        let mut at = 0;
        while at + channels <= pixels.len() {
            pixels[at] = ((pixels[at] as u32 * keep + add_red) / 255) as u8;
            pixels[at + 1] = ((pixels[at + 1] as u32 * keep + add_green) / 255) as u8;
            pixels[at + 2] = ((pixels[at + 2] as u32 * keep + add_blue) / 255) as u8;
            if channels == 4 && pixels[at + 3] < strength {
                pixels[at + 3] = strength;
            }
            at += channels;
        }
    }

    /// A plain rectangle.
    pub fn fill(&mut self, left: f32, top: f32, width: f32, height: f32, colour: [u8; 3]) {
        for y in top as usize..(top + height) as usize {
            self.blend_span(left as usize, (left + width) as usize, y, colour, 255);
        }
    }

    /// Lays a panel over the picture. On a transparent canvas it is nearly opaque, or nothing could be read on it.
    pub fn darken(&mut self, panel: &Panel) {
        let strength = if self.channels == 4 {
            0.92
        } else {
            panel.strength
        };
        let strength = (strength * 255.0) as u8;
        let (right, bottom) = (panel.left + panel.width, panel.top + panel.height);
        for y in panel.top.max(0.0) as usize..(bottom.ceil() as usize).min(self.height) {
            let edge_y = corner_offset(y as f32 + 0.5, panel.top, bottom, panel.radius);
            let (from, to) = (
                panel.left.max(0.0) as usize,
                (right.ceil() as usize).min(self.width),
            );
            if edge_y == 0.0 {
                self.blend_span(from, to, y, panel.colour, strength);
                continue;
            }
            for x in from..to {
                let edge_x = corner_offset(x as f32 + 0.5, panel.left, right, panel.radius);
                let outside = (edge_x * edge_x + edge_y * edge_y).sqrt() - panel.radius;
                let share = (0.5 - outside).clamp(0.0, 1.0);
                self.blend(x, y, panel.colour, (f32::from(strength) * share) as u8);
            }
        }
    }

    /// Marks the part of the picture that a mask leaves free.
    pub fn tint_where_transparent(&mut self, mask: &DynamicImage, colour: [u8; 3]) {
        let (mask_width, mask_height) = mask.dimensions();
        let mask = mask.to_rgba8();
        for y in 0..self.height {
            let mask_y = (y * mask_height as usize / self.height) as u32;
            for x in 0..self.width {
                let mask_x = (x * mask_width as usize / self.width) as u32;
                if mask.get_pixel(mask_x, mask_y).0[3] < 128 {
                    // Stripes, so that the picture under them can still be seen.
                    let strength = if (x + y) / 12 % 2 == 0 { 120 } else { 70 };
                    self.blend(x, y, colour, strength);
                }
            }
        }
    }
}

/// How far a place is beyond the straight part of an edge, towards the corner.
fn corner_offset(place: f32, from: f32, to: f32, radius: f32) -> f32 {
    (from + radius - place).max(place - (to - radius)).max(0.0)
}

#[inline]
fn mix(under: u8, over: u8, strength: u8) -> u8 {
    let (under, over, strength) = (u32::from(under), u32::from(over), u32::from(strength));
    ((under * (255 - strength) + over * strength + 127) / 255) as u8
}
