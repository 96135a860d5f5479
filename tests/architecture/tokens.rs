//! Rust text as words and marks, without comments and without what stands in quotes: enough to see what a file names.

/// A piece of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A name, a keyword or a number.
    Word(String),
    /// `::`
    Colons,
    /// Any other character.
    Mark(char),
}

/// A piece and the line it stands on, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) piece: Piece,
    pub(crate) line: usize,
}

impl Token {
    pub(crate) fn word(&self) -> Option<&str> {
        match &self.piece {
            Piece::Word(word) => Some(word),
            Piece::Colons | Piece::Mark(_) => None,
        }
    }

    pub(crate) fn is(&self, mark: char) -> bool {
        self.piece == Piece::Mark(mark)
    }
}

/// Takes a text apart.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let end = end_of_piece(&chars, at);
        let piece = match chars[at] {
            c if is_word(c) && !is_quoted(&chars, at) => {
                Some(Piece::Word(chars[at..end].iter().collect()))
            }
            ':' if end == at + 2 => Some(Piece::Colons),
            c if end == at + 1 && !c.is_whitespace() => Some(Piece::Mark(c)),
            _ => None,
        };
        found.extend(piece.map(|piece| Token { piece, line }));
        line += chars[at..end].iter().filter(|c| **c == '\n').count();
        at = end;
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where a literal's quote is, past the letters and hashes before it (`b"`, `r#"`), if a literal begins here.
fn opening_quote(chars: &[char], at: usize) -> Option<usize> {
    let letters = chars[at..]
        .iter()
        .take(2)
        .take_while(|c| matches!(c, 'b' | 'c' | 'r'))
        .count();
    let raw = letters > 0 && chars[at + letters - 1] == 'r';
    let hashes = chars[at + letters..]
        .iter()
        .take_while(|c| raw && **c == '#')
        .count();
    let quote = at + letters + hashes;
    (chars.get(quote) == Some(&'"')).then_some(quote)
}

fn is_quoted(chars: &[char], at: usize) -> bool {
    opening_quote(chars, at).is_some()
}

fn end_of_piece(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    if let Some(quote) = opening_quote(chars, at) {
        return end_of_string(chars, at, quote);
    }
    match (chars[at], next) {
        ('/', Some('/')) => find(chars, at, |rest| rest[0] == '\n'),
        ('/', Some('*')) => end_of_block_comment(chars, at),
        (':', Some(':')) => at + 2,
        ('\'', Some('\\')) => find(chars, at + 3, |rest| rest[0] == '\'') + 1,
        ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => at + 3,
        (c, _) if is_word(c) => find(chars, at, |rest| !is_word(rest[0])),
        _ => at + 1,
    }
}

fn end_of_string(chars: &[char], at: usize, quote: usize) -> usize {
    if chars[at..quote].contains(&'r') {
        let hashes = chars[at..quote].iter().filter(|c| **c == '#').count();
        let closes = |rest: &[char]| {
            rest[0] == '"' && rest.len() > hashes && rest[1..=hashes].iter().all(|c| *c == '#')
        };
        return find(chars, quote + 1, closes) + 1 + hashes;
    }
    let mut end = quote + 1;
    while end < chars.len() && chars[end] != '"' {
        end += if chars[end] == '\\' { 2 } else { 1 };
    }
    (end + 1).min(chars.len())
}

/// Block comments nest.
fn end_of_block_comment(chars: &[char], at: usize) -> usize {
    let (mut depth, mut end) = (0, at);
    while end < chars.len() {
        match chars[end..] {
            ['/', '*', ..] => (depth, end) = (depth + 1, end + 2),
            ['*', '/', ..] => (depth, end) = (depth - 1, end + 2),
            _ => end += 1,
        }
        if depth == 0 {
            break;
        }
    }
    end
}

fn find(chars: &[char], from: usize, wanted: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len())
        .find(|at| wanted(&chars[*at..]))
        .unwrap_or(chars.len())
}

#[test]
fn comments_and_quoted_text_are_left_out() {
    let text = r##"
// crate::a
/* crate::b /* crate::c */ crate::d */
let s = "crate::e \" crate::f"; let r = r#"crate::"g"#; let b = b"crate::h"; let q = '"'; let n = '\''; fn z<'a>() {}
crate::i
"##;
    let words: Vec<String> = tokens(text)
        .iter()
        .filter_map(|token| token.word().map(str::to_owned))
        .collect();
    assert_eq!(
        words,
        [
            "let", "s", "let", "r", "let", "b", "let", "q", "let", "n", "fn", "z", "a", "crate",
            "i"
        ]
    );
    assert_eq!(tokens(text).last().map(|token| token.line), Some(5));
}
