//! What a worker does next with a run that it holds: decided from the run's row alone, so that a worker that takes over from a dead
//! one goes on where that one stopped.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    attempt::{ANSWER_LOST, Attempt, AttemptStatus},
    failure::{Billed, FailureClass, Next},
    run::Run,
};

const LOST_WITH_WORKER: &str = "The worker stopped before the image was safe; the call may have been charged and was not repeated.";

/// When attempts are made and with which models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule {
    /// One entry an attempt: the wait before it, in milliseconds (setting `RETRY_DELAYS_MS`).
    pub delays_ms: Vec<u64>,
    /// The models, each tried for a whole round of delays (setting `OPENAI_IMAGE_MODELS`).
    pub models: Vec<String>,
    /// A run older than this ends as failed (setting `RUN_MAX_AGE_S`).
    pub max_age: Duration,
}

/// How a run ends without an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// Canceled rather than failed.
    pub canceled: bool,
    /// Machine-readable reason.
    pub code: String,
    /// Reason for people; safe to show.
    pub message: String,
    /// The class of the failure, which decides the HTTP status of the answer.
    pub class: FailureClass,
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// An earlier worker may have had an answer: look whether the image lies in storage before anything else. Where it does not,
    /// the attempt is closed ([`close_lost_attempt`]) and the next step asked for anew.
    LookForImage,
    /// Call the vendor, after a wait.
    Attempt {
        /// The attempt's number, from 1.
        number: u32,
        /// The model to ask.
        model: String,
        /// The wait that belongs before this attempt, in milliseconds, as it is recorded.
        delay_ms: u64,
        /// What is left of that wait.
        wait: Duration,
    },
    /// End the run.
    End(Ending),
}

/// Decides the next step of a running run.
pub fn next_step(run: &Run, schedule: &RetrySchedule, now: Timestamp) -> Step {
    let (next, otherwise) = match run.attempts.last() {
        None => {
            let nothing_to_try = failed(
                "no_attempt",
                "The retry schedule allows no attempt.",
                FailureClass::Config,
            );
            (Next::Repeat { wait: None }, nothing_to_try)
        }
        Some(last) if last.status != AttemptStatus::Failed => return Step::LookForImage,
        Some(last) => {
            let class = last.failure_class().unwrap_or(FailureClass::Unknown);
            let next = class.next(
                last.retryable == Some(true),
                last.retry_after(),
                run.retry_unknown,
            );
            if next == Next::End {
                return Step::End(ending_of(last, class));
            }
            (next, ending_of(last, class))
        }
    };
    let attempt = attempt(run, schedule, next, now);
    let begins = match &attempt {
        Some(Step::Attempt { wait, .. }) => now.checked_add(*wait).unwrap_or(Timestamp::MAX),
        _ => now,
    };
    if let Some(ending) = stop_before_attempt(run, schedule, begins) {
        return Step::End(ending);
    }
    attempt.unwrap_or(Step::End(otherwise))
}

fn ending_of(last: &Attempt, class: FailureClass) -> Ending {
    failed(
        last.error_code.as_deref().unwrap_or(ANSWER_LOST),
        last.error_message.as_deref().unwrap_or(LOST_WITH_WORKER),
        class,
    )
}

/// The attempt that the schedule has next, if it has one. Each model is asked for one round of delays at most, however often the setting
/// names it, so that every run comes to an end.
fn attempt(run: &Run, schedule: &RetrySchedule, next: Next, now: Timestamp) -> Option<Step> {
    let delays = run
        .options
        .retry_delays_ms
        .as_ref()
        .unwrap_or(&schedule.delays_ms);
    let models = if run.options.model_named {
        std::slice::from_ref(&run.model)
    } else {
        schedule.models.as_slice()
    };
    let last = run.attempts.last();
    let asked = |model: &str| {
        let of_model = |attempt: &&Attempt| attempt.model == model;
        run.attempts.iter().filter(of_model).count()
    };
    let again = match (last, next) {
        (_, Next::End) => return None,
        (Some(last), Next::Repeat { wait }) => delays
            .get(asked(&last.model))
            .map(|scheduled| (last.model.clone(), wait.map_or(*scheduled, milliseconds))),
        (None, _) | (_, Next::NextModel) => None,
    };
    let (model, delay_ms) = match again {
        Some(again) => again,
        None => {
            let after = last.map_or(0, |last| {
                // A model that the setting no longer names counts as the first.
                let at = models.iter().position(|model| *model == last.model);
                at.unwrap_or(0) + 1
            });
            let mut not_asked = models.iter().skip(after).filter(|model| asked(model) == 0);
            (not_asked.next()?.clone(), *delays.first()?)
        }
    };
    let since = last.and_then(|last| last.completed_at).unwrap_or(now);
    let passed = u64::try_from(now.duration_since(since).as_millis()).unwrap_or(0);
    Some(Step::Attempt {
        number: last.map_or(1, |last| last.attempt + 1),
        model,
        delay_ms,
        wait: Duration::from_millis(delay_ms.saturating_sub(passed)),
    })
}

fn milliseconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

/// Reasons of the run itself, not of the vendor, for making no attempt that would begin then. A run that would only wait until it is too
/// late ends at once.
fn stop_before_attempt(run: &Run, schedule: &RetrySchedule, begins: Timestamp) -> Option<Ending> {
    if run.cancel_requested_at.is_some() {
        return Some(Ending {
            canceled: true,
            code: "canceled".to_owned(),
            message: "The run was canceled.".to_owned(),
            class: FailureClass::NotAccepted,
        });
    }
    if run.deadline_at.is_some_and(|deadline| begins >= deadline) {
        return Some(failed(
            "deadline_exceeded",
            "No image was made, and no attempt could begin, before the run's deadline (Cancel-After).",
            FailureClass::NotAccepted,
        ));
    }
    let age = begins.duration_since(run.created_at);
    if !age.is_negative() && age.unsigned_abs() > schedule.max_age {
        return Some(failed(
            "run_expired",
            "No image was made, and no attempt could begin, before the run's maximum age.",
            FailureClass::NotAccepted,
        ));
    }
    None
}

fn failed(code: &str, message: &str, class: FailureClass) -> Ending {
    Ending {
        canceled: false,
        code: code.to_owned(),
        message: message.to_owned(),
        class,
    }
}

/// The attempt that a dead worker left open, closed: what it asked for may have been billed, and its answer is lost.
pub fn close_lost_attempt(attempt: Attempt, now: Timestamp) -> Attempt {
    let billed = match attempt.status {
        AttemptStatus::Succeeded => attempt.billed,
        AttemptStatus::Started | AttemptStatus::Failed => Billed::Unknown,
    };
    let mut meta = attempt.meta.clone().unwrap_or_default();
    meta.insert("class".to_owned(), FailureClass::Unknown.as_str().into());
    Attempt {
        status: AttemptStatus::Failed,
        completed_at: Some(now),
        error_code: Some(ANSWER_LOST.to_owned()),
        error_message: Some(LOST_WITH_WORKER.to_owned()),
        retryable: Some(false),
        billed,
        meta: Some(meta),
        ..attempt
    }
}

#[cfg(test)]
mod tests;
