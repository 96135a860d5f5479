//! How a transition is written: one guarded statement, repeated with care when its answer was lost.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_postgres::{
    Row,
    types::{Json, ToSql, Type},
};

use super::{RecordingError, lease::Lease};
use crate::{
    domain::event::{Event, EventDraft},
    postgres::{Database, DatabaseError, row::StoredDataError},
};

/// The wait before a statement is tried again when the database could not be reached.
pub(super) const PAUSE: Duration = Duration::from_millis(250);

/// Runs a transition's statement. Its first four arguments are always the run, the lease token, the sequence last seen and the event;
/// `rest` follows. The guard on the sequence makes a repeat harmless: where the first answer was lost, the second changes no row,
/// and the event's presence tells that the first had its effect.
pub(super) async fn transition(
    database: &Database,
    lease: &mut Lease,
    sql: &str,
    draft: &EventDraft,
    rest: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Event, RecordingError> {
    let data = Json(&draft.data);
    let sequence = lease.sequence;
    let mut params: Vec<(&(dyn ToSql + Sync), Type)> = vec![
        (&lease.run_id.0, Type::UUID),
        (&lease.token.0, Type::UUID),
        (&sequence, Type::INT4),
        (&data, Type::JSONB),
    ];
    params.extend_from_slice(rest);
    let give_up = Instant::now() + lease.patience;
    let mut answer_lost = false;
    loop {
        match database.write(sql, &params).await {
            Ok(rows) => {
                let event = match rows.first() {
                    Some(row) => event_from_row(row, lease)?,
                    None if answer_lost => earlier_effect(database, lease, draft).await?,
                    None => return Err(RecordingError::LeaseLost),
                };
                lease.sequence = event.sequence;
                return Ok(event);
            }
            Err(error) => {
                answer_lost |= matches!(error, DatabaseError::OutcomeUnknown { .. });
                let again = matches!(
                    error,
                    DatabaseError::OutcomeUnknown { .. } | DatabaseError::Unavailable { .. }
                );
                if !again || Instant::now() >= give_up {
                    return Err(error.into());
                }
                tracing::warn!(run_id = %lease.run_id, error = %crate::telemetry::chain(&error), "the database is out of reach, trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The event that a statement wrote whose answer was lost.
async fn earlier_effect(
    database: &Database,
    lease: &Lease,
    draft: &EventDraft,
) -> Result<Event, RecordingError> {
    let sql = "/* earlier_effect: $1 run, $2 sequence, $3 the event's own fields */
        select sequence, name, data from ai_image_run_events where run_id = $1 and sequence = $2 and data @> $3";
    let rows = database
        .read(
            sql,
            &[
                (&lease.run_id.0, Type::UUID),
                (&(lease.sequence + 1), Type::INT4),
                (&Json(&draft.data), Type::JSONB),
            ],
        )
        .await?;
    match rows.first() {
        Some(row) => event_from_row(row, lease),
        None => Err(RecordingError::LeaseLost),
    }
}

fn event_from_row(row: &Row, lease: &Lease) -> Result<Event, RecordingError> {
    let read = |column| StoredDataError::in_event(column, lease.run_id);
    Ok(Event {
        run_id: lease.run_id,
        sequence: row.try_get("sequence").map_err(read("sequence"))?,
        name: row.try_get("name").map_err(read("name"))?,
        data: row.try_get::<_, Value>("data").map_err(read("data"))?,
    })
}
