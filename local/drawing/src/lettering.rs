//! Text on a picture. The 8x8 font is enlarged to smooth outlines and set with each letter's own width, which is easier
//! to read than blocks.

use std::collections::HashMap;

use font8x8::UnicodeFonts as _;

use crate::canvas::Canvas;

/// From one line to the next, in dots of the font.
const LINE_DOTS: f32 = 10.5;

/// Between two letters, in dots.
const GAP_DOTS: f32 = 1.0;

const SPACE_DOTS: f32 = 3.0;

/// Above this share of ink a place is inside of a letter. A little under a half: strokes stay strong where they bend.
const OUTLINE: f32 = 0.45;

/// Lines of text that fit where they shall go.
#[derive(Debug)]
pub struct Lettering {
    lines: Vec<String>,
    /// Pixels a dot of the font.
    scale: f32,
}

impl Lettering {
    /// Breaks a text into lines, with the largest letters (between the two scales, in pixels a dot) that let all of it fit.
    /// What does not fit even with the smallest is left out, and an ellipsis says so.
    pub fn fit(text: &str, width: f32, height: f32, largest: f32, smallest: f32) -> Lettering {
        let text = &text.replace('\u{2026}', "...");
        let mut scale = largest;
        loop {
            let room = (height / (LINE_DOTS * scale)).floor().max(1.0) as usize;
            let lines = break_lines(text, width / scale, room + 1);
            if lines.len() <= room {
                return Lettering { lines, scale };
            }
            if scale <= smallest {
                return Lettering {
                    lines: with_ellipsis(lines, room),
                    scale,
                };
            }
            scale = (scale * 0.9).max(smallest);
        }
    }

    /// One line, with smaller letters if need be.
    pub fn one_line(text: &str, width: f32, scale: f32) -> Lettering {
        let dots = text.chars().map(advance).sum::<f32>().max(1.0);
        Lettering {
            lines: vec![text.to_owned()],
            scale: scale.min(width / dots),
        }
    }

    /// How high the lines are together, in pixels.
    pub fn height(&self) -> f32 {
        self.lines.len().max(1) as f32 * LINE_DOTS * self.scale
    }

    /// Puts the lines on a picture, from this corner.
    pub fn write(&self, canvas: &mut Canvas, left: f32, top: f32, colour: [u8; 3]) {
        let mut shapes = HashMap::new();
        for (index, line) in self.lines.iter().enumerate() {
            let y = (top + index as f32 * LINE_DOTS * self.scale).round() as usize;
            let mut x = left;
            for letter in line.chars() {
                if !letter.is_whitespace() {
                    let shape = shapes
                        .entry(letter)
                        .or_insert_with(|| Shape::of(letter, self.scale));
                    shape.stamp(canvas, x.round() as usize, y, colour);
                }
                x += advance(letter) * self.scale;
            }
        }
    }
}

/// Words to lines of at most so many dots; stops after `most` lines. A word longer than a line is broken.
fn break_lines(text: &str, width: f32, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        let mut used = 0.0;
        for word in paragraph.split_whitespace() {
            if lines.len() >= most {
                return lines;
            }
            let length = word.chars().map(advance).sum::<f32>();
            if !line.is_empty() && used + SPACE_DOTS + length > width {
                lines.push(std::mem::take(&mut line));
                used = 0.0;
            }
            if !line.is_empty() {
                line.push(' ');
                used += SPACE_DOTS;
            }
            for letter in word.chars() {
                if used + advance(letter) > width && !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                    used = 0.0;
                }
                line.push(letter);
                used += advance(letter);
            }
        }
        lines.push(line);
    }
    lines
}

fn with_ellipsis(mut lines: Vec<String>, room: usize) -> Vec<String> {
    lines.truncate(room);
    if let Some(last) = lines.last_mut() {
        let keep = last.chars().count().saturating_sub(3);
        *last = last.chars().take(keep).chain("...".chars()).collect();
    }
    lines
}

/// The dots of a letter: a byte a row, the lowest bit on the left. What the font does not have is an empty box.
fn dots(letter: char) -> [u8; 8] {
    let plain = match letter {
        '\u{2018}' | '\u{2019}' => '\'',
        '\u{201C}' | '\u{201D}' | '\u{201E}' => '"',
        '\u{2013}' | '\u{2014}' => '-',
        other => other,
    };
    font8x8::BASIC_FONTS
        .get(plain)
        .or_else(|| font8x8::LATIN_FONTS.get(plain))
        .or_else(|| font8x8::GREEK_FONTS.get(plain))
        .or_else(|| font8x8::HIRAGANA_FONTS.get(plain))
        .unwrap_or([0x7E, 0x42, 0x42, 0x42, 0x42, 0x42, 0x7E, 0])
}

/// The first column with ink and the number of columns.
fn ink(dots: [u8; 8]) -> (u32, u32) {
    let columns = dots.iter().fold(0, |all, row| all | row);
    if columns == 0 {
        return (0, 2);
    }
    (
        columns.trailing_zeros(),
        8 - columns.leading_zeros() - columns.trailing_zeros(),
    )
}

/// How far it is to the next letter, in dots.
fn advance(letter: char) -> f32 {
    if letter.is_whitespace() {
        SPACE_DOTS
    } else {
        ink(dots(letter)).1 as f32 + GAP_DOTS
    }
}

/// A letter in pixels: how much of each is covered, out of 255.
struct Shape {
    width: usize,
    cover: Vec<u8>,
}

impl Shape {
    /// The dots are taken as heights between which one interpolates; the outline runs where it is [`OUTLINE`].
    fn of(letter: char, scale: f32) -> Shape {
        let rows = dots(letter);
        let (first, columns) = ink(rows);
        let width = ((columns as f32 + 1.0) * scale).ceil() as usize;
        let height = (9.0 * scale).ceil() as usize;
        // How fast the outline fades: over about one pixel.
        let sharpness = scale.max(1.0);

        let across = rows.map(|row| {
            let dot = |column: i64| {
                let column = column + i64::from(first);
                if (0..8).contains(&column) && (row >> column) & 1 == 1 {
                    1.0_f32
                } else {
                    0.0
                }
            };
            (0..width)
                .map(|x| {
                    let place = (x as f32 + 0.5) / scale - 0.5;
                    let share = place - place.floor();
                    dot(place.floor() as i64) * (1.0 - share)
                        + dot(place.floor() as i64 + 1) * share
                })
                .collect::<Vec<_>>()
        });
        let blank = vec![0.0; width];
        let mut cover = Vec::with_capacity(width * height);
        for y in 0..height {
            let place = (y as f32 + 0.5) / scale - 0.5;
            let share = place - place.floor();
            let row = |row: i64| {
                usize::try_from(row)
                    .ok()
                    .and_then(|row| across.get(row))
                    .unwrap_or(&blank)
            };
            let (upper, lower) = (row(place.floor() as i64), row(place.floor() as i64 + 1));
            for (upper, lower) in upper.iter().zip(lower) {
                let height = upper + (lower - upper) * share;
                let inside = ((height - OUTLINE) * sharpness + 0.5).clamp(0.0, 1.0);
                cover.push((inside * 255.0) as u8);
            }
        }
        Shape { width, cover }
    }

    fn stamp(&self, canvas: &mut Canvas, left: usize, top: usize, colour: [u8; 3]) {
        for (y, row) in self.cover.chunks_exact(self.width).enumerate() {
            let mut x = 0;
            while x < row.len() {
                let from = x;
                let cover = row[from];
                while x < row.len() && row[x] == cover {
                    x += 1;
                }
                if cover > 0 {
                    canvas.blend_span(left + from, left + x, top + y, colour, cover);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lettering, break_lines};

    #[test]
    fn words_are_wrapped_and_long_ones_broken() {
        assert_eq!(break_lines("a red fox", 40.0, 9), ["a red", "fox"]);
        let lines = break_lines(&"x".repeat(30), 40.0, 9);
        assert!(
            lines.len() > 3 && lines.concat() == "x".repeat(30),
            "{lines:?}"
        );
        assert_eq!(break_lines("one\n\ntwo", 99.0, 9), ["one", "", "two"]);
    }

    #[test]
    fn the_longest_prompt_is_cut_and_says_so() {
        let lettering = Lettering::fit(&"many words ".repeat(2900), 800.0, 600.0, 9.0, 1.5);
        assert!(lettering.height() <= 600.0);
        assert!(
            lettering
                .lines
                .last()
                .is_some_and(|line| line.ends_with("..."))
        );
    }
}
