//! Reads an images answer while it arrives. The image's base64, nearly all of the answer, is decoded on the way and never
//! held as text; what is left of the JSON is small and is parsed as a whole at the end.

use crate::domain::fault::Flaw;
use crate::openai::base64_pieces::Base64Pieces;

/// The most that an answer may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the decoded image. The largest image of the models, 8.3 megapixels without compression, has 34 MB.
    pub image: usize,
    /// Bytes of JSON around it.
    pub json: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            image: 64 << 20,
            json: 1 << 20,
        }
    }
}

/// What an answer held.
#[derive(Debug)]
pub struct Scanned {
    /// `data[0].b64_json`, decoded; `None` where there was none.
    pub image: Option<Vec<u8>>,
    /// The SHA-256 of the image.
    pub sha256: [u8; 32],
    /// Whether the text of the image was base64 to its end.
    pub image_ended_well: bool,
    /// The answer with every `data[].b64_json` emptied.
    pub json: Vec<u8>,
    /// Whether the outermost object was closed.
    pub closed: bool,
}

/// Takes an answer in pieces of any size, cut anywhere.
#[derive(Debug)]
pub struct AnswerScanner {
    limits: Limits,
    state: State,
    stack: Vec<Frame>,
    json: Vec<u8>,
    closed: bool,
    image: Option<Base64Pieces>,
    capacity: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between tokens, or inside a number or a word.
    Between,
    /// Inside a key that began at this place of `json`.
    Key { start: usize, escaped: bool },
    /// Inside a text that is kept.
    Text { escaped: bool },
    /// Inside base64: decoded if it is the image, dropped if it is a further one.
    Base64 { wanted: bool, escape: Escape },
}

/// How much of an escape sequence has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Backslash,
    Unicode { digits: u8, code: u16 },
}

/// An object or an array that is open.
#[derive(Debug, Clone, Copy)]
enum Frame {
    Object { key: Key, key_next: bool },
    Array { index: usize },
}

/// The keys that lead to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Data,
    Image,
    Other,
}

/// serde's own limit.
const DEEPEST: usize = 128;

impl AnswerScanner {
    /// A scanner for one answer. `capacity` is how many bytes the image will have, as far as one can tell: memory is set
    /// aside once, and only what is written to becomes resident.
    #[must_use]
    pub fn new(limits: Limits, capacity: usize) -> Self {
        Self {
            limits,
            state: State::Between,
            stack: Vec::new(),
            json: Vec::new(),
            closed: false,
            image: None,
            capacity: capacity.min(limits.image),
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// As soon as it is clear that the answer is no JSON object, or that it is too large.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Flaw> {
        let mut rest = piece;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match self.state {
                State::Base64 { wanted, escape } => self.in_base64(rest, wanted, escape)?,
                State::Between => {
                    self.between(byte)?;
                    after
                }
                State::Key { start, escaped } => {
                    self.json.push(byte);
                    self.state = match (escaped, byte) {
                        (false, b'"') => self.end_key(start),
                        (false, b'\\') => State::Key {
                            start,
                            escaped: true,
                        },
                        _ => State::Key {
                            start,
                            escaped: false,
                        },
                    };
                    after
                }
                State::Text { escaped } => {
                    self.json.push(byte);
                    self.state = match (escaped, byte) {
                        (false, b'"') => State::Between,
                        (false, b'\\') => State::Text { escaped: true },
                        _ => State::Text { escaped: false },
                    };
                    after
                }
            };
            if self.json.len() > self.limits.json {
                return Err(Flaw::TooLarge);
            }
        }
        Ok(())
    }

    /// Ends the answer, whole or not.
    #[must_use]
    pub fn finish(self) -> Scanned {
        let in_image = matches!(self.state, State::Base64 { wanted: true, .. });
        let (image, sha256, ended_well) = match self.image {
            Some(decoder) => {
                let (bytes, sha256, well) = decoder.finish();
                (Some(bytes), sha256, well && !in_image)
            }
            None => (None, [0; 32], false),
        };
        Scanned {
            image,
            sha256,
            image_ended_well: ended_well,
            json: self.json,
            closed: self.closed,
        }
    }

    fn between(&mut self, byte: u8) -> Result<(), Flaw> {
        if self.stack.is_empty() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => return Ok(()),
                b'{' if !self.closed => {}
                // Something after the end is as wrong as something else at the start.
                _ => return Err(Flaw::NotJson),
            }
        }
        match byte {
            b'"' => {
                self.begin_string();
                return Ok(());
            }
            b'{' => self.open(Frame::Object {
                key: Key::Other,
                key_next: true,
            })?,
            b'[' => self.open(Frame::Array { index: 0 })?,
            b'}' | b']' => {
                self.stack.pop();
                self.closed = self.stack.is_empty();
            }
            b',' => match self.stack.last_mut() {
                Some(Frame::Object { key_next, .. }) => *key_next = true,
                Some(Frame::Array { index }) => *index += 1,
                None => {}
            },
            b':' => {
                if let Some(Frame::Object { key_next, .. }) = self.stack.last_mut() {
                    *key_next = false;
                }
            }
            _ => {}
        }
        self.json.push(byte);
        Ok(())
    }

    fn open(&mut self, frame: Frame) -> Result<(), Flaw> {
        if self.stack.len() >= DEEPEST {
            return Err(Flaw::NotJson);
        }
        self.stack.push(frame);
        Ok(())
    }

    fn begin_string(&mut self) {
        if let Some(Frame::Object { key_next: true, .. }) = self.stack.last() {
            self.state = State::Key {
                start: self.json.len(),
                escaped: false,
            };
            self.json.push(b'"');
            return;
        }
        let [
            Frame::Object { key: Key::Data, .. },
            Frame::Array { index },
            Frame::Object {
                key: Key::Image, ..
            },
        ] = *self.stack
        else {
            self.json.push(b'"');
            self.state = State::Text { escaped: false };
            return;
        };
        let wanted = index == 0 && self.image.is_none();
        if wanted {
            self.image = Some(Base64Pieces::new(self.capacity));
        }
        self.json.extend_from_slice(b"\"\"");
        self.state = State::Base64 {
            wanted,
            escape: Escape::None,
        };
    }

    fn end_key(&mut self, start: usize) -> State {
        let written = self.json.get(start..).unwrap_or_default();
        let name = serde_json::from_slice::<std::borrow::Cow<'_, str>>(written).unwrap_or_default();
        let name = match name.as_ref() {
            "data" => Key::Data,
            "b64_json" => Key::Image,
            _ => Key::Other,
        };
        if let Some(Frame::Object { key, .. }) = self.stack.last_mut() {
            *key = name;
        }
        State::Between
    }

    /// Takes as much of the base64 text as can be told apart at once, and returns what is left.
    fn in_base64<'p>(
        &mut self,
        piece: &'p [u8],
        wanted: bool,
        escape: Escape,
    ) -> Result<&'p [u8], Flaw> {
        if escape == Escape::None {
            let end = piece
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\'))
                .unwrap_or(piece.len());
            let (text, rest) = piece.split_at(end);
            if wanted {
                self.feed(text)?;
            }
            let Some((&byte, rest)) = rest.split_first() else {
                return Ok(rest);
            };
            self.state = if byte == b'"' {
                State::Between
            } else {
                State::Base64 {
                    wanted,
                    escape: Escape::Backslash,
                }
            };
            return Ok(rest);
        }
        let Some((&byte, rest)) = piece.split_first() else {
            return Ok(piece);
        };
        let (escape, meant) = escape.next(byte);
        // Line breaks within base64 mean nothing.
        if wanted && let Some(meant) = meant.filter(|meant| !meant.is_ascii_whitespace()) {
            self.feed(&[meant])?;
        }
        self.state = State::Base64 { wanted, escape };
        Ok(rest)
    }

    fn feed(&mut self, text: &[u8]) -> Result<(), Flaw> {
        let Some(image) = &mut self.image else {
            return Ok(());
        };
        image.push(text);
        if image.len() > self.limits.image {
            Err(Flaw::TooLarge)
        } else {
            Ok(())
        }
    }
}

impl Escape {
    /// The escape after one more byte, and the byte that it stood for if it is over. What stands for no ASCII becomes
    /// NUL, which no base64 contains.
    fn next(self, byte: u8) -> (Self, Option<u8>) {
        match self {
            Self::None | Self::Backslash => match byte {
                b'u' => (Self::Unicode { digits: 0, code: 0 }, None),
                b'n' | b'r' | b't' => (Self::None, Some(b'\n')),
                _ => (Self::None, Some(byte)),
            },
            Self::Unicode { digits, code } => {
                let Some(digit) = char::from(byte).to_digit(16) else {
                    return (Self::None, Some(0));
                };
                // Four hexadecimal digits fill 16 bits exactly.
                let code = code << 4 | u16::try_from(digit).unwrap_or_default();
                if digits < 3 {
                    return (
                        Self::Unicode {
                            digits: digits + 1,
                            code,
                        },
                        None,
                    );
                }
                let meant = u8::try_from(code).ok().filter(u8::is_ascii).unwrap_or(0);
                (Self::None, Some(meant))
            }
        }
    }
}

#[cfg(test)]
mod tests;
