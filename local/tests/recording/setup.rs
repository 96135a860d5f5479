//! A migrated database, and runs in it.

use std::time::Duration;

use local::postgres::for_tests::TestDatabase;
use secrecy::SecretString;
use shared::{
    domain::{
        attempt::{Attempt, AttemptStatus},
        caller::Caller,
        cost::CostUsd,
        failure::{Billed, FailureClass},
        id::RunId,
        run::{Mode, Run, RunOptions},
        step::Ending,
    },
    postgres::{Database, DatabaseOptions},
    recording::{
        accept::{Accepted, Idempotency, NewRun, accept},
        ending::StoredImage,
        lease::{self, Claim, Lease},
    },
};
use tokio_postgres::types::Type;
use uuid::Uuid;

/// How long the leases of these tests last. Their clock moves in steps that never add up to it, and the real one hardly at all.
pub(crate) const LEASE: Duration = Duration::from_secs(60);

/// A database of the test's own, with as many connections as it has tasks.
pub(crate) async fn database(connections: usize) -> (TestDatabase, Database) {
    let test_database = TestDatabase::migrated().await.unwrap();
    let url = SecretString::from(test_database.url());
    let options = DatabaseOptions {
        max_connections: connections,
        ..DatabaseOptions::new(url, "recording-test")
    };
    (test_database, Database::new(&options).unwrap())
}

/// A caller that no other test has.
pub(crate) fn somebody() -> Caller {
    Caller::anonymous(&Uuid::new_v4().to_string())
}

pub(crate) fn new_run(caller: &Caller, daily_limit: Option<u32>, key: Option<&str>) -> NewRun {
    NewRun {
        id: RunId(Uuid::new_v4()),
        caller: caller.clone(),
        mode: Mode::Generate,
        asset_kind: "generic".to_owned(),
        user_prompt: "a teapot".to_owned(),
        resolved_prompt: "a teapot, in blue".to_owned(),
        style_preset: None,
        model: "gpt-image-2".to_owned(),
        options: RunOptions::default(),
        dataset_id: None,
        parent_image_id: None,
        idempotency: key.map(|key| Idempotency {
            key: key.to_owned(),
            request_hash: "5e884898".to_owned(),
        }),
        cancel_after: None,
        retry_unknown: false,
        daily_limit,
        trace_parent: None,
    }
}

/// A run that was accepted.
pub(crate) async fn accepted(database: &Database, new: &NewRun) -> RunId {
    let outcome = accept(database, new).await.unwrap();
    assert!(matches!(outcome, Accepted::New { .. }), "{outcome:?}");
    new.id
}

pub(crate) async fn claim(database: &Database, id: RunId) -> Claim {
    lease::claim(database, id, LEASE, Duration::from_secs(5))
        .await
        .unwrap()
}

/// A run that was claimed.
pub(crate) async fn claimed(database: &Database, id: RunId) -> (Run, Lease) {
    match claim(database, id).await {
        Claim::Taken { run, lease, .. } => (*run, lease),
        other => panic!("{other:?}"),
    }
}

/// Moves the database's clock, as far as the run's lease goes.
pub(crate) async fn let_pass(database: &Database, id: RunId, seconds: f64) {
    let sql = "update ai_image_runs set lease_expires_at = lease_expires_at - make_interval(secs => $2) where id = $1";
    database
        .write(sql, &[(&id.0, Type::UUID), (&seconds, Type::FLOAT8)])
        .await
        .unwrap();
}

/// The next attempt of a run.
pub(crate) fn next_attempt(run: &Run, lease: &Lease) -> Attempt {
    let number = u32::try_from(run.attempts.len()).unwrap() + 1;
    Attempt::started(number, "gpt-image-2", 0, lease.now())
}

/// The same, ended: paid for when it succeeded, free when it failed.
pub(crate) fn ended(attempt: Attempt, status: AttemptStatus, lease: &Lease) -> Attempt {
    let (billed, cost_usd) = match status {
        AttemptStatus::Succeeded => (Billed::Yes, Some(CostUsd::from_nanos(41_000_000))),
        AttemptStatus::Failed => (Billed::No, None),
        AttemptStatus::Started => (Billed::Unknown, None),
    };
    Attempt {
        status,
        billed,
        cost_usd,
        completed_at: Some(lease.now()),
        ..attempt
    }
}

pub(crate) fn ending(canceled: bool) -> Ending {
    Ending {
        canceled,
        code: if canceled { "canceled" } else { "server_error" }.to_owned(),
        message: "It did not work.".to_owned(),
        class: FailureClass::NotAccepted,
    }
}

pub(crate) fn stored_image(run: &Run) -> StoredImage {
    StoredImage {
        url: format!("https://storage.example/{}", run.storage_path()),
        path: run.storage_path(),
        width: 1024,
        height: 1024,
        bytes: 1_000_000,
        sha256: "0".repeat(64),
        model: run.model.clone(),
        cost: None,
        response_metadata: serde_json::json!({}),
        reference_images: 0,
    }
}
