//! Canceling a run.

use tokio_postgres::types::{Json, Type};

use super::RecordingError;
use crate::{
    domain::{
        caller::Scope,
        event::{self, Event},
        id::RunId,
    },
    postgres::{Database, row::StoredDataError},
};

/// What a request to cancel did.
#[derive(Clone, Debug, PartialEq)]
pub enum Canceled {
    /// The run had not begun and is over.
    AtOnce(Event),
    /// A worker holds the run, or held it: no further attempt begins, and the answer of a call in flight is kept.
    Asked,
    /// The run was over before.
    Over,
    /// There is no such run that the caller may see.
    NotFound,
}

/// Cancels a run of the caller's. A run that a worker takes up at the same moment is asked, not ended: the row decides.
///
/// # Errors
/// [`RecordingError`]; repeating the request is harmless.
pub async fn cancel(
    database: &Database,
    scope: Scope,
    run_id: RunId,
) -> Result<Canceled, RecordingError> {
    let draft = event::failed(run_id, "canceled", "The run was canceled.");
    let owner = scope.owner().map(|owner| owner.0);
    let everything = scope == Scope::Everything;
    let rows = database
        .write(
            include_str!("cancel.sql"),
            &[
                (&run_id.0, Type::UUID),
                (&owner, Type::UUID),
                (&everything, Type::BOOL),
                (&Json(&draft.data), Type::JSONB),
            ],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(Canceled::NotFound);
    };
    let read = |column| StoredDataError::in_event(column, run_id);
    if row.try_get("canceled").map_err(read("canceled"))? {
        return Ok(Canceled::AtOnce(Event {
            run_id,
            sequence: row.try_get("sequence").map_err(read("sequence"))?,
            name: row.try_get("name").map_err(read("name"))?,
            data: row.try_get("data").map_err(read("data"))?,
        }));
    }
    let asked: bool = row.try_get("asked").map_err(read("asked"))?;
    Ok(if asked {
        Canceled::Asked
    } else {
        Canceled::Over
    })
}
