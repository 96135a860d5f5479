//! The start and the end of a call of the vendor, and what goes with it.

use std::time::Instant;

use serde_json::json;
use tokio_postgres::types::{Json, Type};

use super::{
    RecordingError,
    lease::Lease,
    transition::{PAUSE, transition},
};
use crate::{
    domain::{
        attempt::Attempt,
        event::{self, Event},
        run::Run,
    },
    postgres::{Database, DatabaseError},
};

/// Writes down that the vendor is about to be asked. Until this has succeeded, nothing may be sent: a worker that dies afterwards
/// leaves an attempt that may have been billed, never a call that nobody knows of.
///
/// # Errors
/// [`RecordingError`]: then the attempt must not be made.
pub async fn begin_attempt(
    database: &Database,
    lease: &mut Lease,
    run: &mut Run,
    attempt: Attempt,
) -> Result<Event, RecordingError> {
    let draft = event::attempt(run.id, &attempt);
    let model = attempt.model.clone();
    let retry_count = i32::try_from(attempt.attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let mut attempts = run.attempts.clone();
    attempts.push(attempt);
    let rest: crate::postgres::Params<'_> = &[
        (&Json(&attempts), Type::JSONB),
        (&model, Type::TEXT),
        (&retry_count, Type::INT4),
    ];
    let event = transition(
        database,
        lease,
        include_str!("begin_attempt.sql"),
        &draft,
        rest,
    )
    .await?;
    run.attempts = attempts;
    run.model = model;
    run.retry_count = retry_count;
    Ok(event)
}

/// Writes down how the latest attempt ended.
///
/// # Errors
/// [`RecordingError`]: the row then still says that the attempt is under way, and the next worker finds that out.
pub async fn end_attempt(
    database: &Database,
    lease: &mut Lease,
    run: &mut Run,
    ended: Attempt,
) -> Result<Event, RecordingError> {
    let draft = event::attempt(run.id, &ended);
    let mut attempts = run.attempts.clone();
    attempts.pop();
    attempts.push(ended);
    let event = transition(
        database,
        lease,
        include_str!("end_attempt.sql"),
        &draft,
        &[(&Json(&attempts), Type::JSONB)],
    )
    .await?;
    run.attempts = attempts;
    Ok(event)
}

/// Writes down which reference images go with the run's calls, and the prompt that says so, where fewer could be loaded than the run
/// was accepted with. No event tells of it; the row holds what is about to be sent.
///
/// # Errors
/// [`RecordingError`]: then nothing may be sent.
pub async fn note_references(
    database: &Database,
    lease: &Lease,
    run: &Run,
) -> Result<(), RecordingError> {
    let sql = "/* note_references: $1 run, $2 lease token, $3 options that change, $4 prompt */
        update ai_image_runs set options = options || $3, resolved_prompt = $4
        where id = $1 and lease_token = $2 and status = 'running'
        returning id";
    let changed = json!({
        "references": run.options.references,
        "references_left_out": run.options.references_left_out,
    });
    let params: crate::postgres::Params<'_> = &[
        (&lease.run_id.0, Type::UUID),
        (&lease.token.0, Type::UUID),
        (&changed, Type::JSONB),
        (&run.resolved_prompt, Type::TEXT),
    ];
    let give_up = Instant::now() + lease.patience;
    loop {
        // The same values a second time change nothing.
        match database.read(sql, params).await {
            Ok(rows) if rows.is_empty() => return Err(RecordingError::LeaseLost),
            Ok(_) => return Ok(()),
            Err(DatabaseError::Unavailable { .. }) if Instant::now() < give_up => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
