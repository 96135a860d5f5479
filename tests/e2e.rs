//! End to end, over the real function binaries: a stack of its own for every test, called as an application calls it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "what a test cannot go on without fails it, and what it skips or measures it says"
)]

#[path = "e2e/analytics.rs"]
mod analytics;
#[path = "e2e/bad_input.rs"]
mod bad_input;
#[path = "e2e/bad_settings.rs"]
mod bad_settings;
#[path = "e2e/certificates.rs"]
mod certificates;
#[path = "e2e/datasets.rs"]
mod datasets;
#[path = "e2e/deleting.rs"]
mod deleting;
#[path = "e2e/dev.rs"]
mod dev;
#[path = "e2e/disturbances.rs"]
mod disturbances;
#[path = "e2e/edit_faults.rs"]
mod edit_faults;
#[path = "e2e/edits.rs"]
mod edits;
#[path = "e2e/export.rs"]
mod export;
#[path = "e2e/faults.rs"]
mod faults;
#[path = "e2e/faults_ably.rs"]
mod faults_ably;
#[path = "e2e/faults_clock.rs"]
mod faults_clock;
#[path = "e2e/faults_database.rs"]
mod faults_database;
#[path = "e2e/faults_openai.rs"]
mod faults_openai;
#[path = "e2e/faults_queue.rs"]
mod faults_queue;
#[path = "e2e/faults_storage.rs"]
mod faults_storage;
#[path = "e2e/faults_worker.rs"]
mod faults_worker;
#[path = "e2e/favorites.rs"]
mod favorites;
#[path = "e2e/harness.rs"]
mod harness;
#[path = "e2e/history.rs"]
mod history;
#[path = "e2e/javascript.rs"]
mod javascript;
#[path = "e2e/ledger.rs"]
mod ledger;
#[path = "e2e/long_run.rs"]
mod long_run;
#[path = "e2e/main_job.rs"]
mod main_job;
#[path = "e2e/openapi.rs"]
mod openapi;
#[path = "e2e/pgbouncer.rs"]
mod pgbouncer;
#[path = "e2e/pooler.rs"]
mod pooler;
#[path = "e2e/promises_cancel.rs"]
mod promises_cancel;
#[path = "e2e/promises_cost.rs"]
mod promises_cost;
#[path = "e2e/promises_events.rs"]
mod promises_events;
#[path = "e2e/promises_idempotency.rs"]
mod promises_idempotency;
#[path = "e2e/promises_quota.rs"]
mod promises_quota;
#[path = "e2e/promises_sweep.rs"]
mod promises_sweep;
#[path = "e2e/queue.rs"]
mod queue;
#[path = "e2e/reads.rs"]
mod reads;
#[path = "e2e/realtime.rs"]
mod realtime;
#[path = "e2e/regenerating.rs"]
mod regenerating;
#[path = "e2e/regenerating_settings.rs"]
mod regenerating_settings;
#[path = "e2e/retries.rs"]
mod retries;
#[path = "e2e/run_log.rs"]
mod run_log;
#[path = "e2e/rust_callers.rs"]
mod rust_callers;
#[path = "e2e/seeds.rs"]
mod seeds;
#[path = "e2e/settings.rs"]
mod settings;
#[path = "e2e/site.rs"]
mod site;
#[path = "e2e/tls.rs"]
mod tls;
#[path = "e2e/truth.rs"]
mod truth;
#[path = "e2e/waiting.rs"]
mod waiting;
#[path = "e2e/who_sees_what.rs"]
mod who_sees_what;
