//! `GET /ai/analytics`: what runs came to in a period, and what was used most.

mod analytics;

use shared::{
    config::{self, groups},
    http::serve::serve,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(std::env::var(groups::LOG_LEVEL).ok().as_deref());
    let reports = config::or_exit(analytics::Reports::read);
    serve(&reports.http.origins.clone(), |request, facts| {
        reports.answer(request, facts)
    })
    .await
}
