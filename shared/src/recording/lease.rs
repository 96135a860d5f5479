//! Taking a run, keeping it, and giving it back.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{RecordingError, transition::PAUSE};
use crate::{
    domain::{
        event::{self, Event},
        id::{LeaseToken, RunId},
        run::{Run, RunStatus},
    },
    postgres::{Database, DatabaseError, Params, row::StoredDataError, runs::run_from_row},
    telemetry,
};

/// What a worker holds while it works on a run. Its sequence follows the row's.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The run.
    pub run_id: RunId,
    /// The proof.
    pub token: LeaseToken,
    /// The latest event's number.
    pub sequence: i32,
    /// How long to go on trying to reach the database before a transition is given up.
    pub patience: Duration,
    clock: DatabaseClock,
}

impl Lease {
    /// The time by the database's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The database's clock, carried on by this process's monotonic one: a worker whose own clock is wrong writes right times.
#[derive(Clone, Copy, Debug)]
struct DatabaseClock {
    then: Timestamp,
    at: Instant,
}

impl DatabaseClock {
    fn now(&self) -> Timestamp {
        self.then
            .checked_add(self.at.elapsed())
            .unwrap_or(Timestamp::MAX)
    }
}

/// What became of an attempt to take a run.
#[derive(Debug)]
pub enum Claim {
    /// It is ours.
    Taken {
        /// The run as it stands.
        run: Box<Run>,
        /// The lease.
        lease: Lease,
        /// `started`, when this is the first claim; none where the log holds events already.
        started: Option<Event>,
    },
    /// Another worker holds it.
    Held,
    /// It has ended.
    Over(RunStatus),
    /// There is no such run (any more).
    Gone,
}

/// Takes a run that nobody holds. Where the database is out of reach, or its answer is lost, the same claim is made again for as long
/// as `patience` lasts: the message would come back much later.
///
/// # Errors
/// [`RecordingError`] when the database cannot be asked or the row not read.
pub async fn claim(
    database: &Database,
    run_id: RunId,
    lease: Duration,
    patience: Duration,
) -> Result<Claim, RecordingError> {
    let token = LeaseToken(Uuid::new_v4());
    let params: Params<'_> = &[
        (&run_id.0, Type::UUID),
        (&token.0, Type::UUID),
        (&lease.as_secs_f64(), Type::FLOAT8),
    ];
    let give_up = Instant::now() + patience;
    let mut rows = loop {
        match database.write(include_str!("claim.sql"), params).await {
            Ok(rows) => break rows,
            Err(error) => {
                let again = matches!(
                    error,
                    DatabaseError::OutcomeUnknown { .. } | DatabaseError::Unavailable { .. }
                );
                if !again || Instant::now() >= give_up {
                    return Err(error.into());
                }
                tracing::warn!(%run_id, error = %telemetry::chain(&error), "a run cannot be claimed, trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    let Some(row) = rows.pop() else {
        return Ok(Claim::Gone);
    };
    let read = |column| StoredDataError::in_run(column, run_id);
    if row
        .try_get::<_, Option<Uuid>>("id")
        .map_err(read("id"))?
        .is_none()
    {
        let word: String = row.try_get("found_status").map_err(read("status"))?;
        return Ok(match RunStatus::parse(&word) {
            Some(status) if status.is_end() => Claim::Over(status),
            _ => Claim::Held,
        });
    }
    let run = run_from_row(&row)?;
    let sequence: Option<i32> = row.try_get("event_sequence").map_err(read("sequence"))?;
    let started = match sequence {
        Some(sequence) => Some(Event {
            run_id,
            sequence,
            name: event::STARTED.to_owned(),
            data: row.try_get("event_data").map_err(read("data"))?,
        }),
        None => None,
    };
    let clock = DatabaseClock {
        then: row.try_get("database_time").map_err(read("now"))?,
        at: Instant::now(),
    };
    let lease = Lease {
        run_id,
        token,
        sequence: run.sequence,
        patience,
        clock,
    };
    Ok(Claim::Taken {
        run: Box::new(run),
        lease,
        started,
    })
}

/// Makes the lease last longer. `false`: it is lost.
///
/// # Errors
/// [`RecordingError::Database`] when the database cannot be asked; the lease may still be ours then.
pub async fn renew(
    database: &Database,
    lease: &Lease,
    length: Duration,
) -> Result<bool, RecordingError> {
    let sql = "/* renew: lengthen a lease that is still ours. $1 run, $2 lease token, $3 lease in seconds */
        update ai_image_runs set lease_expires_at = now() + make_interval(secs => $3)
        where id = $1 and lease_token = $2 and status = 'running'
        returning id";
    let rows = database
        .write(
            sql,
            &[
                (&lease.run_id.0, Type::UUID),
                (&lease.token.0, Type::UUID),
                (&length.as_secs_f64(), Type::FLOAT8),
            ],
        )
        .await?;
    Ok(!rows.is_empty())
}

/// Gives a run back, for the next delivery to go on with.
///
/// # Errors
/// [`RecordingError::Database`] when the database cannot be asked; the lease then runs out by itself.
pub async fn give_back(database: &Database, lease: &Lease) -> Result<(), RecordingError> {
    let sql = "/* give_back: end a lease early. $1 run, $2 lease token */
        update ai_image_runs set lease_token = null, lease_expires_at = null
        where id = $1 and lease_token = $2 and status = 'running'
        returning id";
    let rows = database
        .write(
            sql,
            &[(&lease.run_id.0, Type::UUID), (&lease.token.0, Type::UUID)],
        )
        .await?;
    if rows.is_empty() {
        Err(RecordingError::LeaseLost)
    } else {
        Ok(())
    }
}

/// Asks whether the caller has asked to cancel since the run was claimed.
///
/// # Errors
/// [`RecordingError`] when the database cannot be asked or the lease is lost.
pub async fn cancel_requested(
    database: &Database,
    lease: &Lease,
) -> Result<Option<Timestamp>, RecordingError> {
    let sql = "/* cancel_requested: $1 run, $2 lease token */
        select cancel_requested_at from ai_image_runs where id = $1 and lease_token = $2";
    let rows = database
        .read(
            sql,
            &[(&lease.run_id.0, Type::UUID), (&lease.token.0, Type::UUID)],
        )
        .await?;
    let row = rows.first().ok_or(RecordingError::LeaseLost)?;
    Ok(row
        .try_get(0)
        .map_err(StoredDataError::in_run("cancel_requested_at", lease.run_id))?)
}
