//! Many runs through four workers while everything fails now and then: the seed is fixed, the end is not negotiable.
//!
//! `DARKROOM_LONG_RUN` says how many runs; 60 without it, 1,000 for the whole thing.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use local::{
    postgres::{Postgres, for_tests},
    stack::DatabaseChoice,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    disturbances::{Disturbances, disturb},
    harness::{Answer, World, functions},
    ledger,
};

const SEED: u64 = 20_260_202;
/// Requests under way at once.
const CALLERS: usize = 24;
/// Images a day of the anonymous address, in parts of a hundred of its requests: some are refused.
const ANONYMOUS_SHARE: usize = 60;

const SETTINGS: [(&str, &str); 6] = [
    ("LEASE_S", "3"),
    ("VISIBILITY_TIMEOUT_S", "4"),
    ("RETRY_DELAYS_MS", "0,100,200"),
    ("OPENAI_TIMEOUT_MS", "4000"),
    ("UPLOAD_PATIENCE_S", "60"),
    ("USER_DAILY_IMAGES", "1000000"),
];

/// What callers were told, all together.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Ids of runs that were accepted.
    pub(crate) runs: Vec<String>,
    /// Requests refused by quota.
    pub(crate) over_quota: usize,
    /// Requests that had to be sent again, since nobody could take them.
    pub(crate) sent_again: usize,
}

/// A stack with four workers, one in four of whose processes has a wrong clock, and a Postgres that can be stopped.
struct Scene {
    world: World,
    postgres: Postgres,
    _directory: TempDir,
}

async fn scene(runs: usize) -> Scene {
    let directory = tempfile::tempdir().unwrap();
    let postgres = for_tests::start_own_server(&directory.path().join("postgres"))
        .await
        .unwrap();
    let url = for_tests::prepare_database(&postgres, "long_run")
        .await
        .unwrap();
    let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let template = std::fs::read_to_string(workspace.join("template.yaml")).unwrap();
    let (before, after) = template
        .split_once("\n  WorkerMaximumConcurrency:")
        .unwrap();
    let four = after.replacen("Default: 20", "Default: 4", 1);
    let template = format!("{before}\n  WorkerMaximumConcurrency:{four}");
    std::fs::write(directory.path().join("template.yaml"), template).unwrap();
    #[cfg_attr(not(target_os = "linux"), expect(unused_mut))]
    let mut binaries = functions().await.unwrap();
    #[cfg(target_os = "linux")]
    {
        let worker = binaries.paths.get_mut("worker").unwrap();
        *worker = crate::faults_clock::with_clock_off(directory.path(), worker, 120, 4);
    }
    let anonymous = (runs.div_ceil(3) * ANONYMOUS_SHARE / 100).to_string();
    let mut settings = SETTINGS.to_vec();
    settings.push(("ANONYMOUS_DAILY_IMAGES", &anonymous));
    let world = World::start_with(&settings, None, |options| {
        options.workspace = directory.path().to_owned();
        options.database = DatabaseChoice::Migrated(url);
        options.binaries = Some(binaries);
    })
    .await;
    Scene {
        world,
        postgres,
        _directory: directory,
    }
}

/// What the image vendor does with one call.
fn of_vendor(random: &mut StdRng) -> Value {
    let refusal = |status: u16, code: &str| json!({"status": status, "code": code});
    match random.random_range(0..100) {
        0..4 => refusal(429, "rate_limit_exceeded"),
        4..6 => json!({"status": 429, "headers": {"retry-after": "1"}}),
        6..8 => json!({"status": 429, "headers": {"retry-after-ms": "150"}}),
        8..12 => json!({"status": 500}),
        12..15 => json!({"status": 503}),
        15..17 => json!({"drop": "before_headers"}),
        17..19 => json!({"drop": "after_headers"}),
        19..21 => json!({"drop": "mid_body"}),
        21..23 => json!({"body": "truncated"}),
        23..25 => json!({"body": "empty_data"}),
        25..27 => json!({"body": "not_an_image"}),
        27..28 => json!({"body": "html"}),
        28..32 => refusal(400, "moderation_blocked"),
        32..33 => refusal(429, "insufficient_quota"),
        // Longer than a call may take.
        33..34 => json!({"delay_ms": 6000}),
        34..36 => json!({"slow_bytes_per_s": 60_000}),
        36..40 => json!({"delay_ms": random.random_range(1000..2500)}),
        _ => json!({"delay_ms": random.random_range(20..400)}),
    }
}

/// What storage does with one call.
fn of_storage(random: &mut StdRng) -> Value {
    match random.random_range(0..100) {
        0..4 => json!({"status": 500}),
        4..7 => json!({"status": 429}),
        7..9 => json!({"status": 503}),
        9..11 => json!({"drop": "before_headers"}),
        11..16 => json!({"delay_ms": 300}),
        _ => json!({}),
    }
}

async fn script(world: &World, runs: usize, random: &mut StdRng) {
    let vendor: Vec<_> = (0..runs * 2).map(|_| of_vendor(random)).collect();
    world
        .openai(json!({"script": vendor, "default": {"delay_ms": 50}}))
        .await;
    let storage: Vec<_> = (0..runs * 2).map(|_| of_storage(random)).collect();
    world.storage(json!({"script": storage})).await;
}

/// One caller's request: whose, with what body, and how it waits.
struct Wish {
    number: usize,
    body: String,
    waits: bool,
    deadline: bool,
    twice: bool,
}

impl Wish {
    fn any(number: usize, random: &mut StdRng) -> Self {
        let body = json!({
            "prompt": ledger::prompt(number),
            "resolution": "1K",
            "retry_unknown": random.random_bool(0.2),
        });
        Self {
            number,
            body: body.to_string(),
            waits: random.random_bool(0.1),
            deadline: random.random_bool(0.03),
            twice: random.random_bool(0.1),
        }
    }

    fn request(&self, world: &World) -> RequestBuilder {
        let path = "/ai/generate";
        let mut request = match self.number % 3 {
            0 => world.user(Method::POST, path),
            1 => world.other_user(Method::POST, path),
            _ => world.anonymous(Method::POST, path),
        };
        request = request
            .header("idempotency-key", format!("wish-{}", self.number))
            .header("content-type", "application/json");
        if self.deadline {
            request = request.header("cancel-after", "2s");
        }
        if !self.waits {
            request = request.header("prefer", "respond-async");
        }
        request.body(self.body.clone())
    }

    /// Sends it until somebody has taken it, or has refused it.
    async fn fulfil(&self, world: &World, told: &Mutex<Told>) {
        loop {
            let sent = self.request(world).send().await;
            if let Ok(response) = sent {
                let answer = Answer::of(response).await;
                if let Some(run) = answer.body["run_id"].as_str() {
                    let expected = [200, 202, 409, 422, 502, 503, 504];
                    assert!(
                        expected.contains(&answer.status.as_u16()),
                        "an accepted run is told otherwise: {answer:#?}"
                    );
                    told.lock().unwrap().runs.push(run.to_owned());
                    return;
                }
                if answer.status == 429 {
                    told.lock().unwrap().over_quota += 1;
                    return;
                }
                assert_eq!(answer.status, 503, "{answer:#?}");
            }
            told.lock().unwrap().sent_again += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The schedule's work, at a quicker pace.
async fn sweep_now_and_then(world: &World, sweeps: &AtomicUsize) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.sweep().await;
        sweeps.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until nothing is left to be done.
async fn settle(world: &World, until: Instant) {
    loop {
        world.sweep().await;
        let open = ledger::unfinished(world).await;
        if open == ledger::Unfinished::default() {
            return;
        }
        assert!(Instant::now() < until, "time is up, and left are {open:#?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_every_accepted_run_ends_and_the_books_are_right() {
    let runs: usize = std::env::var("DARKROOM_LONG_RUN").ok().map_or(60, |text| {
        text.parse().expect("DARKROOM_LONG_RUN is a number")
    });
    let begun = Instant::now();
    let Scene {
        world,
        mut postgres,
        _directory,
    } = scene(runs).await;
    let limit =
        Duration::from_secs(60) + Duration::from_millis(1500) * u32::try_from(runs).unwrap();
    let until = Instant::now() + limit;
    let mut random = StdRng::seed_from_u64(SEED);
    script(&world, runs, &mut random).await;
    let wishes: Vec<_> = (0..runs)
        .map(|number| Wish::any(number, &mut random))
        .collect();

    let told = Mutex::new(Told::default());
    let mut done = Disturbances::default();
    let sweeps = AtomicUsize::new(0);
    let asking = async {
        stream::iter(&wishes)
            .for_each_concurrent(CALLERS, |wish| async {
                wish.fulfil(&world, &told).await;
                if wish.twice {
                    wish.fulfil(&world, &told).await;
                }
                // New wishes come no faster than old ones are fulfilled.
                while ledger::open_runs(&world)
                    .await
                    .is_none_or(|open| open > 2 * CALLERS)
                {
                    assert!(Instant::now() < until, "time is up while runs are begun");
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            })
            .await;
        while ledger::open_runs(&world).await != Some(0) {
            assert!(
                Instant::now() < until,
                "time is up while runs are worked on"
            );
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::select! {
        () = asking => {}
        () = disturb(&world, &mut postgres, &mut random, &told, &mut done) => {}
        () = sweep_now_and_then(&world, &sweeps) => {}
    }
    // A disturbance may have been cut short.
    if local::postgres::connect(&world.stack.ready().database_url)
        .await
        .is_err()
    {
        let _ = postgres.restart().await;
    }
    world.ably(json!({"down": false})).await;
    world.openai(json!({"script": [], "default": {}})).await;
    world.storage(json!({"script": []})).await;
    world.sqs(json!({"script": []})).await;
    settle(&world, until).await;

    let told = told.into_inner().unwrap();
    let books = ledger::audit(&world, &told).await;
    println!(
        "long run of {runs}, seed {SEED}, {:.0} s\n{done:#?}\n{} sweeps\ncallers: {} answers with a run, {} over quota, {} sent again\n{books:#?}",
        begun.elapsed().as_secs_f64(),
        sweeps.load(Ordering::Relaxed),
        told.runs.len(),
        told.over_quota,
        told.sent_again,
    );
    books.check();
}
