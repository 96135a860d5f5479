//! The birth of a run.

use std::time::Duration;

use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

use super::RecordingError;
use crate::{
    domain::{
        caller::Caller,
        id::{DatasetId, ImageId, RunId},
        run::{Mode, RunOptions},
    },
    postgres::{Database, DatabaseError, row::StoredDataError},
};

/// A request that was understood, composed and authorised.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// Who asks.
    pub caller: Caller,
    /// Generate or edit.
    pub mode: Mode,
    /// The caller's category.
    pub asset_kind: String,
    /// What the user typed.
    pub user_prompt: String,
    /// What will be sent.
    pub resolved_prompt: String,
    /// The style, named or free.
    pub style_preset: Option<String>,
    /// The model to ask first.
    pub model: String,
    /// Settings.
    pub options: RunOptions,
    /// Dataset whose context went into the prompt.
    pub dataset_id: Option<DatasetId>,
    /// The image this one is made from.
    pub parent_image_id: Option<ImageId>,
    /// The caller's key against doubles, with a hash of the request.
    pub idempotency: Option<Idempotency>,
    /// No attempt begins later than this after now (header `Cancel-After`).
    pub cancel_after: Option<Duration>,
    /// Whether a call whose answer was lost may be repeated.
    pub retry_unknown: bool,
    /// Images a day that the caller may have; none for no limit.
    pub daily_limit: Option<u32>,
    /// W3C `traceparent`.
    pub trace_parent: Option<String>,
}

/// An idempotency key and what it was used for.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The header's value.
    pub key: String,
    /// SHA-256 of the request, in hex.
    pub request_hash: String,
}

/// A caller's day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaState {
    /// Images a day.
    pub limit: u32,
    /// Those used or reserved.
    pub used: u32,
    /// Seconds until the day (UTC) ends.
    pub resets_in: u64,
}

/// What became of a new run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is there.
    New {
        /// The caller's day, where it is limited.
        quota: Option<QuotaState>,
    },
    /// The key was used before for the same request: this is its run.
    Again(RunId),
    /// The key was used before for another request.
    KeyReused(RunId),
    /// The day's images are used up.
    QuotaExceeded(QuotaState),
}

/// Inserts a run with its idempotency key and its place in the quota, in one statement.
///
/// # Errors
/// [`RecordingError`]; where the answer of the insert was lost, the run is looked for before this is an error.
pub async fn accept(database: &Database, new: &NewRun) -> Result<Accepted, RecordingError> {
    match insert(database, new).await {
        // The same key at the same moment: the other request won, and its row is there now.
        Err(RecordingError::Database(DatabaseError::Conflict { constraint, .. }))
            if constraint.contains("idempotency") =>
        {
            insert(database, new).await
        }
        // The insert may have happened: its id is ours alone, so a second try finds it by the primary key.
        Err(RecordingError::Database(DatabaseError::OutcomeUnknown { .. })) => {
            match insert(database, new).await {
                Err(RecordingError::Database(DatabaseError::Conflict { constraint, .. }))
                    if constraint.contains("pkey") =>
                {
                    Ok(Accepted::New { quota: None })
                }
                Ok(Accepted::Again(id)) if id == new.id => Ok(Accepted::New { quota: None }),
                other => other,
            }
        }
        other => other,
    }
}

async fn insert(database: &Database, new: &NewRun) -> Result<Accepted, RecordingError> {
    let owner = new.caller.owner().map(|owner| owner.0);
    let idempotency_key = new
        .idempotency
        .as_ref()
        .map(|idempotency| idempotency.key.as_str());
    let request_hash = new
        .idempotency
        .as_ref()
        .map(|idempotency| idempotency.request_hash.as_str());
    let cancel_after = new.cancel_after.map(|after| after.as_secs_f64());
    let limit = new
        .daily_limit
        .map(|limit| i32::try_from(limit).unwrap_or(i32::MAX));
    let rows = database
        .write(
            include_str!("accept.sql"),
            &[
                (&new.id.0, Type::UUID),
                (&owner, Type::UUID),
                (&new.mode.as_str(), Type::TEXT),
                (&new.asset_kind, Type::TEXT),
                (&new.user_prompt, Type::TEXT),
                (&new.resolved_prompt, Type::TEXT),
                (&new.style_preset, Type::TEXT),
                (&new.model, Type::TEXT),
                (&Json(&new.options), Type::JSONB),
                (&new.dataset_id.map(|id| id.0), Type::UUID),
                (&new.caller.key(), Type::TEXT),
                (&idempotency_key, Type::TEXT),
                (&request_hash, Type::TEXT),
                (&cancel_after, Type::FLOAT8),
                (&new.retry_unknown, Type::BOOL),
                (&new.parent_image_id.map(|id| id.0), Type::UUID),
                (&new.trace_parent, Type::TEXT),
                (&limit, Type::INT4),
            ],
        )
        .await?;
    let row = rows.first().ok_or(RecordingError::LeaseLost)?;
    let read = |column| StoredDataError::in_run(column, new.id);
    let inserted: Option<Uuid> = row.try_get("inserted").map_err(read("id"))?;
    let earlier: Option<Uuid> = row.try_get("earlier").map_err(read("id"))?;
    let earlier_hash: Option<String> = row.try_get("earlier_hash").map_err(read("request_hash"))?;
    let used: i32 = row.try_get("used").map_err(read("used"))?;
    let resets_in: i64 = row.try_get("resets_in").map_err(read("resets_in"))?;
    let quota = new.daily_limit.map(|limit| QuotaState {
        limit,
        used: u32::try_from(used).unwrap_or(0),
        resets_in: u64::try_from(resets_in).unwrap_or(0),
    });
    Ok(match (inserted, earlier, quota) {
        (Some(_), _, quota) => Accepted::New { quota },
        (None, Some(id), _) if earlier_hash.as_deref() == request_hash => {
            Accepted::Again(RunId(id))
        }
        (None, Some(id), _) => Accepted::KeyReused(RunId(id)),
        // The statement read the day's row as it was at its start; others that came at the same moment have filled it since.
        (None, None, Some(quota)) => Accepted::QuotaExceeded(QuotaState {
            used: quota.used.max(quota.limit),
            ..quota
        }),
        // Without a limit and without an earlier run the insert always happens.
        (None, None, None) => return Err(RecordingError::LeaseLost),
    })
}

/// Notes that no message tells the worker about a run, so that the sweep sends one soon.
///
/// # Errors
/// [`DatabaseError`]: the sweep finds the run all the same, later.
pub async fn note_unsent(database: &Database, id: RunId) -> Result<(), DatabaseError> {
    let sql = "/* note_unsent: $1 run */ update ai_image_runs set queued_at = null where id = $1 and status = 'pending' returning id";
    database.write(sql, &[(&id.0, Type::UUID)]).await?;
    Ok(())
}
