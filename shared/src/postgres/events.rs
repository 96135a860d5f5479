//! `ai_image_run_events`: reading the log. Writing it is [`crate::recording`]'s alone.

use serde_json::Value;
use tokio_postgres::{Row, types::Type};
use uuid::Uuid;

use super::{Database, row::StoredDataError, runs::ReadError};
use crate::domain::{
    caller::Scope,
    event::Event,
    id::{RunId, UserId},
    run::RunStatus,
};

/// A part of a run's log.
#[derive(Clone, Debug, PartialEq)]
pub struct EventLog {
    /// Where the run stands.
    pub status: RunStatus,
    /// Number of its latest event.
    pub sequence: i32,
    /// The events asked for, in order.
    pub events: Vec<Event>,
}

/// The log of a run that the caller may see, from after a sequence number; none where there is no such run.
///
/// # Errors
/// [`ReadError`].
pub async fn read_log(
    database: &Database,
    scope: Scope,
    run_id: RunId,
    after: i32,
) -> Result<Option<EventLog>, ReadError> {
    let sql =
        "/* read_log: $1 run, $2 owner, $3 whether every owner's, $4 sequence to go on after */
        select run.status, run.sequence as latest, event.sequence, event.name, event.data
        from ai_image_runs run
        left join ai_image_run_events event on event.run_id = run.id and event.sequence > $4
        where run.id = $1 and ($3 or run.owner_user_id is null or run.owner_user_id = $2)
        order by event.sequence";
    let owner = scope.owner().map(|owner| owner.0);
    let everything = scope == Scope::Everything;
    let rows = database
        .read(
            sql,
            &[
                (&run_id.0, Type::UUID),
                (&owner, Type::UUID),
                (&everything, Type::BOOL),
                (&after, Type::INT4),
            ],
        )
        .await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let read = |column| StoredDataError::in_run(column, run_id);
    let status: String = first.try_get("status").map_err(read("status"))?;
    let sequence = first.try_get("latest").map_err(read("sequence"))?;
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        if row
            .try_get::<_, Option<i32>>("sequence")
            .map_err(read("sequence"))?
            .is_some()
        {
            events.push(event_from_row(row, run_id)?);
        }
    }
    Ok(Some(EventLog {
        status: RunStatus::parse(&status).unwrap_or(RunStatus::Running),
        sequence,
        events,
    }))
}

/// An event that waits to be published, with the owner of its run, who has the channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Unpublished {
    /// The event.
    pub event: Event,
    /// Its run's owner.
    pub owner: Option<UserId>,
}

/// Events that nobody is about to publish: those of runs without a live lease that are older than a moment, in each run's order.
///
/// # Errors
/// [`ReadError`].
pub async fn find_unpublished(
    database: &Database,
    older_than_s: f64,
    limit: i64,
) -> Result<Vec<Unpublished>, ReadError> {
    let sql = "/* find_unpublished: $1 age in seconds, $2 limit */
        select event.run_id, event.sequence, event.name, event.data, run.owner_user_id
        from ai_image_run_events event
        join ai_image_runs run on run.id = event.run_id
        where event.published_at is null
          and event.created_at < now() - make_interval(secs => $1)
          and (run.lease_expires_at is null or run.lease_expires_at < now())
        order by event.run_id, event.sequence
        limit $2";
    let rows = database
        .read(sql, &[(&older_than_s, Type::FLOAT8), (&limit, Type::INT8)])
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let run_id = RunId(row.try_get("run_id").map_err(StoredDataError::at(
            "ai_image_run_events",
            "run_id",
            String::new(),
        ))?);
        let owner: Option<Uuid> = row
            .try_get("owner_user_id")
            .map_err(StoredDataError::in_run("owner_user_id", run_id))?;
        found.push(Unpublished {
            event: event_from_row(row, run_id)?,
            owner: owner.map(UserId),
        });
    }
    Ok(found)
}

/// The events of one run that nobody has noted as published, in order.
///
/// # Errors
/// [`ReadError`].
pub async fn unpublished_of(database: &Database, run_id: RunId) -> Result<Vec<Event>, ReadError> {
    let sql = "/* unpublished_of: $1 run */
        select sequence, name, data from ai_image_run_events
        where run_id = $1 and published_at is null
        order by sequence";
    let rows = database.read(sql, &[(&run_id.0, Type::UUID)]).await?;
    let events = rows.iter().map(|row| event_from_row(row, run_id));
    Ok(events.collect::<Result<_, _>>()?)
}

fn event_from_row(row: &Row, run_id: RunId) -> Result<Event, StoredDataError> {
    let read = |column| StoredDataError::in_event(column, run_id);
    Ok(Event {
        run_id,
        sequence: row.try_get("sequence").map_err(read("sequence"))?,
        name: row.try_get("name").map_err(read("name"))?,
        data: row.try_get::<_, Value>("data").map_err(read("data"))?,
    })
}
