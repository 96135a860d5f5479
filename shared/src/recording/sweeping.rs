//! What the sweep finds in the tables.

use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::{
    domain::{
        id::RunId,
        job::{Job, JobType},
        run::Mode,
    },
    postgres::{Database, row::StoredDataError, runs::ReadError},
};

/// A run that needs a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// The message to send.
    pub job: Job,
    /// Whether a worker had begun it, and died or gave it back.
    pub begun: bool,
    /// W3C `traceparent` of the request that made it.
    pub trace_parent: Option<String>,
}

/// Runs that nobody works on and no message tells of (of Darkroom's own: other users of the table write no `caller_key`), as far as can be known: those whose message could not be sent, and those whose
/// message is older than a lease. Notes that they are being sent, unless `look_only`.
///
/// # Errors
/// [`ReadError`].
pub async fn take_unsent(
    database: &Database,
    lease_s: f64,
    limit: i64,
    look_only: bool,
) -> Result<Vec<Unsent>, ReadError> {
    let sql = "/* take_unsent: $1 lease in seconds, $2 limit, $3 whether only to look */
        with stale as (
          select id, mode, status, trace_parent from ai_image_runs
          where status in ('pending', 'running') and caller_key is not null
            and (lease_expires_at is null or lease_expires_at <= now())
            and (queued_at is null or queued_at <= now() - make_interval(secs => $1))
          order by created_at
          limit $2
          for update skip locked
        ),
        noted as (
          update ai_image_runs run set queued_at = now() from stale where run.id = stale.id and not $3 returning run.id
        )
        select stale.id, stale.mode, stale.status = 'running' as begun, stale.trace_parent from stale";
    let rows = database
        .write(
            sql,
            &[
                (&lease_s, Type::FLOAT8),
                (&limit, Type::INT8),
                (&look_only, Type::BOOL),
            ],
        )
        .await?;
    let mut unsent = Vec::with_capacity(rows.len());
    for row in &rows {
        let id = RunId(row.try_get("id").map_err(StoredDataError::at(
            "ai_image_runs",
            "id",
            String::new(),
        ))?);
        let read = |column| StoredDataError::in_run(column, id);
        let mode: String = row.try_get("mode").map_err(read("mode"))?;
        let job_type = match Mode::parse(&mode) {
            Some(Mode::Edit) => JobType::Edit,
            Some(Mode::Generate) | None => JobType::Generate,
        };
        unsent.push(Unsent {
            job: Job::new(job_type, id),
            begun: row.try_get("begun").map_err(read("status"))?,
            trace_parent: row.try_get("trace_parent").map_err(read("trace_parent"))?,
        });
    }
    Ok(unsent)
}

/// Runs that nobody works on and that are to end: too old, past their deadline, or to be canceled.
///
/// # Errors
/// [`ReadError`].
pub async fn find_overdue(
    database: &Database,
    max_age_s: f64,
    limit: i64,
) -> Result<Vec<RunId>, ReadError> {
    let sql = "/* find_overdue: $1 maximum age in seconds, $2 limit */
        select id from ai_image_runs
        where status in ('pending', 'running') and caller_key is not null
          and (lease_expires_at is null or lease_expires_at <= now())
          and (created_at <= now() - make_interval(secs => $1) or deadline_at <= now() or cancel_requested_at is not null)
        order by created_at
        limit $2";
    let rows = database
        .read(sql, &[(&max_age_s, Type::FLOAT8), (&limit, Type::INT8)])
        .await?;
    let ids = rows
        .iter()
        .map(|row| row.try_get::<_, Uuid>("id").map(RunId));
    Ok(ids.collect::<Result<_, _>>().map_err(StoredDataError::at(
        "ai_image_runs",
        "id",
        String::new(),
    ))?)
}
