//! Where the next page of a list begins: a keyset cursor over `(created_at, id)`.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use thiserror::Error;
use uuid::Uuid;

/// Bytes of a cursor before it is encoded: microseconds since 1970, an id, and a check.
const LENGTH: usize = 8 + 16 + 4;

/// The last row of a page. Its text is opaque to callers: the time to the microsecond that Postgres keeps, the id, and a check
/// against typing errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When the row was made.
    pub created_at: Timestamp,
    /// The row's id.
    pub id: Uuid,
}

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a cursor")]
pub struct NotACursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(&self.created_at.as_microsecond().to_be_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let bytes: [u8; LENGTH] = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| NotACursor)?
            .try_into()
            .map_err(|_| NotACursor)?;
        let (row, check) = bytes.split_at(24);
        if check != crc32fast::hash(row).to_be_bytes() {
            return Err(NotACursor);
        }
        let (time, id) = row.split_at(8);
        let time = i64::from_be_bytes(time.try_into().map_err(|_| NotACursor)?);
        Ok(Self {
            created_at: Timestamp::from_microsecond(time).map_err(|_| NotACursor)?,
            id: Uuid::from_slice(id).map_err(|_| NotACursor)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_nothing_else_is_one() {
        let cursor = Cursor {
            created_at: "2026-02-02T10:30:00.123456Z".parse().unwrap(),
            id: Uuid::from_u128(42),
        };
        let text = cursor.to_string();
        assert_eq!(text.parse(), Ok(cursor));
        let mut changed = text.clone();
        changed.replace_range(3..4, if &text[3..4] == "A" { "B" } else { "A" });
        for wrong in [
            "",
            "x",
            "not a cursor",
            &changed,
            &text[1..],
            &format!("{text}A"),
        ] {
            assert_eq!(wrong.parse::<Cursor>(), Err(NotACursor), "{wrong}");
        }
    }
}
