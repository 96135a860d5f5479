//! Reading rows, and naming the table, column and row where one holds what it should not.

use thiserror::Error;

use crate::domain::id::{ImageId, RunId};

/// A stored value that no version of Darkroom writes, or that this version cannot read.
#[derive(Debug, Error)]
#[error("{table}.{column} of row {row} cannot be read")]
pub struct StoredDataError {
    table: &'static str,
    column: &'static str,
    row: String,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// A word of a column that none of the column's words matches.
#[derive(Debug, Error)]
#[error("unknown word {0:?}")]
pub(crate) struct UnknownWord(pub String);

impl StoredDataError {
    /// An error of a column of `ai_image_runs`.
    pub fn in_run<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        column: &'static str,
        run: RunId,
    ) -> impl FnOnce(E) -> Self {
        Self::at("ai_image_runs", column, run.to_string())
    }

    /// An error of a column of `ai_image_run_events`.
    pub fn in_event<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        column: &'static str,
        run: RunId,
    ) -> impl FnOnce(E) -> Self {
        Self::at("ai_image_run_events", column, run.to_string())
    }

    /// An error of a column of `generated_images`.
    pub fn in_image<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        column: &'static str,
        image: ImageId,
    ) -> impl FnOnce(E) -> Self {
        Self::at("generated_images", column, image.to_string())
    }

    /// An error of a column of any table.
    pub fn at<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        table: &'static str,
        column: &'static str,
        row: String,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self {
            table,
            column,
            row,
            source: source.into(),
        }
    }
}
