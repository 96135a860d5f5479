//! Where the next page of a list begins: a keyset cursor over `(created_at, id)`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use thiserror::Error;
use uuid::Uuid;

/// The beginning of the year 0 in seconds since 1970: Postgres holds no times long before it, and nothing was made then.
const EARLIEST: i64 = -62_167_219_200;

/// Bytes of a cursor before it is encoded, without its check: the list's key, microseconds since 1970, an id.
const LENGTH: usize = 8 + 8 + 16;
/// Bytes that a search adds: how the row was found, its rank, and the beginning of the search.
const RANKED_LENGTH: usize = 1 + 4 + 8;

/// Tells a list from every other: which records, whose, in which order. Not how many are on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListKey([u8; 8]);

impl ListKey {
    /// The key of the list that these parts describe.
    pub fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // The length first: parts must not run into each other.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut key = [0; 8];
        key.copy_from_slice(&digest[..8]);
        Self(key)
    }
}

/// The last row of a page. Its text is opaque to callers: the list's key, the time to the microsecond that Postgres keeps, the id, and
/// a check against typing errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cursor {
    /// When the row was made.
    pub created_at: Timestamp,
    /// The row's id.
    pub id: Uuid,
    /// What a search has to know beside that.
    pub ranked: Option<Ranked>,
}

/// A row's place among those that a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// Whether it was found because it resembles what is wanted, since nothing has the very words.
    pub resembling: bool,
    /// How well it fits.
    pub rank: f32,
    /// When the newest of the rows that were looked at was made: what is made while somebody turns pages is not among them.
    pub newest: Timestamp,
}

/// Why a text is not the cursor of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CursorError {
    /// It never was a cursor.
    #[error("is not a cursor of this list.")]
    NotACursor,
    /// It is one, of another list.
    #[error(
        "is a cursor of another list: it goes on with the same filters, search and order only."
    )]
    OfAnotherList,
}

impl Cursor {
    /// The cursor's text, good for the list with this key only.
    pub fn to_text(self, list: ListKey) -> String {
        let mut bytes = Vec::with_capacity(LENGTH + RANKED_LENGTH + 4);
        bytes.extend_from_slice(&list.0);
        bytes.extend_from_slice(&self.created_at.as_microsecond().to_be_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        if let Some(ranked) = self.ranked {
            bytes.push(ranked.resembling.into());
            bytes.extend_from_slice(&ranked.rank.to_be_bytes());
            bytes.extend_from_slice(&ranked.newest.as_microsecond().to_be_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor of the list with this key.
    ///
    /// # Errors
    /// [`CursorError`].
    pub fn from_text(text: &str, list: ListKey) -> Result<Self, CursorError> {
        let (key, cursor) = read(text).ok_or(CursorError::NotACursor)?;
        if key == list {
            Ok(cursor)
        } else {
            Err(CursorError::OfAnotherList)
        }
    }
}

fn read(text: &str) -> Option<(ListKey, Cursor)> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (row, check) = bytes.split_last_chunk::<4>()?;
    if *check != crc32fast::hash(row).to_be_bytes() {
        return None;
    }
    let (key, rest) = row.split_first_chunk::<8>()?;
    let (created_at, rest) = rest.split_first_chunk::<8>()?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let ranked = match rest.len() {
        0 => None,
        RANKED_LENGTH => Some(read_ranked(rest)?),
        _ => return None,
    };
    let cursor = Cursor {
        created_at: read_time(*created_at)?,
        id: Uuid::from_bytes(*id),
        ranked,
    };
    Some((ListKey(*key), cursor))
}

fn read_ranked(bytes: &[u8]) -> Option<Ranked> {
    let ([resembling], rest) = bytes.split_first_chunk::<1>()?;
    let (rank, rest) = rest.split_first_chunk::<4>()?;
    let (newest, _) = rest.split_first_chunk::<8>()?;
    Some(Ranked {
        resembling: *resembling != 0,
        rank: f32::from_be_bytes(*rank),
        newest: read_time(*newest)?,
    })
}

fn read_time(microseconds: [u8; 8]) -> Option<Timestamp> {
    Timestamp::from_microsecond(i64::from_be_bytes(microseconds))
        .ok()
        .filter(|time| is_storable(*time))
}

/// Whether Postgres can hold this time, too.
pub fn is_storable(time: Timestamp) -> bool {
    time.as_second() >= EARLIEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_nothing_else_is_one() {
        let cursor = Cursor {
            created_at: "2026-02-02T10:30:00.123456Z".parse().unwrap(),
            id: Uuid::from_u128(42),
            ranked: None,
        };
        let (list, other) = (ListKey::of(&["runs", "a"]), ListKey::of(&["runsa"]));
        let text = cursor.to_text(list);
        assert_eq!(Cursor::from_text(&text, list), Ok(cursor));
        assert_eq!(
            Cursor::from_text(&text, other),
            Err(CursorError::OfAnotherList)
        );
        let found = Cursor {
            ranked: Some(Ranked {
                resembling: true,
                rank: 0.1,
                newest: "2026-02-02T10:31:00Z".parse().unwrap(),
            }),
            ..cursor
        };
        assert_eq!(Cursor::from_text(&found.to_text(list), list), Ok(found));
        let mut changed = text.clone();
        changed.replace_range(3..4, if &text[3..4] == "A" { "B" } else { "A" });
        let ancient = Cursor {
            created_at: "-009000-01-01T00:00:00Z".parse().unwrap(),
            ..cursor
        };
        for wrong in [
            "",
            "x",
            "not a cursor",
            &changed,
            &text[1..],
            &format!("{text}A"),
            &ancient.to_text(list),
        ] {
            assert_eq!(
                Cursor::from_text(wrong, list),
                Err(CursorError::NotACursor),
                "{wrong}"
            );
        }
    }
}
