//! What the file looks like: its type, its beginning, and each record in it.

use serde_json::Value;
use shared::postgres::images::ImageRecord;

use crate::csv;

/// The columns: the fields of a record, as the list shows them.
const COLUMNS: [&str; 24] = [
    "id",
    "user_id",
    "prompt",
    "full_prompt",
    "image_url",
    "dataset_id",
    "style",
    "aspect_ratio",
    "quality",
    "format",
    "resolution",
    "reference_images_count",
    "unique_visual_elements",
    "created_at",
    "run_id",
    "model",
    "width",
    "height",
    "bytes",
    "cost_usd",
    "parent_image_id",
    "mode",
    "asset_kind",
    "favorite",
];

/// The form of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A line of comma-separated cells for each record, after one with their names.
    Csv {
        /// Whether the file begins with a byte order mark, by which some spreadsheets know UTF-8.
        bom: bool,
    },
    /// A JSON object for each record, one a line.
    Ndjson,
}

impl Format {
    /// The words of the parameter `format`.
    pub(crate) const WORDS: [&str; 2] = ["csv", "ndjson"];

    /// Reads one of them.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "csv" => Some(Self::Csv { bom: false }),
            "ndjson" => Some(Self::Ndjson),
            _ => None,
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Csv { .. } => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Csv { .. } => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    /// What the file begins with.
    pub(crate) fn beginning(self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Self::Csv { bom } = self {
            if bom {
                out.extend_from_slice("\u{feff}".as_bytes());
            }
            csv::head(&COLUMNS, &mut out);
        }
        out
    }

    /// Writes a record.
    ///
    /// # Errors
    /// When it has no JSON form; every record has one.
    pub(crate) fn write(self, record: &ImageRecord, out: &mut Vec<u8>) -> serde_json::Result<()> {
        match self {
            Self::Csv { .. } => {
                if let Value::Object(fields) = serde_json::to_value(record)? {
                    csv::row(&COLUMNS, &fields, out);
                }
            }
            Self::Ndjson => {
                serde_json::to_writer(&mut *out, record)?;
                out.push(b'\n');
            }
        }
        Ok(())
    }
}
