//! `GET /ai/runs` and `GET /ai/runs/{run_id}`: run records with their attempts.

mod runs;

use shared::{
    config::{self, groups},
    http::serve::serve,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(std::env::var(groups::LOG_LEVEL).ok().as_deref());
    let runs = config::or_exit(runs::Runs::read);
    serve(&runs.http.origins.clone(), |request, facts| {
        runs.answer(request, facts)
    })
    .await
}
