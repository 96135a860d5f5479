//! The sweep: on a schedule, finds what got stuck and brings it to its end.

mod dead_letters;
mod deletions;
mod events;
mod orphans;
mod report;
mod runs;
mod sweep;

use lambda_runtime::service_fn;
use shared::{
    config::{self, groups},
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start(std::env::var(groups::LOG_LEVEL).ok().as_deref());
    let sweep = config::or_exit(sweep::Sweep::read);
    telemetry::log_runs_as(sweep.log.clone());
    let sweep = &sweep;
    lambda_runtime::run(service_fn(move |event| sweep.run(event))).await
}
