//! Style presets: names that a caller may give as `style`, and the words that stand for them in the prompt.

/// Longest `style`, in characters.
pub const STYLE_LIMIT: usize = 200;

/// A named style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StylePreset {
    /// What the caller writes.
    pub name: &'static str,
    /// What the model reads.
    pub modifier: &'static str,
}

/// Every preset, in the order of the documentation.
pub const PRESETS: &[StylePreset] = &[
    preset(
        "photorealistic",
        "photorealistic, natural light, true-to-life textures and colors, sharp focus",
    ),
    preset(
        "illustration",
        "clean digital illustration, clear shapes, balanced colors, visible linework",
    ),
    preset(
        "watercolor",
        "watercolor painting, soft washes, bleeding edges, visible paper grain",
    ),
    preset(
        "oil-painting",
        "oil painting, thick brushwork, rich pigments, canvas texture",
    ),
    preset(
        "sketch",
        "pencil sketch, hand-drawn lines, light shading, white paper",
    ),
    preset(
        "anime",
        "anime, clean outlines, flat cel shading, expressive lighting",
    ),
    preset(
        "3d-render",
        "3D render, physically based materials, soft global illumination",
    ),
    preset(
        "pixel-art",
        "pixel art, limited palette, crisp square pixels, no smoothing",
    ),
    preset(
        "line-art",
        "line art, even black strokes on white, no shading",
    ),
    preset(
        "flat-vector",
        "flat vector graphic, simple geometric shapes, solid colors, no gradients",
    ),
    preset(
        "cinematic",
        "cinematic still, dramatic lighting, shallow depth of field, film color grading",
    ),
    preset(
        "vintage",
        "vintage photograph, faded colors, soft grain, slight vignette",
    ),
    preset(
        "product",
        "studio product photograph, seamless background, soft even light, crisp detail",
    ),
    preset(
        "minimalist",
        "minimalist composition, generous empty space, few elements, restrained palette",
    ),
];

const fn preset(name: &'static str, modifier: &'static str) -> StylePreset {
    StylePreset { name, modifier }
}

/// The preset of that name. Case, spaces and underscores make no difference: `Oil painting` is `oil-painting`.
#[must_use]
pub fn find_preset(name: &str) -> Option<&'static StylePreset> {
    let plain = |c: char| {
        if matches!(c, ' ' | '_') {
            '-'
        } else {
            c.to_ascii_lowercase()
        }
    };
    PRESETS
        .iter()
        .find(|preset| preset.name.chars().eq(name.trim().chars().map(plain)))
}

/// The words for a style: the preset's, or the caller's own where it is no preset.
#[must_use]
pub fn style_words(style: &str) -> &str {
    find_preset(style).map_or_else(|| style.trim(), |preset| preset.modifier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_found_by_name_and_free_text_stays() {
        let cases = [
            ("photorealistic", PRESETS[0].modifier),
            ("  Photorealistic ", PRESETS[0].modifier),
            ("Oil painting", PRESETS[3].modifier),
            ("pixel_art", PRESETS[7].modifier),
            (
                " in the manner of a 1920s poster ",
                "in the manner of a 1920s poster",
            ),
            ("", ""),
        ];
        for (style, words) in cases {
            assert_eq!(style_words(style), words, "{style}");
        }
    }

    #[test]
    fn preset_names_are_plain_unique_and_short_enough_for_the_field() {
        for (index, preset) in PRESETS.iter().enumerate() {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(
                preset.name.bytes().all(plain) && preset.name.len() <= 200,
                "{}",
                preset.name
            );
            assert!(
                PRESETS[index + 1..]
                    .iter()
                    .all(|other| other.name != preset.name),
                "{}",
                preset.name
            );
        }
    }
}
