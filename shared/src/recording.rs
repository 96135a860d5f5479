//! The transitions of a run: each one guarded statement that also writes its event, so that the row, the log and what is published
//! tell the same story, and a worker that lost its lease changes nothing.

pub mod accept;
pub mod attempts;
pub mod cancel;
pub mod deletion;
pub mod ending;
pub mod lease;
pub mod publication;
pub mod sweeping;
mod transition;

use thiserror::Error;

use crate::postgres::{DatabaseError, row::StoredDataError};

/// Why a transition was not recorded.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// Somebody else holds the run now, or it is gone with its owner: stop working on it.
    #[error("the run's lease is lost")]
    LeaseLost,
    /// The database could not be asked in the time there was.
    #[error("the database could not record the run's transition")]
    Database(#[from] DatabaseError),
    /// The row holds what no version of Darkroom writes.
    #[error("the run's row cannot be read")]
    Stored(#[from] StoredDataError),
}
