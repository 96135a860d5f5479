//! What the file looks like: its type, its beginning, and each record in it.

use serde_json::Value;
use shared::postgres::images::{ImageRecord, SomeFields};

use crate::csv;

/// A file: its form, and the fields of a record that are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) format: Format,
    pub(crate) fields: Vec<&'static str>,
}

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
}

impl File {
    /// What it begins with.
    pub(crate) fn beginning(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Format::Csv { bom } = self.format {
            if bom {
                out.extend_from_slice("\u{feff}".as_bytes());
            }
            csv::head(&self.fields, &mut out);
        }
        out
    }

    /// Writes a record.
    ///
    /// # Errors
    /// When it has no JSON form; every record has one.
    pub(crate) fn write(&self, record: &ImageRecord, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let fields = &self.fields;
        let some = SomeFields { record, fields };
        match self.format {
            Format::Csv { .. } => {
                if let Value::Object(values) = serde_json::to_value(some)? {
                    csv::row(fields, &values, out);
                }
            }
            Format::Ndjson => {
                serde_json::to_writer(&mut *out, &some)?;
                out.push(b'\n');
            }
        }
        Ok(())
    }
}
