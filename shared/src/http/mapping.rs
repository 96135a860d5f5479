//! The one place where errors become HTTP: what the caller can do decides the status, and the cause stays behind for the log.

use super::problem::Problem;
use crate::{
    postgres::{DatabaseError, row::StoredDataError, runs::ReadError},
    recording::RecordingError,
    supabase::{auth::AuthError, storage::StorageError},
};

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Invalid { reason } => Self::unauthorized(format!(
                "authorization: the access token is not valid: {reason}"
            )),
            AuthError::Unavailable(_) => {
                Self::unavailable("Access tokens cannot be checked at the moment.").caused_by(error)
            }
        }
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        match &error {
            DatabaseError::Unavailable { .. } | DatabaseError::OutcomeUnknown { .. } => {
                Self::unavailable("The database cannot be reached at the moment.").caused_by(error)
            }
            // The only rows that HTTP functions insert for somebody are their own: a valid token of a user who is gone.
            DatabaseError::ForeignKey { constraint, .. } if constraint.contains("user_id") => {
                Self::unauthorized(
                    "authorization: the user of this access token does not exist any more.",
                )
                .caused_by(error)
            }
            DatabaseError::ForeignKey { .. }
            | DatabaseError::Conflict { .. }
            | DatabaseError::Other(_) => Self::internal().caused_by(error),
        }
    }
}

impl From<StoredDataError> for Problem {
    fn from(error: StoredDataError) -> Self {
        Self::internal().caused_by(error)
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Database(error) => error.into(),
            ReadError::Stored(error) => error.into(),
        }
    }
}

impl From<RecordingError> for Problem {
    fn from(error: RecordingError) -> Self {
        match error {
            RecordingError::Database(error) => error.into(),
            RecordingError::Stored(error) => error.into(),
            RecordingError::LeaseLost => Self::internal().caused_by(error),
        }
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        let problem = if error.may_pass() {
            Self::unavailable("Storage cannot be reached at the moment.")
        } else {
            Self::internal()
        };
        problem.caused_by(error)
    }
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        Self::internal().caused_by(error)
    }
}
