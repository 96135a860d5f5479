//! The worker: takes runs from the queue and brings each to its end.

mod batch;

use lambda_runtime::service_fn;
use shared::{
    config::{self, groups},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start(std::env::var(groups::LOG_LEVEL).ok().as_deref());
    let worker = config::or_exit(batch::Worker::read);
    telemetry::log_runs_as(worker.log.clone());
    let worker = &worker;
    lambda_runtime::run(service_fn(move |event| worker.batch(event))).await
}
