//! Runs that got stuck.

use shared::{
    generation::{Deadline, work},
    queue::Outgoing,
    recording::{
        accept::note_unsent,
        sweeping::{find_overdue, take_unsent},
    },
    telemetry,
};

use crate::{
    report::{Outcome, Report},
    sweep::{AT_ONCE, Order, Sweep},
};

/// Ends runs past their maximum age, past their deadline or to be canceled. A worker's own way is taken, so that an image that lies in
/// storage is recorded even now.
pub(crate) async fn end_overdue(sweep: &Sweep, order: &Order, report: &mut Report) -> Outcome {
    let overdue = find_overdue(
        &sweep.clients.database,
        sweep.settings.schedule.max_age.as_secs_f64(),
        AT_ONCE,
    )
    .await?;
    for run_id in overdue {
        if order.dry_run {
            report.runs_ended += 1;
            continue;
        }
        match work::work(&sweep.clients, &sweep.settings, run_id, Deadline::NONE).await {
            Ok(work::Worked::Over) => report.runs_ended += 1,
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%run_id, error = %telemetry::chain(&error), "an overdue run could not be ended");
                report.errors.push("runs");
            }
        }
    }
    Ok(())
}

/// Sends messages for runs that none tells of.
pub(crate) async fn send_unsent(sweep: &Sweep, order: &Order, report: &mut Report) -> Outcome {
    let unsent = take_unsent(
        &sweep.clients.database,
        sweep.settings.lease.as_secs_f64(),
        AT_ONCE,
        order.dry_run,
    )
    .await?;
    let begun = unsent.iter().filter(|run| run.begun).count();
    report.leases_expired += begun;
    report.runs_resent += unsent.len() - begun;
    if order.dry_run || unsent.is_empty() {
        return Ok(());
    }
    let messages: Vec<Outgoing> = unsent
        .iter()
        .map(|run| Outgoing {
            body: run.job.body(),
            trace_parent: run.trace_parent.clone(),
        })
        .collect();
    let sent = sweep.queue.send_many(&messages).await;
    for index in &sent.failed {
        if let Some(run) = unsent.get(*index) {
            if run.begun {
                report.leases_expired -= 1
            } else {
                report.runs_resent -= 1
            }
            // The next round finds it at once.
            note_unsent(&sweep.clients.database, run.job.run_id).await?;
        }
    }
    match sent.error {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}
