//! Whatever happens, in whatever order: several workers, deliveries, deaths, lost answers, cancels, and a clock that jumps.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const WORKERS: usize = 3;
const LEASE: Duration = Duration::from_secs(60);

/// Something that happens. The number is the worker's.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// The queue delivers the run's message.
    Deliver(usize),
    Renew(usize),
    Begin(usize),
    EndAttempt(usize, AttemptStatus),
    EndRun(usize, End),
    GiveBack(usize),
    /// The worker dies and knows nothing any more.
    Crash(usize),
    /// The worker does not hear the answer to its next statement, and so does not learn the new sequence.
    LoseAnswer(usize),
    Cancel,
    /// The database's clock goes on, or is set back, by so many seconds. A worker's own clock is in none of the transitions.
    Clock(i64),
}

fn op() -> impl Strategy<Value = Op> {
    let worker = 0..WORKERS;
    let outcome = prop_oneof![Just(AttemptStatus::Failed), Just(AttemptStatus::Succeeded)];
    let end = prop_oneof![Just(End::Succeeded), Just(End::Failed), Just(End::Canceled)];
    prop_oneof![
        8 => worker.clone().prop_map(Op::Deliver),
        3 => worker.clone().prop_map(Op::Renew),
        8 => worker.clone().prop_map(Op::Begin),
        6 => (worker.clone(), outcome).prop_map(|(worker, outcome)| Op::EndAttempt(worker, outcome)),
        1 => (worker.clone(), end).prop_map(|(worker, end)| Op::EndRun(worker, end)),
        2 => worker.clone().prop_map(Op::GiveBack),
        2 => worker.clone().prop_map(Op::Crash),
        2 => worker.prop_map(Op::LoseAnswer),
        1 => Just(Op::Cancel),
        6 => (-200_i64..200).prop_map(Op::Clock),
    ]
}

/// The run, and what the world around it knows.
struct World {
    run: Machine,
    log: Vec<(i32, EventKind)>,
    now: Timestamp,
    workers: [Option<Holder>; WORKERS],
    deaf: [bool; WORKERS],
    /// Everything that any worker ever held a run with.
    holders: Vec<Holder>,
}

impl World {
    fn new() -> Self {
        Self {
            run: Machine::accepted(),
            log: Vec::new(),
            now: Timestamp::UNIX_EPOCH,
            workers: [None; WORKERS],
            deaf: [false; WORKERS],
            holders: Vec::new(),
        }
    }

    fn happen(&mut self, op: Op) {
        match op {
            Op::Deliver(worker) => {
                let token = LeaseToken(Uuid::from_u128(self.holders.len() as u128));
                let transition = self.run.claim(token, self.now, LEASE);
                if let Some(sequence) = self.take(transition) {
                    let holder = Holder { token, sequence };
                    self.holders.push(holder);
                    self.workers[worker] = Some(holder);
                }
            }
            Op::Renew(worker) => {
                self.with(worker, |run, holder, now| {
                    run.renew(holder.token, now, LEASE)
                });
            }
            Op::Begin(worker) => self.with(worker, |run, holder, _| run.begin_attempt(holder)),
            Op::EndAttempt(..) if self.run.attempts().is_empty() => {}
            Op::EndAttempt(worker, outcome) => {
                self.with(worker, |run, holder, _| run.end_attempt(holder, outcome));
            }
            Op::EndRun(worker, how) => self.with(worker, |run, holder, _| run.end(holder, how)),
            Op::GiveBack(worker) => {
                self.with(worker, |run, holder, _| run.give_back(holder.token));
            }
            Op::Crash(worker) => self.workers[worker] = None,
            Op::LoseAnswer(worker) => self.deaf[worker] = true,
            Op::Cancel => {
                let transition = self.run.cancel();
                self.take(transition);
            }
            Op::Clock(seconds) => {
                self.now += jiff::SignedDuration::from_secs(seconds);
            }
        }
    }

    fn with(&mut self, worker: usize, act: impl Fn(&Machine, Holder, Timestamp) -> Transition) {
        let Some(holder) = self.workers[worker] else {
            return;
        };
        let transition = act(&self.run, holder, self.now);
        let told = matches!(transition, Ok((_, Some(_))));
        let heard = !std::mem::take(&mut self.deaf[worker]);
        if let Some(sequence) = self.take(transition) {
            let known = Holder { sequence, ..holder };
            self.holders.push(known);
            if heard {
                self.workers[worker] = Some(known);
            }
        }
        if told {
            // The statement arrives once more.
            assert_eq!(act(&self.run, holder, self.now), Err(Refused::LeaseLost));
        }
    }

    fn take(&mut self, transition: Transition) -> Option<i32> {
        let (run, event) = transition.ok()?;
        self.log.extend(event.map(|event| (run.sequence(), event)));
        self.run = run;
        Some(self.run.sequence())
    }

    /// Everybody's attempts to write, as they would turn out now.
    fn may_write(&self) -> Vec<LeaseToken> {
        let mut tokens: Vec<_> = self
            .holders
            .iter()
            .filter(|holder| {
                let may_renew = self.run.renew(holder.token, self.now, LEASE).is_ok();
                let may_end = self.run.end(**holder, End::Failed).is_ok();
                assert!(may_renew || !may_end);
                may_renew
            })
            .map(|holder| holder.token)
            .collect();
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_keeps_its_promises(ops in proptest::collection::vec(op(), 1..60)) {
        let mut world = World::new();
        for op in ops {
            let before = world.run.clone();
            let live = world.may_write();
            world.happen(op);
            let after = &world.run;

            // An end state never changes, nor anything else of the run.
            if matches!(before.state(), State::Ended(_)) {
                prop_assert_eq!(after, &before);
            }
            // The log counts from 1, repeats and skips no number, and is as long as the run says.
            let numbers: Vec<i32> = world.log.iter().map(|(sequence, _)| *sequence).collect();
            prop_assert_eq!(numbers, (1..=after.sequence()).collect::<Vec<_>>());
            // At most one worker may write, and it is not displaced before its lease has run out.
            let may_write = world.may_write();
            prop_assert!(may_write.len() <= 1);
            if let State::Running { lease: Some(lease) } = before.state()
                && lease.expires_at > world.now
                && let State::Running { lease: Some(next) } = after.state()
            {
                prop_assert_eq!(lease.token, next.token);
            }
            // Who could not write before has changed nothing, unless by taking the run or by canceling it.
            if live.is_empty() && !matches!(op, Op::Deliver(_) | Op::Cancel) {
                prop_assert_eq!(after, &before);
            }
            // A request to cancel stays, and no attempt begins after it.
            if before.cancel_requested() {
                prop_assert!(after.cancel_requested());
                prop_assert!(after.attempts().len() == before.attempts().len());
            }
            // The story is told in order: started first, completed once and last.
            let completed = world.log.iter().position(|(_, event)| matches!(event, EventKind::Completed(_)));
            prop_assert_eq!(completed, after.status().is_end().then(|| world.log.len() - 1));
            let started = world.log.iter().skip(1).any(|(_, event)| *event == EventKind::Started);
            prop_assert!(!started);
        }
    }

    /// Whatever happened before, a run that is delivered again once its lease has run out can be brought to its end.
    #[test]
    fn a_run_can_always_be_ended(ops in proptest::collection::vec(op(), 0..60)) {
        let mut world = World::new();
        ops.into_iter().for_each(|op| world.happen(op));
        world.happen(Op::Clock(500_000));
        world.happen(Op::Deliver(0));
        world.deaf[0] = false;
        world.happen(Op::EndRun(0, End::Failed));
        prop_assert!(world.run.status().is_end());
    }
}

#[test]
fn a_stale_worker_changes_nothing() {
    let [first, second] = [1, 2].map(|number| LeaseToken(Uuid::from_u128(number)));
    let now = Timestamp::UNIX_EPOCH;
    let (run, event) = Machine::accepted().claim(first, now, LEASE).unwrap();
    assert_eq!(event, Some(EventKind::Started));
    let late = Holder {
        token: first,
        sequence: run.sequence(),
    };
    let (run, _) = run.begin_attempt(late).unwrap();
    assert_eq!(run.claim(second, now, LEASE), Err(Refused::Held));
    let (run, event) = run.claim(second, now + LEASE, LEASE).unwrap();
    assert_eq!(event, None, "started is told once");

    let late = Holder {
        sequence: run.sequence(),
        ..late
    };
    let lost = Err(Refused::LeaseLost);
    assert_eq!(run.renew(first, now, LEASE), lost);
    assert_eq!(run.begin_attempt(late), lost);
    assert_eq!(run.end_attempt(late, AttemptStatus::Failed), lost);
    assert_eq!(run.end(late, End::Succeeded), lost);
    assert_eq!(run.give_back(first), lost);
}

#[test]
fn a_cancel_ends_what_is_pending_and_keeps_an_answer_that_comes() {
    let token = LeaseToken(Uuid::from_u128(1));
    let now = Timestamp::UNIX_EPOCH;
    let (run, event) = Machine::accepted().cancel().unwrap();
    assert_eq!(event, Some(EventKind::Completed(End::Canceled)));
    assert_eq!(run.claim(token, now, LEASE), Err(Refused::Over));
    assert_eq!(run.cancel(), Err(Refused::Over));

    let (run, _) = Machine::accepted().claim(token, now, LEASE).unwrap();
    let holder = |run: &Machine| Holder {
        token,
        sequence: run.sequence(),
    };
    let (run, _) = run.begin_attempt(holder(&run)).unwrap();
    let (run, event) = run.cancel().unwrap();
    assert_eq!((event, run.status()), (None, RunStatus::Running));
    let (run, _) = run
        .end_attempt(holder(&run), AttemptStatus::Succeeded)
        .unwrap();
    assert_eq!(
        run.begin_attempt(holder(&run)),
        Err(Refused::CancelRequested)
    );
    let (run, _) = run.end(holder(&run), End::Succeeded).unwrap();
    assert_eq!(run.status(), RunStatus::Succeeded);
}
