//! What can go wrong with the database, named by what the caller can do.

use thiserror::Error;
use tokio_postgres::error::SqlState;

use super::url::DatabaseUrlError;

/// A setting that cannot be used; reported at start.
#[derive(Debug, Error)]
pub enum DatabaseSetupError {
    /// The URL cannot be read.
    #[error(transparent)]
    Url(#[from] DatabaseUrlError),
    /// The CA's file cannot be read.
    #[error("the CA file {path} cannot be read")]
    CaFile {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The CA's text holds no certificate.
    #[error("the CA is neither the path of a PEM file nor a PEM certificate")]
    CaPem,
    /// The pool cannot be built.
    #[error("the connection pool cannot be built")]
    Pool(#[source] deadpool_postgres::BuildError),
}

/// Why a statement gave no rows.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// The statement surely had no effect; the same again later may work.
    #[error("the database cannot be reached at the moment: {reason}")]
    Unavailable {
        /// What was being done.
        reason: &'static str,
        /// What the driver or the pool said.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The statement was sent and no answer came: it may have had its effect or not.
    #[error("the connection ended before the database answered a write")]
    OutcomeUnknown {
        /// What the driver said; nothing where the time was up.
        #[source]
        source: Option<tokio_postgres::Error>,
    },
    /// A unique constraint refused the row.
    #[error("unique constraint {constraint} refused the row")]
    Conflict {
        /// Name of the constraint.
        constraint: String,
        /// What the database said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A foreign key refused the row.
    #[error("foreign key {constraint} refused the row")]
    ForeignKey {
        /// Name of the constraint.
        constraint: String,
        /// What the database said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// Anything else: a mistake in the statement, its parameters, or the schema.
    #[error("the database refused the statement")]
    Other(#[source] tokio_postgres::Error),
}

impl DatabaseError {
    pub(super) fn unavailable(
        reason: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable {
            reason,
            source: Some(source.into()),
        }
    }

    /// The name of the constraint that refused a row, whichever kind it is.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Conflict { constraint, .. } | Self::ForeignKey { constraint, .. } => {
                Some(constraint)
            }
            Self::Other(source) => source.as_db_error().and_then(|error| error.constraint()),
            Self::Unavailable { .. } | Self::OutcomeUnknown { .. } => None,
        }
    }
}

/// What a failed statement means for the one who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection ended, and nothing tells whether the statement was carried out.
    ConnectionLost,
    /// The server ended the session instead of carrying the statement out.
    SessionEnded,
    /// The server is short of something, or gave way to another transaction: rolled back, may work later.
    Busy,
    /// A unique constraint.
    Unique,
    /// A foreign key.
    ForeignKey,
    /// Nothing that another try would change.
    Refused,
}

pub(super) fn classify(error: &tokio_postgres::Error) -> Failure {
    if let Some(code) = error.code() {
        return classify_state(code);
    }
    let io = std::error::Error::source(error)
        .is_some_and(|source| source.downcast_ref::<std::io::Error>().is_some());
    if error.is_closed() || io {
        return Failure::ConnectionLost;
    }
    Failure::Refused
}

/// An answer with a code means that the statement's transaction was rolled back: the driver waits for the commit's
/// answer before it reports success.
fn classify_state(code: &SqlState) -> Failure {
    if *code == SqlState::UNIQUE_VIOLATION {
        return Failure::Unique;
    }
    if *code == SqlState::FOREIGN_KEY_VIOLATION {
        return Failure::ForeignKey;
    }
    match code.code() {
        // admin_shutdown, cannot_connect_now, idle timeouts
        "57P01" | "57P03" | "57P05" | "25P03" => Failure::SessionEnded,
        // crash_shutdown may come after the commit.
        "57P02" => Failure::ConnectionLost,
        // serialization_failure, deadlock_detected, query_canceled, lock_not_available; read-only while a
        // replica is being promoted.
        "40001" | "40P01" | "57014" | "55P03" | "25006" => Failure::Busy,
        // 08: a pooler has lost the server, whatever that did; 53: insufficient resources, too many connections.
        other if other.starts_with("08") => Failure::ConnectionLost,
        other if other.starts_with("53") => Failure::Busy,
        _ => Failure::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_states_are_classed_by_what_the_caller_can_do() {
        let table = [
            ("23505", Failure::Unique),
            ("23503", Failure::ForeignKey),
            ("57P01", Failure::SessionEnded),
            ("57P03", Failure::SessionEnded),
            ("57P02", Failure::ConnectionLost),
            ("08P01", Failure::ConnectionLost),
            ("53300", Failure::Busy),
            ("40P01", Failure::Busy),
            ("57014", Failure::Busy),
            ("42703", Failure::Refused),
            ("23514", Failure::Refused),
            ("22P02", Failure::Refused),
        ];
        for (code, expected) in table {
            assert_eq!(
                classify_state(&SqlState::from_code(code)),
                expected,
                "{code}"
            );
        }
    }
}
