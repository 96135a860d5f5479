//! Random stories, told to the state machine and to the statements: after each event both must say the same.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;
use shared::{
    domain::{
        attempt::{Attempt, AttemptStatus},
        caller::{Caller, Scope},
        event::{self, Event},
        id::{LeaseToken, RunId},
        machine::{End, EventKind, Holder, Machine, Refused, State, Transition},
        run::{Run, RunStatus},
    },
    postgres::Database,
    recording::{
        RecordingError,
        attempts::{begin_attempt, end_attempt},
        cancel::{Canceled, cancel},
        ending,
        lease::{self, Claim, Lease},
    },
};
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

use super::setup;

const STORIES: u64 = 200;
const LENGTH: usize = 40;
const WORKERS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Op {
    Deliver(usize),
    Renew(usize),
    Begin(usize),
    EndAttempt(usize, AttemptStatus),
    EndRun(usize, End),
    GiveBack(usize),
    Crash(usize),
    /// The worker does not hear the answer to its next statement.
    LoseAnswer(usize),
    Cancel,
    /// The database's clock goes on, or is set back.
    Clock(i64),
}

fn any_op(random: &mut StdRng) -> Op {
    // One is more at work than the others, or most would be said by workers that hold nothing.
    let worker = random.random_range(0..2 * WORKERS).saturating_sub(WORKERS);
    match random.random_range(0..100) {
        0..18 => Op::Deliver(worker),
        18..25 => Op::Renew(worker),
        25..50 => Op::Begin(worker),
        50..65 => Op::EndAttempt(worker, AttemptStatus::Failed),
        65..72 => Op::EndAttempt(worker, AttemptStatus::Succeeded),
        72..74 => Op::EndRun(worker, End::Succeeded),
        74..75 => Op::EndRun(worker, End::Failed),
        75..76 => Op::EndRun(worker, End::Canceled),
        76..81 => Op::GiveBack(worker),
        81..84 => Op::Crash(worker),
        84..88 => Op::LoseAnswer(worker),
        88..90 => Op::Cancel,
        // No sum of these is near a lease's 60 seconds.
        _ => Op::Clock(25 * random.random_range(-1..=5)),
    }
}

/// A worker, with what it knows of the run.
#[derive(Clone)]
struct Worker {
    lease: Lease,
    run: Run,
}

struct Story<'a> {
    seed: u64,
    told: Vec<Op>,
    database: &'a Database,
    caller: Caller,
    id: RunId,
    machine: Machine,
    now: Timestamp,
    log: Vec<EventKind>,
    workers: [Option<Worker>; WORKERS],
    deaf: [bool; WORKERS],
}

type Told = Result<Option<EventKind>, Refused>;

impl<'a> Story<'a> {
    async fn new(database: &'a Database, seed: u64) -> Self {
        let caller = setup::somebody();
        let new = setup::new_run(&caller, Some(1), Some("key"));
        Self {
            seed,
            told: Vec::new(),
            database,
            id: setup::accepted(database, &new).await,
            caller,
            machine: Machine::accepted(),
            now: Timestamp::UNIX_EPOCH,
            log: Vec::new(),
            workers: [const { None }; WORKERS],
            deaf: [false; WORKERS],
        }
    }

    /// Lets something happen to both. `None`: it concerned a worker that holds nothing.
    async fn happen(&mut self, op: Op) -> Option<(Told, Told)> {
        Some(match op {
            Op::Deliver(worker) => {
                let (real, token) = self.deliver(worker).await;
                let expected = self.machine.claim(token, self.now, setup::LEASE);
                (real, self.take(expected))
            }
            Op::Crash(worker) => {
                self.workers[worker] = None;
                return None;
            }
            Op::LoseAnswer(worker) => {
                self.deaf[worker] = true;
                return None;
            }
            Op::Clock(seconds) => {
                setup::let_pass(self.database, self.id, seconds as f64).await;
                self.now += SignedDuration::from_secs(seconds);
                return None;
            }
            Op::Cancel => {
                let expected = self.machine.cancel();
                let real = match cancel(self.database, Scope::Ownerless, self.id).await {
                    Ok(Canceled::AtOnce(event)) => Ok(Some(kind(&event))),
                    Ok(Canceled::Asked) => Ok(None),
                    Ok(Canceled::Over) => Err(Refused::Over),
                    other => panic!("{other:?}"),
                };
                (real, self.take(expected))
            }
            Op::Renew(worker)
            | Op::Begin(worker)
            | Op::EndAttempt(worker, _)
            | Op::EndRun(worker, _)
            | Op::GiveBack(worker) => {
                let before = self.workers[worker].clone()?;
                // Nobody ends an attempt before beginning one.
                if matches!(op, Op::EndAttempt(..)) && before.run.attempts.is_empty() {
                    return None;
                }
                let expected = self.expect(op, &before.lease);
                let mut after = before.clone();
                let real = act(self.database, op, &mut after).await;
                let deaf = std::mem::take(&mut self.deaf[worker]);
                self.workers[worker] = Some(if deaf { before } else { after });
                // To the statement both are the same: it finds no row.
                let expected = match self.take(expected) {
                    Err(Refused::CancelRequested) => Err(Refused::LeaseLost),
                    other => other,
                };
                (real, expected)
            }
        })
    }

    async fn deliver(&mut self, worker: usize) -> (Told, LeaseToken) {
        match setup::claim(self.database, self.id).await {
            Claim::Taken {
                run,
                lease,
                started,
            } => {
                let token = lease.token;
                self.workers[worker] = Some(Worker { lease, run: *run });
                (Ok(started.as_ref().map(kind)), token)
            }
            Claim::Held => (Err(Refused::Held), LeaseToken(Uuid::nil())),
            Claim::Over(status) => {
                assert_eq!(status, self.machine.status());
                (Err(Refused::Over), LeaseToken(Uuid::nil()))
            }
            Claim::Gone => panic!("the run is gone"),
        }
    }

    fn expect(&self, op: Op, lease: &Lease) -> Transition {
        let holder = Holder {
            token: lease.token,
            sequence: lease.sequence,
        };
        match op {
            Op::Renew(_) => self.machine.renew(lease.token, self.now, setup::LEASE),
            Op::Begin(_) => self.machine.begin_attempt(holder),
            Op::EndAttempt(_, outcome) => self.machine.end_attempt(holder, outcome),
            Op::EndRun(_, how) => self.machine.end(holder, how),
            Op::GiveBack(_) => self.machine.give_back(lease.token),
            other => panic!("{other:?} is no worker's"),
        }
    }

    fn take(&mut self, transition: Transition) -> Told {
        let (machine, event) = transition?;
        self.machine = machine;
        self.log.extend(event);
        Ok(event)
    }

    /// Compares the tables with the machine.
    async fn compare(&self) {
        let sql = "
            select status, sequence, lease_token, lease_expires_at is null as unleased, completed_at is not null as completed,
              cancel_requested_at is not null as cancel_requested, attempts, idempotency_key is not null as keyed, quota_state,
              array(select data || jsonb_build_object('number', sequence) from ai_image_run_events
                where run_id = $1 order by sequence) as events,
              (select count(*) from generated_images where run_id = $1) as images,
              (select used from image_quotas where caller_key = $2) as used
            from ai_image_runs where id = $1";
        let rows = self
            .database
            .read(
                sql,
                &[(&self.id.0, Type::UUID), (&self.caller.key(), Type::TEXT)],
            )
            .await
            .unwrap();
        let row = &rows[0];
        let machine = &self.machine;
        let ended = matches!(machine.state(), State::Ended(_));
        assert_eq!(row.get::<_, String>("status"), machine.status().as_str());
        assert_eq!(row.get::<_, i32>("sequence"), machine.sequence());
        assert_eq!(row.get::<_, bool>("completed"), ended);
        assert_eq!(
            row.get::<_, bool>("cancel_requested"),
            machine.cancel_requested()
        );

        let leased = match machine.state() {
            State::Running { lease: Some(lease) } => Some(lease.token.0),
            _ => None,
        };
        assert_eq!(row.get::<_, Option<Uuid>>("lease_token"), leased);
        assert_eq!(row.get::<_, bool>("unleased"), leased.is_none());

        let Json(attempts) = row.get::<_, Json<Vec<Attempt>>>("attempts");
        let statuses: Vec<_> = attempts.iter().map(|attempt| attempt.status).collect();
        assert_eq!(statuses, machine.attempts());

        let events: Vec<Value> = row.get("events");
        let kinds: Vec<_> = events.iter().map(kind_of_data).collect();
        assert_eq!(kinds, self.log);
        for (number, data) in (1..).zip(&events) {
            assert_eq!(data["number"], number);
            assert_eq!(data["sequence"], number);
        }

        let succeeded = machine.status() == RunStatus::Succeeded;
        assert_eq!(row.get::<_, i64>("images"), i64::from(succeeded));
        // The key and the place in the quota are given back when the run ended without an image and nothing was paid for.
        let free = ended
            && !succeeded
            && machine
                .attempts()
                .iter()
                .all(|attempt| *attempt == AttemptStatus::Failed);
        assert_eq!(row.get::<_, i32>("used"), i32::from(!free));
        assert_eq!(row.get::<_, bool>("keyed"), !free);
        let quota_state = match (ended, free) {
            (false, _) => "reserved",
            (true, false) => "used",
            (true, true) => "released",
        };
        assert_eq!(row.get::<_, String>("quota_state"), quota_state);
    }
}

impl Drop for Story<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("story {}: {:?}", self.seed, self.told);
        }
    }
}

/// What a worker does, for real.
async fn act(database: &Database, op: Op, worker: &mut Worker) -> Told {
    let Worker { lease, run } = worker;
    let event = match op {
        Op::Renew(_) => {
            let kept = lease::renew(database, lease, setup::LEASE).await.unwrap();
            return if kept {
                Ok(None)
            } else {
                Err(Refused::LeaseLost)
            };
        }
        Op::GiveBack(_) => lease::give_back(database, lease).await.map(|()| None),
        Op::Begin(_) => {
            let attempt = setup::next_attempt(run, lease);
            begin_attempt(database, lease, run, attempt).await.map(Some)
        }
        Op::EndAttempt(_, outcome) => {
            let last = run.attempts.last().unwrap().clone();
            let ended = setup::ended(last, outcome, lease);
            end_attempt(database, lease, run, ended).await.map(Some)
        }
        Op::EndRun(_, End::Succeeded) => {
            let image = setup::stored_image(run);
            ending::succeed(database, lease, run, &image)
                .await
                .map(Some)
        }
        Op::EndRun(_, how) => {
            let ending = setup::ending(how == End::Canceled);
            ending::fail(database, lease, run, &ending).await.map(Some)
        }
        other => panic!("{other:?} is no worker's"),
    };
    match event {
        Ok(event) => Ok(event.as_ref().map(kind)),
        Err(RecordingError::LeaseLost) => Err(Refused::LeaseLost),
        Err(error) => panic!("{error:?}"),
    }
}

fn kind(event: &Event) -> EventKind {
    assert_eq!(event.data["type"], event.name);
    assert_eq!(event.data["sequence"], event.sequence);
    kind_of_data(&event.data)
}

fn kind_of_data(data: &Value) -> EventKind {
    let word = |name: &str| data[name].as_str();
    match (word("type"), word("status"), word("errorCode")) {
        (Some(event::STARTED), ..) => EventKind::Started,
        (Some(event::ATTEMPT), Some("started"), _) => EventKind::Attempt(AttemptStatus::Started),
        (Some(event::ATTEMPT), Some("failed"), _) => EventKind::Attempt(AttemptStatus::Failed),
        (Some(event::ATTEMPT), Some("succeeded"), _) => {
            EventKind::Attempt(AttemptStatus::Succeeded)
        }
        (Some(event::COMPLETED), Some("succeeded"), None) => EventKind::Completed(End::Succeeded),
        (Some(event::COMPLETED), Some("failed"), Some("canceled")) => {
            EventKind::Completed(End::Canceled)
        }
        (Some(event::COMPLETED), Some("failed"), Some(_)) => EventKind::Completed(End::Failed),
        _ => panic!("{data}"),
    }
}

/// What the stories were about: stories that only ever see refusals would show nothing.
#[derive(Debug, Default)]
struct Figures {
    written: u32,
    refused: u32,
    succeeded: u32,
    failed: u32,
    canceled: u32,
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.written += other.written;
        self.refused += other.refused;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.canceled += other.canceled;
    }
}

async fn tell(database: &Database, seed: u64, figures: &mut Figures) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut story = Story::new(database, seed).await;
    for number in 0..LENGTH {
        // In most stories something happens before the run is canceled.
        let op = match number {
            0 if !seed.is_multiple_of(5) => Op::Deliver(0),
            _ => any_op(&mut random),
        };
        story.told.push(op);
        if let Some((real, expected)) = story.happen(op).await {
            assert_eq!(real, expected);
            match real {
                Ok(_) => figures.written += 1,
                Err(_) => figures.refused += 1,
            }
        }
        story.compare().await;
    }
    match story.machine.status() {
        RunStatus::Succeeded => figures.succeeded += 1,
        RunStatus::Failed => figures.failed += 1,
        RunStatus::Canceled => figures.canceled += 1,
        RunStatus::Pending | RunStatus::Running => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_statements_tell_the_same_story_as_the_machine() {
    let (_test_database, database) = setup::database(4).await;
    let began = Instant::now();
    let tellers = (0..4).map(|teller| {
        let database = database.clone();
        tokio::spawn(async move {
            let mut figures = Figures::default();
            for seed in (0..STORIES).filter(|seed| seed % 4 == teller) {
                tell(&database, seed, &mut figures).await;
            }
            figures
        })
    });
    let mut all = Figures::default();
    for teller in tellers.collect::<Vec<_>>() {
        all.add(&teller.await.unwrap());
    }
    println!("{all:?} in {:?}", began.elapsed());
    assert!(all.written > 1_000 && all.refused > 1_000, "{all:?}");
    assert!(
        all.succeeded > 10 && all.failed > 10 && all.canceled > 10,
        "{all:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(60));
}
