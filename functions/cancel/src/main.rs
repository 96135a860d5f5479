//! `POST /ai/runs/{run_id}/cancel`: cancel a run.

mod cancel;

use shared::{
    config::{self, groups},
    http::serve::serve,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(std::env::var(groups::LOG_LEVEL).ok().as_deref());
    let cancellation = config::or_exit(cancel::Cancellation::read);
    serve(&cancellation.http.origins.clone(), |request, facts| {
        cancellation.cancel(request, facts)
    })
    .await
}
