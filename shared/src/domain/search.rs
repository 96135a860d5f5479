//! What somebody looks for in the history, in words.

use std::fmt;

/// Longest text, in characters.
pub const SEARCH_LIMIT: usize = 500;
/// Shortest word that is looked for as the beginning of longer ones, and whose spelling is doubted: shorter ones begin nearly all.
const SHORTEST: usize = 3;

/// A text as a search engine takes it: words that must all be there, `"a phrase"`, `or`, `-without`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchText(String);

impl SearchText {
    /// A text that was checked to be no longer than [`SEARCH_LIMIT`], and to hold no NUL.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the text ends in the middle of a word, as far as can be told: somebody is still typing. Not where the word is part of a
    /// phrase, or must be absent.
    pub fn ends_in_a_word(&self) -> bool {
        let last = self.0.split_whitespace().next_back().unwrap_or_default();
        let letters = last.chars().rev().take_while(|c| c.is_alphanumeric());
        let in_a_phrase = self.0.matches('"').count() % 2 == 1;
        letters.count() >= SHORTEST && !last.starts_with('-') && !in_a_phrase
    }

    /// Whether words that resemble these may be meant: these are plain words, neither a phrase nor anything to be absent.
    pub fn may_be_misspelt(&self) -> bool {
        let plain =
            !self.0.contains('"') && !self.0.split_whitespace().any(|word| word.starts_with('-'));
        let mut words = self.0.split(|c: char| !c.is_alphanumeric());
        plain && words.any(|word| word.chars().count() >= SHORTEST)
    }
}

impl fmt::Display for SearchText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_beside_the_words_themselves() {
        let table = [
            ("lighthouse", true, true),
            ("red lig", true, true),
            ("red li", false, true),
            ("li", false, false),
            ("маяк", true, true),
            ("red!", false, true),
            ("\"red bicycle\"", false, false),
            ("\"red bicycle", false, false),
            ("\"red bicycle\" sun", true, false),
            ("bicycle -red", false, false),
            ("bicycle -\"red", false, false),
            ("well-known", true, true),
            ("...", false, false),
            ("' & | ! :*", false, false),
            ("", false, false),
        ];
        for (text, beginning, misspelt) in table {
            let search = SearchText::new(text.to_owned());
            assert_eq!(search.ends_in_a_word(), beginning, "{text}");
            assert_eq!(search.may_be_misspelt(), misspelt, "{text}");
        }
    }
}
