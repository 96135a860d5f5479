//! The clock of one process two minutes off: times, leases and waits go by the database's clock and by time that has passed.
#![cfg(target_os = "linux")]

use std::{os::unix::fs::PermissionsExt, path::Path, process::Command};

use jiff::Timestamp;
use local::{postgres::for_tests::TestDatabase, stack::DatabaseChoice};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    faults::SHORT,
    harness::{World, functions},
    truth::attempts,
};

/// Stands before the C library: the time of day is so many seconds off, every other clock is right.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>

int clock_gettime(clockid_t id, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, id, time);
    if (result == 0 && id == CLOCK_REALTIME) time->tv_sec += SECONDS_OFF;
    return result;
}
"#;

/// An executable that runs `binary`, every so many times with its clock off.
pub(crate) fn with_clock_off(
    directory: &Path,
    binary: &Path,
    seconds: i64,
    one_in: u32,
) -> std::path::PathBuf {
    let source = directory.join("clock.c");
    let library = directory.join("clock.so");
    std::fs::write(&source, SHIM).unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", &format!("-DSECONDS_OFF=({seconds})")])
        .arg("-o")
        .args([&library, &source])
        .status()
        .unwrap();
    assert!(compiled.success(), "a C compiler is needed");
    let script = format!(
        "#!/bin/sh\n[ $(($$ % {one_in})) -eq 0 ] && export LD_PRELOAD='{}'\nexec '{}' \"$@\"\n",
        library.display(),
        binary.display()
    );
    let path = directory.join("off");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A stack in which the clock of one function is off.
async fn world_with(function: &str, seconds: i64) -> (World, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut binaries = functions().await.unwrap();
    let binary = binaries.paths.get_mut(function).unwrap();
    *binary = with_clock_off(directory.path(), binary, seconds, 1);
    let database = TestDatabase::migrated().await.unwrap();
    let url = database.url().to_owned();
    let world = World::start_with(&SHORT, Some(database), |options| {
        options.binaries = Some(binaries);
        options.database = DatabaseChoice::Migrated(url);
    })
    .await;
    (world, directory)
}

fn prompt() -> Value {
    json!({"prompt": "a sundial", "resolution": "1K"})
}

/// Every time of a row is near the true time.
fn times_are_right(row: &Value) {
    let now = Timestamp::now();
    let check = |value: &Value| {
        let time: Timestamp = value.as_str().unwrap().parse().unwrap();
        let off = now.duration_since(time).abs();
        assert!(off.as_secs() < 60, "{time} is {off:?} off: {row:#}");
    };
    for column in ["created_at", "started_at", "completed_at"] {
        check(&row[column]);
    }
    for attempt in row["attempts"].as_array().unwrap() {
        check(&attempt["startedAt"]);
        check(&attempt["completedAt"]);
    }
}

/// A retry that the vendor asked to wait for, then a call during which the lease is renewed, then a second worker's takeover.
async fn a_worker_off_by(seconds: i64) {
    let (world, _directory) = world_with("worker", seconds).await;
    let busy = json!({"status": 429, "headers": {"retry-after-ms": "400"}});
    world
        .openai(json!({"script": [busy, {"delay_ms": 2500}]}))
        .await;
    let run = world.begin(prompt()).await;
    let row = world.settled(&run).await;
    assert_eq!(
        attempts(&row),
        [("failed", "no"), ("succeeded", "yes")],
        "a lease of 2 s was kept for longer: {row:#}"
    );
    assert_eq!(row["attempts"][1]["delayMs"], 400);
    times_are_right(&row);

    let held = world
        .hold("lock table generated_images in share mode")
        .await;
    let run = world.begin(prompt()).await;
    world.waits_for_lock("succeed").await;
    world.kill_worker().await;
    world.end_sessions("worker").await;
    held.release().await;
    let row = world.settled(&run).await;
    assert_eq!(attempts(&row), [("succeeded", "yes")], "{row:#}");
    times_are_right(&row);
    assert_eq!(world.openai_calls().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_two_minutes_ahead() {
    a_worker_off_by(120).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_two_minutes_behind() {
    a_worker_off_by(-120).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_that_accepts_or_sweeps_two_minutes_off() {
    for (function, seconds) in [
        ("generate", 120),
        ("generate", -120),
        ("sweep", 120),
        ("sweep", -120),
    ] {
        let (world, _directory) = world_with(function, seconds).await;
        let lost = world.begin_unsent(prompt()).await;
        let answer = world.generate(prompt()).await;
        assert_eq!(answer.status, 200, "{function} {seconds}: {answer:#?}");
        world.sweep().await;
        for run in [lost.as_str(), answer.body["run_id"].as_str().unwrap()] {
            let row = world.settled(run).await;
            assert_eq!(attempts(&row), [("succeeded", "yes")], "{row:#}");
            times_are_right(&row);
        }
        assert_eq!(world.openai_calls().await.len(), 2);
    }
}
