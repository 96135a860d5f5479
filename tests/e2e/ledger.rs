//! The books after a long run: what the vendor charged, what the rows say, what lies in the bucket, what was told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{harness::World, long_run::Told, truth::is_over};

/// The prompt of a request; the vendor's log tells the calls of different requests apart by it.
pub(crate) fn prompt(number: usize) -> String {
    format!("picture {number:05}")
}

/// What is left to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unfinished {
    runs: usize,
    events: usize,
    messages: usize,
    dead_letters: usize,
}

/// Runs that have not ended; none while the database cannot be asked.
pub(crate) async fn open_runs(world: &World) -> Option<usize> {
    let sql = "select count(*) from ai_image_runs where status in ('pending', 'running')";
    let rows = world.try_rows(sql).await.ok()?;
    rows[0][0].as_deref()?.parse().ok()
}

pub(crate) async fn unfinished(world: &World) -> Unfinished {
    let count = async |sql: &str| world.value(sql).await.unwrap().parse().unwrap();
    let left = |queue: &str| {
        let depth = world.stack.sqs().depth(queue);
        depth.visible + depth.in_flight + depth.delayed
    };
    Unfinished {
        runs: open_runs(world).await.unwrap(),
        events: count("select count(*) from ai_image_run_events where published_at is null").await,
        messages: left(&world.queue()),
        dead_letters: left(&world.dead_letters()),
    }
}

/// Whether every attempt that is written down of runs under way has reached the vendor; no, where the database cannot be asked.
pub(crate) async fn all_is_sent(world: &World) -> bool {
    let sql = "select user_prompt, sum(jsonb_array_length(attempts)) from ai_image_runs group by user_prompt \
               having bool_or(status = 'running')";
    let Ok(rows) = world.try_rows(sql).await else {
        return false;
    };
    let calls = calls_by_prompt(&world.openai_calls().await, |call| {
        !call["status"].is_null()
    });
    rows.iter().all(|row| {
        let begun: usize = row[1].as_deref().unwrap().parse().unwrap();
        begun <= calls.get(row[0].as_deref().unwrap()).copied().unwrap_or(0)
    })
}

/// How many of the vendor's calls there were for each caller's prompt; the prompt that is sent is composed around it.
fn calls_by_prompt(calls: &[Value], counts: impl Fn(&Value) -> bool) -> BTreeMap<String, usize> {
    let mut by_prompt = BTreeMap::new();
    for call in calls.iter().filter(|call| counts(call)) {
        let sent = call["fields"]["prompt"].as_str().unwrap();
        let at = sent.find("picture ").unwrap();
        let prompt = &sent[at..at + prompt(0).len()];
        *by_prompt.entry(prompt.to_owned()).or_default() += 1;
    }
    by_prompt
}

/// The figures.
#[derive(Debug, Default)]
pub(crate) struct Books {
    accepted: usize,
    succeeded: usize,
    failed: usize,
    canceled: usize,
    error_codes: BTreeMap<String, usize>,
    attempts: usize,
    attempts_billed_yes: usize,
    attempts_billed_unknown: usize,
    calls: usize,
    calls_billed: usize,
    /// Attempts of workers that died between writing the attempt down and sending it: `unknown`, and the vendor knows nothing of them.
    attempts_never_sent: usize,
    records: usize,
    objects: usize,
    /// Images that reached storage after their run had been given up.
    objects_without_record: usize,
    quota_used: usize,
    quota_by_runs: usize,
    events: usize,
    events_told: usize,
    /// What must not be.
    wrong: Vec<String>,
}

impl Books {
    pub(crate) fn check(&self) {
        assert_eq!(self.wrong, Vec::<String>::new());
        assert_eq!(self.accepted, self.succeeded + self.failed + self.canceled);
        assert_eq!(self.records, self.succeeded);
        assert_eq!(self.objects, self.succeeded + self.objects_without_record);
        assert_eq!(
            self.calls_billed + self.attempts_never_sent,
            self.attempts_billed_yes + self.attempts_billed_unknown
        );
        assert_eq!(self.quota_used, self.quota_by_runs);
        assert_eq!(self.events_told, self.events);
    }
}

/// Goes through everything.
pub(crate) async fn audit(world: &World, told: &Told) -> Books {
    let runs = table(world, "select to_jsonb(r) from ai_image_runs r").await;
    let mut books = Books {
        accepted: runs.len(),
        ..Books::default()
    };
    let ids: BTreeSet<_> = runs.iter().map(|run| id(run).to_owned()).collect();
    for run in &told.runs {
        if !ids.contains(run) {
            books
                .wrong
                .push(format!("run {run} was promised and is gone"));
        }
    }
    for run in &runs {
        count_run(&mut books, run);
    }
    check_calls(world, &mut books, &runs).await;
    check_images(world, &mut books, &runs).await;
    check_quotas(world, &mut books, &runs).await;
    check_events(world, &mut books, &runs).await;
    books
}

async fn table(world: &World, sql: &str) -> Vec<Value> {
    let rows = world.rows(sql).await;
    rows.into_iter()
        .map(|row| serde_json::from_str(row[0].as_deref().unwrap()).unwrap())
        .collect()
}

fn id(run: &Value) -> &str {
    run["id"].as_str().unwrap()
}

fn attempts(run: &Value) -> &[Value] {
    run["attempts"].as_array().unwrap()
}

fn count_run(books: &mut Books, run: &Value) {
    if !is_over(run) {
        books.wrong.push(format!("not over: {run}"));
    }
    match run["status"].as_str().unwrap() {
        "succeeded" => books.succeeded += 1,
        "canceled" => books.canceled += 1,
        _ => books.failed += 1,
    }
    if let Some(code) = run["error_code"].as_str() {
        *books.error_codes.entry(code.to_owned()).or_default() += 1;
    }
    books.attempts += attempts(run).len();
    for (index, attempt) in attempts(run).iter().enumerate() {
        if attempt["attempt"] != index + 1 || attempt["status"] == "started" {
            books.wrong.push(format!("attempts of {run}"));
        }
    }
    let may_be_billed = attempts(run)
        .iter()
        .any(|attempt| attempt["billed"] != "no");
    let state = run["quota_state"].as_str().unwrap();
    let expected = if may_be_billed { "used" } else { "released" };
    if state != expected {
        books
            .wrong
            .push(format!("quota {state}, not {expected}: {run}"));
    }
}

/// The calls that the vendor charged for are the attempts that say `yes` or `unknown`.
async fn check_calls(world: &World, books: &mut Books, runs: &[Value]) {
    let calls = world.openai_calls().await;
    let billed = calls_by_prompt(&calls, |call| call["billed"] == true);
    books.calls = calls.len();
    books.calls_billed = billed.values().sum();
    // A request whose first run failed unbilled may have had a second under the same prompt.
    let mut by_prompt = BTreeMap::<&str, Vec<&Value>>::new();
    for run in runs {
        let prompt = run["user_prompt"].as_str().unwrap();
        by_prompt.entry(prompt).or_default().extend(attempts(run));
    }
    for (prompt, attempts) in by_prompt {
        let count = |billed: &str| {
            attempts
                .iter()
                .filter(|one| one["billed"] == billed)
                .count()
        };
        let (yes, unknown) = (count("yes"), count("unknown"));
        books.attempts_billed_yes += yes;
        books.attempts_billed_unknown += unknown;
        let charged = billed.get(prompt).copied().unwrap_or_default();
        let of_dead_workers = attempts
            .iter()
            .filter(|one| one["billed"] == "unknown" && one["meta"]["cause"].is_null())
            .count();
        if charged < yes || charged > yes + unknown || charged + of_dead_workers < yes + unknown {
            books.wrong.push(format!(
                "{prompt}: {charged} calls charged, {yes} attempts say yes, {unknown} unknown: {attempts:?}"
            ));
        }
        books.attempts_never_sent += (yes + unknown).saturating_sub(charged);
    }
}

/// Each run that succeeded has one record and one object, and the record's SHA-256 is the object's.
async fn check_images(world: &World, books: &mut Books, runs: &[Value]) {
    let records = table(world, "select to_jsonb(i) from generated_images i").await;
    books.records = records.len();
    let mut by_run = BTreeMap::<String, Vec<Value>>::new();
    for record in records {
        let run = record["run_id"].as_str().unwrap().to_owned();
        by_run.entry(run).or_default().push(record);
    }
    let supabase = world.stack.supabase().unwrap();
    let folder = supabase.object_file(local::supabase::BUCKET, "generated");
    let mut objects: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".png"))
        .collect();
    books.objects = objects.len();
    for run in runs {
        let of_run = by_run.remove(id(run)).unwrap_or_default();
        let has_object = objects.remove(&format!("{}.png", id(run)));
        if run["status"] != "succeeded" {
            books.objects_without_record += usize::from(has_object);
            if !of_run.is_empty() {
                books
                    .wrong
                    .push(format!("a record of a run that failed: {run}"));
            }
            continue;
        }
        let sha256 = world.object(id(run)).map(|bytes| {
            let digest = Sha256::digest(&bytes);
            digest.iter().map(|byte| format!("{byte:02x}")).collect()
        });
        let recorded: Vec<Option<String>> = of_run
            .iter()
            .map(|record| record["sha256"].as_str().map(str::to_owned))
            .collect();
        if recorded != [sha256] {
            books.wrong.push(format!("record and object of {run}"));
        }
    }
    if !objects.is_empty() || !by_run.is_empty() {
        books
            .wrong
            .push(format!("of no run: {objects:?} {by_run:?}"));
    }
}

/// What is counted as used is what runs hold, and never more than allowed.
async fn check_quotas(world: &World, books: &mut Books, runs: &[Value]) {
    let mut held = BTreeMap::<String, usize>::new();
    for run in runs.iter().filter(|run| run["quota_state"] == "used") {
        let key = run["caller_key"].as_str().unwrap().to_owned();
        *held.entry(key).or_default() += 1;
        books.quota_by_runs += 1;
    }
    let limit: usize = world.stack.settings()["ANONYMOUS_DAILY_IMAGES"]
        .parse()
        .unwrap();
    let sql = "select jsonb_build_object('key', caller_key, 'used', sum(used)) from image_quotas group by caller_key";
    for quota in table(world, sql).await {
        let (key, used) = (
            quota["key"].as_str().unwrap(),
            quota["used"].as_u64().unwrap(),
        );
        let used = usize::try_from(used).unwrap();
        books.quota_used += used;
        if used != held.remove(key).unwrap_or_default()
            || (key.starts_with("address:") && used > limit)
        {
            books.wrong.push(format!("quota {quota}, at most {limit}"));
        }
    }
}

/// Each run's log is whole, and its channel heard it in order, once.
async fn check_events(world: &World, books: &mut Books, runs: &[Value]) {
    let sql = "select jsonb_build_object('run', run_id, 'data', jsonb_agg(data order by sequence)) \
               from ai_image_run_events group by run_id";
    let mut logs = BTreeMap::<String, Vec<Value>>::new();
    for log in table(world, sql).await {
        let run = log["run"].as_str().unwrap().to_owned();
        logs.insert(run, log["data"].as_array().unwrap().clone());
    }
    let mut heard = world.heard_by_run(runs);
    for run in runs {
        let log = logs.remove(id(run)).unwrap_or_default();
        let numbers: Vec<_> = log
            .iter()
            .map(|data| data["sequence"].as_u64().unwrap())
            .collect();
        let whole: Vec<_> = (1..=run["sequence"].as_u64().unwrap()).collect();
        let ends = log
            .iter()
            .filter(|data| data["type"] == "ai.image.run.completed")
            .count();
        if numbers != whole || ends != 1 {
            books.wrong.push(format!("the log of {run}: {log:?}"));
        }
        let heard = heard.remove(id(run)).unwrap_or_default();
        books.events += log.len();
        books.events_told += heard.len();
        if heard != log {
            books.wrong.push(format!("heard {heard:?}, logged {log:?}"));
        }
    }
}
