//! The prompt that is sent, made of what the user typed, the style, the dataset and a note about reference images.

use crate::domain::style::style_words;

/// The longest prompt the models take, in characters (`OpenAI`'s images API, November 2026).
pub const LONGEST_PROMPT: usize = 32_000;

/// What a prompt is made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct PromptParts<'a> {
    /// What the user typed; it is never changed.
    pub prompt: &'a str,
    /// A preset's name or free text.
    pub style: Option<&'a str>,
    /// The brand that the image is for.
    pub dataset: Option<&'a DatasetContext>,
    /// How many of the dataset's images go with the request, after any image to be edited.
    pub references: usize,
}

/// The part of a dataset that is put into words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatasetContext {
    /// The brand's name.
    pub brand: Option<String>,
    /// The mood in a few words.
    pub vibe: Option<String>,
    /// Rules for the look.
    pub style_guidelines: Option<String>,
    /// What makes the place or the product recognisable.
    pub unique_visual_elements: Vec<String>,
}

/// A composed prompt that no model would take. Nothing is cut: the caller is told instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the prompt with its style and dataset is {length} characters long; the limit is {limit}")]
pub struct PromptTooLong {
    /// Characters of the composed prompt.
    pub length: usize,
    /// The most that is taken.
    pub limit: usize,
}

/// Composes the prompt to send. Without style, dataset and references it is the user's own, unchanged.
///
/// ```
/// use shared::domain::prompt::{DatasetContext, PromptParts, compose};
///
/// let dataset = DatasetContext {
///     brand: Some("Coffee Co".to_owned()),
///     vibe: Some("cozy".to_owned()),
///     unique_visual_elements: vec!["wooden tables".to_owned(), "pendant lights".to_owned()],
///     ..DatasetContext::default()
/// };
/// let parts = PromptParts { prompt: "a corner by the window", dataset: Some(&dataset), ..PromptParts::default() };
/// assert_eq!(
///     compose(parts).unwrap(),
///     "Brand: Coffee Co. Vibe: cozy. UNIQUE ELEMENTS: wooden tables, pendant lights. SCENE: a corner by the window"
/// );
/// ```
///
/// # Errors
/// When the result is longer than [`LONGEST_PROMPT`].
pub fn compose(parts: PromptParts<'_>) -> Result<String, PromptTooLong> {
    let mut composed = String::with_capacity(parts.prompt.len() + 512);
    if let Some(dataset) = parts.dataset {
        push_dataset(&mut composed, dataset);
    }
    if !composed.is_empty() {
        composed.push_str("SCENE: ");
    }
    composed.push_str(parts.prompt);
    let style = parts.style.map(style_words).unwrap_or_default();
    if !style.is_empty() {
        push_after(&mut composed, "STYLE: ", style);
    }
    if let Some(note) = reference_note(parts.references) {
        push_after(&mut composed, "", &note);
    }
    let length = composed.chars().count();
    if length > LONGEST_PROMPT {
        return Err(PromptTooLong {
            length,
            limit: LONGEST_PROMPT,
        });
    }
    Ok(composed)
}

/// What the model is told of that many reference images.
fn reference_note(count: usize) -> Option<String> {
    match count {
        0 => None,
        1 => Some("REFERENCES: the last attached image shows the look to keep.".to_owned()),
        _ => Some(format!(
            "REFERENCES: the last {count} attached images show the look to keep."
        )),
    }
}

/// A composed prompt that was promised some reference images, told that fewer are attached. A prompt without that note, which
/// another version may have composed, stays as it is.
#[must_use]
pub fn with_fewer_references(composed: &str, promised: usize, attached: usize) -> String {
    let rest = reference_note(promised).and_then(|note| composed.strip_suffix(note.as_str()));
    match (rest, reference_note(attached)) {
        (Some(rest), Some(note)) => format!("{rest}{note}"),
        (Some(rest), None) => rest.trim_end().to_owned(),
        (None, _) => composed.to_owned(),
    }
}

impl DatasetContext {
    /// The visual elements that enter the prompt.
    pub fn used_elements(&self) -> impl Iterator<Item = &str> {
        let elements = self.unique_visual_elements.iter();
        elements
            .map(|element| element.trim())
            .filter(|element| !element.is_empty())
    }
}

fn push_dataset(composed: &mut String, dataset: &DatasetContext) {
    let elements = dataset.used_elements().collect::<Vec<_>>().join(", ");
    let sentences = [
        ("Brand", dataset.brand.as_deref()),
        ("Vibe", dataset.vibe.as_deref()),
        ("STYLE GUIDELINES", dataset.style_guidelines.as_deref()),
        ("UNIQUE ELEMENTS", Some(elements.as_str())),
    ];
    for (label, text) in sentences {
        // The sentence brings its own full stop, so `Coffee Co.` does not end in two.
        let text = text.unwrap_or_default().trim().trim_end_matches('.');
        if !text.is_empty() {
            composed.push_str(label);
            composed.push_str(": ");
            composed.push_str(text);
            composed.push_str(". ");
        }
    }
}

/// Adds a sentence after the user's words, which may or may not end in a full stop.
fn push_after(composed: &mut String, label: &str, text: &str) {
    let trimmed = composed.trim_end();
    let ended = trimmed.ends_with(['.', '!', '?', ':', ';', '…']);
    composed.push_str(if ended { " " } else { ". " });
    composed.push_str(label);
    composed.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coffee() -> DatasetContext {
        DatasetContext {
            brand: Some("Coffee Co.".to_owned()),
            vibe: Some("cozy".to_owned()),
            style_guidelines: None,
            unique_visual_elements: vec![
                "wooden tables".to_owned(),
                " pendant lights ".to_owned(),
                String::new(),
            ],
        }
    }

    #[test]
    fn prompts() {
        let coffee = coffee();
        let guided = DatasetContext {
            style_guidelines: Some("warm light.".to_owned()),
            ..coffee.clone()
        };
        let nothing = DatasetContext {
            brand: Some(" ".to_owned()),
            ..DatasetContext::default()
        };
        type Case<'a> = (
            &'a str,
            Option<&'a str>,
            Option<&'a DatasetContext>,
            usize,
            &'a str,
        );
        let unpunctuated = DatasetContext {
            vibe: Some("cozy... ".to_owned()),
            unique_visual_elements: vec!["brick walls.".to_owned()],
            ..DatasetContext::default()
        };
        let cases: [Case<'_>; 15] = [
            ("a cat", None, None, 0, "a cat"),
            ("a cat", Some(" "), Some(&nothing), 0, "a cat"),
            (
                "a cat",
                Some("woodcut, two colors"),
                None,
                0,
                "a cat. STYLE: woodcut, two colors",
            ),
            ("A cat.", Some("woodcut"), None, 0, "A cat. STYLE: woodcut"),
            (
                "a cat",
                Some("line-art"),
                None,
                0,
                "a cat. STYLE: line art, even black strokes on white, no shading",
            ),
            (
                "a corner",
                None,
                Some(&coffee),
                0,
                "Brand: Coffee Co. Vibe: cozy. UNIQUE ELEMENTS: wooden tables, pendant lights. SCENE: a corner",
            ),
            (
                "a corner",
                None,
                Some(&guided),
                0,
                "Brand: Coffee Co. Vibe: cozy. STYLE GUIDELINES: warm light. UNIQUE ELEMENTS: wooden tables, pendant \
                 lights. SCENE: a corner",
            ),
            (
                "a cat",
                None,
                None,
                1,
                "a cat. REFERENCES: the last attached image shows the look to keep.",
            ),
            (
                "a cat!",
                None,
                None,
                3,
                "a cat! REFERENCES: the last 3 attached images show the look to keep.",
            ),
            (
                "a cat",
                Some("woodcut"),
                None,
                2,
                "a cat. STYLE: woodcut. REFERENCES: the last 2 attached images show the look to keep.",
            ),
            (
                "a corner",
                Some("woodcut"),
                Some(&coffee),
                1,
                "Brand: Coffee Co. Vibe: cozy. UNIQUE ELEMENTS: wooden tables, pendant lights. SCENE: a corner. STYLE: \
                 woodcut. REFERENCES: the last attached image shows the look to keep.",
            ),
            (
                "a corner",
                None,
                Some(&unpunctuated),
                0,
                "Vibe: cozy. UNIQUE ELEMENTS: brick walls. SCENE: a corner",
            ),
            (
                "Brand: mine. SCENE: a \u{201c}cat\u{201d}\n\nin two lines",
                None,
                None,
                0,
                "Brand: mine. SCENE: a \u{201c}cat\u{201d}\n\nin two lines",
            ),
            (
                "a corner",
                None,
                Some(&nothing),
                2,
                "a corner. REFERENCES: the last 2 attached images show the look to keep.",
            ),
            (
                "a cat",
                Some(" Oil Painting "),
                None,
                0,
                "a cat. STYLE: oil painting, thick brushwork, rich pigments, canvas texture",
            ),
        ];
        for (prompt, style, dataset, references, expected) in cases {
            assert_eq!(
                compose(PromptParts {
                    prompt,
                    style,
                    dataset,
                    references
                })
                .as_deref(),
                Ok(expected)
            );
        }
    }

    #[test]
    fn a_prompt_speaks_of_the_references_that_are_attached() {
        let composed = |prompt, references| {
            let parts = PromptParts {
                prompt,
                references,
                ..PromptParts::default()
            };
            compose(parts).unwrap()
        };
        for promised in 1..=5 {
            for attached in 1..promised {
                assert_eq!(
                    with_fewer_references(&composed("a cat", promised), promised, attached),
                    composed("a cat", attached)
                );
            }
            assert_eq!(
                with_fewer_references(&composed("a cat!", promised), promised, 0),
                "a cat!"
            );
        }
        let other = "a cat. See the 2 pictures.";
        assert_eq!(with_fewer_references(other, 2, 1), other);
        assert_eq!(with_fewer_references(other, 0, 0), other);
    }

    #[test]
    fn a_prompt_is_never_cut() {
        let longest = "ü".repeat(LONGEST_PROMPT);
        let parts = PromptParts {
            prompt: &longest,
            ..PromptParts::default()
        };
        assert_eq!(compose(parts).unwrap(), longest);
        let error = compose(PromptParts {
            style: Some("woodcut"),
            ..parts
        })
        .unwrap_err();
        assert_eq!(
            error,
            PromptTooLong {
                length: LONGEST_PROMPT + ". STYLE: woodcut".len(),
                limit: LONGEST_PROMPT
            }
        );
    }
}
