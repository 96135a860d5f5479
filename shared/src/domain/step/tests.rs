//! What comes next, for the rows that a worker may find.

use jiff::SignedDuration;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::{
    failure::Failure,
    id::RunId,
    run::{Mode, RunOptions, RunStatus},
};

/// When the runs of these tests were accepted; times are given in milliseconds after it.
const ACCEPTED: Timestamp = Timestamp::UNIX_EPOCH;

fn at(ms: i64) -> Timestamp {
    ACCEPTED + SignedDuration::from_millis(ms)
}

fn run() -> Run {
    Run {
        id: RunId(Uuid::nil()),
        owner: None,
        mode: Mode::Generate,
        asset_kind: "generic".to_owned(),
        user_prompt: "a teapot".to_owned(),
        resolved_prompt: "a teapot".to_owned(),
        style_preset: None,
        provider: "openai".to_owned(),
        model: "first".to_owned(),
        options: RunOptions::default(),
        retry_count: 0,
        status: RunStatus::Running,
        error_code: None,
        error_message: None,
        error_meta: None,
        image_url: None,
        response_metadata: None,
        attempts: Vec::new(),
        started_at: Some(ACCEPTED),
        completed_at: None,
        created_at: ACCEPTED,
        sequence: 1,
        image_id: None,
        image_deleted_at: None,
        dataset_id: None,
        cost_usd: None,
        price_version: None,
        cancel_requested_at: None,
        deadline_at: None,
        retry_unknown: false,
        parent_image_id: None,
        trace_parent: None,
    }
}

/// Two models, three attempts each, a day.
fn schedule() -> RetrySchedule {
    RetrySchedule {
        delays_ms: vec![0, 1_500, 4_000],
        models: vec!["first".to_owned(), "second".to_owned()],
        max_age: Duration::from_secs(86_400),
    }
}

fn failure(class: FailureClass) -> Failure {
    Failure {
        class,
        code: class.as_str().to_owned(),
        message: "It did not work.".to_owned(),
        http_status: None,
        request_id: None,
        retry_after: None,
        retryable: class == FailureClass::NotAccepted,
        billed: Billed::No,
        usage: None,
        meta: None,
    }
}

/// A run whose attempts failed like this, the last of them a second after the run was accepted.
fn failed_with(failures: &[(&str, Failure)]) -> Run {
    let mut run = run();
    for (number, (model, failure)) in (1..).zip(failures) {
        let attempt = Attempt::started(number, model, 0, at(0)).failed(failure, at(1_000));
        run.attempts.push(attempt);
    }
    run
}

fn attempt_of(number: u32, model: &str, delay_ms: u64, wait_ms: u64) -> Step {
    Step::Attempt {
        number,
        model: model.to_owned(),
        delay_ms,
        wait: Duration::from_millis(wait_ms),
    }
}

#[test]
fn the_next_step_follows_from_the_row() {
    use FailureClass::{BadAnswer, Config, NotAccepted, Quota, Refused, Unknown};

    let busy = || ("first", failure(NotAccepted));
    let only = |class| failed_with(&[("first", failure(class))]);
    let asked_to_wait = |seconds| {
        let failure = Failure {
            retry_after: Some(Duration::from_secs(seconds)),
            ..failure(NotAccepted)
        };
        failed_with(&[("first", failure)])
    };
    let hopeless = || {
        let failure = Failure {
            retryable: false,
            ..failure(NotAccepted)
        };
        failed_with(&[("first", failure)])
    };
    let with_options = |run: Run, change: fn(&mut RunOptions)| {
        let mut run = run;
        change(&mut run.options);
        run
    };
    let open = |status| {
        let mut run = run();
        let started = Attempt::started(1, "first", 0, at(0));
        run.attempts.push(Attempt { status, ..started });
        run
    };
    let closed = |retry_unknown| {
        let mut run = open(AttemptStatus::Started);
        run.retry_unknown = retry_unknown;
        run.attempts = vec![close_lost_attempt(run.attempts.remove(0), at(1_000))];
        run
    };
    let end = |code: &str| Err(code.to_owned());
    let next = |number, model, delay_ms, wait_ms| Ok(attempt_of(number, model, delay_ms, wait_ms));

    let table = [
        ("a new run", run(), next(1, "first", 0, 0)),
        (
            "the schedule's wait, less what has passed",
            failed_with(&[busy()]),
            next(2, "first", 1_500, 500),
        ),
        (
            "the third wait",
            failed_with(&[busy(), busy()]),
            next(3, "first", 4_000, 3_000),
        ),
        (
            "a round is over: the next model",
            failed_with(&[busy(), busy(), busy()]),
            next(4, "second", 0, 0),
        ),
        (
            "the next model has a round of its own",
            failed_with(&[busy(), ("second", failure(NotAccepted))]),
            next(3, "second", 1_500, 500),
        ),
        (
            "every model has had its round",
            failed_with(&[
                busy(),
                busy(),
                busy(),
                ("second", failure(NotAccepted)),
                ("second", failure(NotAccepted)),
                ("second", failure(NotAccepted)),
            ]),
            end("not_accepted"),
        ),
        (
            "Retry-After wins over a shorter wait",
            asked_to_wait(30),
            next(2, "first", 30_000, 29_000),
        ),
        (
            "and over a longer one",
            asked_to_wait(0),
            next(2, "first", 0, 0),
        ),
        (
            "no use trying again: the next model",
            hopeless(),
            next(2, "second", 0, 0),
        ),
        (
            "no credit: the next model",
            only(Quota),
            next(2, "second", 0, 0),
        ),
        (
            "a model out of reach: the next one",
            only(Config),
            next(2, "second", 0, 0),
        ),
        (
            "the caller named the model",
            with_options(only(Config), |options| options.model_named = true),
            end("config"),
        ),
        (
            "which is asked as often as any",
            with_options(failed_with(&[busy()]), |options| options.model_named = true),
            next(2, "first", 1_500, 500),
        ),
        (
            "the caller's own waits",
            with_options(failed_with(&[busy()]), |options| {
                options.retry_delays_ms = Some(vec![0, 2_000]);
            }),
            next(2, "first", 2_000, 1_000),
        ),
        (
            "no attempt allowed",
            with_options(run(), |options| options.retry_delays_ms = Some(Vec::new())),
            end("no_attempt"),
        ),
        (
            "a model that the setting no longer names",
            failed_with(&[("former", failure(Config))]),
            next(2, "second", 0, 0),
        ),
        ("the request is at fault", only(Refused), end("refused")),
        ("an answer that was lost", only(Unknown), end("unknown")),
        ("no image in the answer", only(BadAnswer), end("bad_answer")),
        (
            "the caller would rather pay twice",
            Run {
                retry_unknown: true,
                ..only(Unknown)
            },
            next(2, "first", 1_500, 500),
        ),
        (
            "the same for a bad answer",
            Run {
                retry_unknown: true,
                ..only(BadAnswer)
            },
            next(2, "first", 1_500, 500),
        ),
        (
            "an attempt that a dead worker left",
            open(AttemptStatus::Started),
            Ok(Step::LookForImage),
        ),
        (
            "an answer whose image may not be safe",
            open(AttemptStatus::Succeeded),
            Ok(Step::LookForImage),
        ),
        (
            "looked for and not found: it may be paid for",
            closed(false),
            end("answer_lost"),
        ),
        (
            "looked for and not found: once more",
            closed(true),
            next(2, "first", 1_500, 500),
        ),
        (
            "an image is looked for in spite of a request to cancel",
            Run {
                cancel_requested_at: Some(at(0)),
                ..open(AttemptStatus::Started)
            },
            Ok(Step::LookForImage),
        ),
        (
            "canceled before the first attempt",
            Run {
                cancel_requested_at: Some(at(0)),
                ..run()
            },
            end("canceled"),
        ),
        (
            "canceled before the next",
            Run {
                cancel_requested_at: Some(at(0)),
                ..failed_with(&[busy()])
            },
            end("canceled"),
        ),
        (
            "a refusal is told as such, canceled or not",
            Run {
                cancel_requested_at: Some(at(0)),
                ..only(Refused)
            },
            end("refused"),
        ),
        (
            "the deadline has come",
            Run {
                deadline_at: Some(at(2_000)),
                ..run()
            },
            end("deadline_exceeded"),
        ),
        (
            "the deadline will have come when the wait is over",
            Run {
                deadline_at: Some(at(2_500)),
                ..failed_with(&[busy()])
            },
            end("deadline_exceeded"),
        ),
        (
            "just in time",
            Run {
                deadline_at: Some(at(2_501)),
                ..failed_with(&[busy()])
            },
            next(2, "first", 1_500, 500),
        ),
        (
            "too old",
            Run {
                created_at: at(-86_400_000),
                ..run()
            },
            end("run_expired"),
        ),
        (
            "accepted in the future, by a clock that was set back since",
            Run {
                created_at: at(100_000_000),
                ..run()
            },
            next(1, "first", 0, 0),
        ),
    ];
    for (name, run, expected) in table {
        // A second after the last attempt ended.
        let step = match next_step(&run, &schedule(), at(2_000)) {
            Step::End(ending) => {
                assert_eq!(ending.canceled, ending.code == "canceled", "{name}");
                Err(ending.code)
            }
            step => Ok(step),
        };
        assert_eq!(step, expected, "{name}");
    }
}

#[test]
fn a_wait_is_not_shortened_by_a_clock_that_was_set_back() {
    let run = failed_with(&[("first", failure(FailureClass::NotAccepted))]);
    assert_eq!(
        next_step(&run, &schedule(), at(-60_000)),
        attempt_of(2, "first", 1_500, 1_500)
    );
}

#[test]
fn a_lost_attempt_stays_paid_for_where_that_is_known() {
    for (status, before, after) in [
        (AttemptStatus::Started, Billed::Unknown, Billed::Unknown),
        (AttemptStatus::Succeeded, Billed::Yes, Billed::Yes),
    ] {
        let attempt = Attempt {
            status,
            billed: before,
            ..Attempt::started(1, "first", 0, at(0))
        };
        let closed = close_lost_attempt(attempt, at(1));
        assert_eq!(closed.status, AttemptStatus::Failed);
        assert_eq!(closed.billed, after);
        assert_eq!(closed.failure_class(), Some(FailureClass::Unknown));
    }
}

fn any_failure() -> impl Strategy<Value = Failure> {
    let class = prop::sample::select(&FailureClass::ALL[..]);
    let retry_after = proptest::option::of(0_u64..200).prop_map(|s| s.map(Duration::from_secs));
    (class, any::<bool>(), retry_after).prop_map(|(class, retryable, retry_after)| Failure {
        retryable,
        retry_after,
        ..failure(class)
    })
}

proptest! {
    /// A setting may name a model twice, and an attempt may fail in any way: the run ends, after one round of each model at most, its
    /// attempts are counted without a gap, and nothing that may be paid for is repeated unasked.
    #[test]
    fn every_run_comes_to_its_end(
        models in prop::collection::vec(prop::sample::select(&["first", "second", "third"][..]), 0..6),
        delays_ms in prop::collection::vec(0_u64..10_000, 0..4),
        failures in prop::collection::vec(any_failure(), 12),
        retry_unknown: bool,
        model_named: bool,
    ) {
        let schedule = RetrySchedule {
            delays_ms,
            models: models.iter().map(ToString::to_string).collect(),
            max_age: Duration::from_secs(86_400),
        };
        let mut run = run();
        run.retry_unknown = retry_unknown;
        run.options.model_named = model_named;
        let mut now = at(0);
        let mut failures = failures.into_iter();
        let ending = loop {
            match next_step(&run, &schedule, now) {
                Step::LookForImage => prop_assert!(false, "every attempt was closed"),
                Step::End(ending) => break ending,
                Step::Attempt { number, model, wait, .. } => {
                    prop_assert_eq!(number as usize, run.attempts.len() + 1);
                    prop_assert!(!model_named || model == run.model);
                    now += wait;
                    // As many as three models with three waits each can have, and more.
                    let failure = failures.next().expect("too many attempts");
                    run.attempts.push(Attempt::started(number, &model, 0, now).failed(&failure, now));
                }
            }
        };
        prop_assert!(!ending.canceled);
        for attempt in run.attempts.iter().rev().skip(1) {
            let class = attempt.failure_class().expect("written by the test");
            prop_assert_ne!(class, FailureClass::Refused);
            prop_assert!(retry_unknown || class.next(false, None, false) != Next::End);
        }
        for model in &models {
            let asked = run.attempts.iter().filter(|attempt| attempt.model == *model).count();
            prop_assert!(asked <= schedule.delays_ms.len());
        }
    }
}
