//! Messages that workers gave up on.

use std::time::Duration;

use shared::{
    domain::{failure::FailureClass, job::Job, step::Ending},
    generation::work::{Worked, conclude},
    telemetry,
};

use crate::{
    report::{Outcome, Report},
    sweep::{Order, Sweep},
};

/// Rounds of ten messages that one sweep takes.
const ROUNDS: usize = 50;

/// Ends the runs that dead letters tell of, with the reason, unless they have ended or go on; a letter is deleted once its run is over.
/// A dry run takes no letter, since receiving one hides it.
pub(crate) async fn conclude_letters(sweep: &Sweep, order: &Order, report: &mut Report) -> Outcome {
    let Some(url) = &sweep.dead_letters_url else {
        return Ok(());
    };
    if order.dry_run {
        report.dead_letters = usize::try_from(sweep.queue.depth(url).await?).unwrap_or(usize::MAX);
        return Ok(());
    }
    for _ in 0..ROUNDS {
        let letters = sweep.queue.receive(url, 10, Duration::ZERO).await?;
        if letters.is_empty() {
            break;
        }
        for letter in letters {
            let done = match Job::parse(&letter.body) {
                Ok(job) => end(sweep, job, report).await,
                Err(error) => {
                    tracing::error!(message_id = letter.id, error = %telemetry::chain(&error), "a dead letter that is no job is thrown away");
                    true
                }
            };
            if done {
                sweep.queue.delete(url, &letter.receipt).await?;
                report.dead_letters += 1;
            }
        }
    }
    Ok(())
}

/// Ends the run of a dead letter; whether the letter is done with.
async fn end(sweep: &Sweep, job: Job, report: &mut Report) -> bool {
    let ending = Ending {
        canceled: false,
        code: "dead_letter".to_owned(),
        message:
            "The run could not be finished: its message was delivered as often as the queue allows."
                .to_owned(),
        class: FailureClass::NotAccepted,
    };
    match conclude(&sweep.clients, &sweep.settings, job.run_id, &ending).await {
        Ok(Some(Worked::Over)) => {
            report.dead_letter_runs_ended += 1;
            true
        }
        Ok(None | Some(Worked::Gone)) => true,
        // Its worker is alive after all: the letter comes again, for the case that it dies.
        Ok(Some(Worked::Held | Worked::GivenBack { .. })) => false,
        Err(error) => {
            tracing::error!(run_id = %job.run_id, error = %telemetry::chain(&error), "the run of a dead letter could not be ended");
            report.errors.push("dead_letters");
            false
        }
    }
}
