//! What a worker does next with a run that it holds: decided from the run's row alone, so that a worker that takes over from a dead
//! one goes on where that one stopped.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    attempt::{ANSWER_LOST, Attempt, AttemptStatus},
    failure::{Billed, FailureClass},
    run::Run,
};

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
    /// An earlier worker may have had an answer: look whether the image lies in storage before anything else.
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

/// Decides the next step of a running run. `image_missing` says that storage was looked at and the run's image is not there.
pub fn next_step(run: &Run, schedule: &RetrySchedule, image_missing: bool, now: Timestamp) -> Step {
    let Some(last) = run.attempts.last() else {
        return first_or_end(run, schedule, now);
    };
    match last.status {
        AttemptStatus::Started | AttemptStatus::Succeeded if !image_missing => Step::LookForImage,
        // The answer came, and was lost before the image was safe: it is paid for.
        AttemptStatus::Started | AttemptStatus::Succeeded => after_failure(run, schedule, last, FailureClass::Unknown, now),
        AttemptStatus::Failed => {
            let class = last.failure_class().and_then(FailureClass::parse).unwrap_or(FailureClass::Unknown);
            after_failure(run, schedule, last, class, now)
        }
    }
}

fn first_or_end(run: &Run, schedule: &RetrySchedule, now: Timestamp) -> Step {
    if let Some(ending) = stop_before_attempt(run, schedule, now) {
        return Step::End(ending);
    }
    attempt_number(run, schedule, 1, None, now).map_or_else(
        || Step::End(failed("no_attempt", "The retry schedule allows no attempt.", FailureClass::NotAccepted)),
        |step| step,
    )
}

fn after_failure(run: &Run, schedule: &RetrySchedule, last: &Attempt, class: FailureClass, now: Timestamp) -> Step {
    let repeat = class.is_retryable() || (run.retry_unknown && class.may_repeat_on_request());
    let ending = || {
        failed(
            last.error_code.as_deref().unwrap_or(ANSWER_LOST),
            last.error_message.as_deref().unwrap_or(
                "The answer of the image service was lost after the request was sent; it may have been charged and was not repeated.",
            ),
            class,
        )
    };
    if !repeat {
        return Step::End(ending());
    }
    if let Some(ending) = stop_before_attempt(run, schedule, now) {
        return Step::End(ending);
    }
    let models_left = attempt_number(run, schedule, last.attempt + 1, Some(last), now);
    models_left.unwrap_or_else(|| Step::End(ending()))
}

/// Reasons of the run itself, not of the vendor, for making no further attempt.
fn stop_before_attempt(run: &Run, schedule: &RetrySchedule, now: Timestamp) -> Option<Ending> {
    if run.cancel_requested_at.is_some() {
        return Some(Ending {
            canceled: true,
            code: "canceled".to_owned(),
            message: "The run was canceled.".to_owned(),
            class: FailureClass::NotAccepted,
        });
    }
    if run.deadline_at.is_some_and(|deadline| now >= deadline) {
        return Some(failed("deadline_exceeded", "The run's deadline (Cancel-After) passed before an image was made.", FailureClass::NotAccepted));
    }
    let age = now.duration_since(run.created_at);
    if !age.is_negative() && age.unsigned_abs() > schedule.max_age {
        return Some(failed("run_expired", "The run passed its maximum age before an image was made.", FailureClass::NotAccepted));
    }
    None
}

fn attempt_number(run: &Run, schedule: &RetrySchedule, number: u32, last: Option<&Attempt>, now: Timestamp) -> Option<Step> {
    let delays = run.options.retry_delays_ms.as_ref().unwrap_or(&schedule.delays_ms);
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    let round = index.checked_div(delays.len())?;
    let model = if run.options.model_named {
        (round == 0).then_some(&run.model)?
    } else {
        schedule.models.get(round)?
    };
    let delay_ms = last.and_then(Attempt::retry_after_ms).or_else(|| delays.get(index % delays.len()).copied())?;
    let since = last.and_then(|last| last.completed_at).unwrap_or(now);
    let passed = u64::try_from(now.duration_since(since).as_millis()).unwrap_or(0);
    Some(Step::Attempt {
        number,
        model: model.clone(),
        delay_ms,
        wait: Duration::from_millis(delay_ms.saturating_sub(passed)),
    })
}

fn failed(code: &str, message: &str, class: FailureClass) -> Ending {
    Ending { canceled: false, code: code.to_owned(), message: message.to_owned(), class }
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
        error_message: Some("The worker stopped before the image was safe; the call may have been charged.".to_owned()),
        retryable: Some(false),
        billed,
        meta: Some(meta),
        ..attempt
    }
}
