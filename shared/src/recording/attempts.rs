//! The start and the end of a call of the vendor.

use tokio_postgres::types::{Json, Type};

use super::{RecordingError, lease::Lease, transition::transition};
use crate::{
    domain::{
        attempt::Attempt,
        event::{self, Event},
        run::Run,
    },
    postgres::Database,
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
