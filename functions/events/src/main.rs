//! `GET /ai/runs/{run_id}/events`: a run's event log, as JSON or as a stream.

mod events;
mod stream;

use std::sync::Arc;

use shared::{
    config::{self, groups},
    http::serve::serve_streaming,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(std::env::var(groups::LOG_LEVEL).ok().as_deref());
    let log = Arc::new(config::or_exit(events::Log::read));
    let http = log.http.clone();
    serve_streaming(http.response_mode, &http.origins, |request, facts| {
        events::answer(Arc::clone(&log), request, facts)
    })
    .await
}
