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
    match parts.references {
        0 => {}
        1 => push_after(
            &mut composed,
            "REFERENCES: ",
            "the last attached image shows the look to keep.",
        ),
        count => {
            push_after(
                &mut composed,
                "REFERENCES: ",
                &format!("the last {count} attached images show the look to keep."),
            );
        }
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

fn push_dataset(composed: &mut String, dataset: &DatasetContext) {
    let elements: Vec<&str> = dataset
        .unique_visual_elements
        .iter()
        .map(|element| element.trim())
        .filter(|element| !element.is_empty())
        .collect();
    let elements = elements.join(", ");
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
        let cases: [Case<'_>; 11] = [
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
