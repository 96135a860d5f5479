//! `GET /ai/generated-images/export`: the history as a file, sent while it is read.

mod csv;
mod export;
mod file;
mod pages;

use shared::{
    config::{self, groups},
    http::serve::serve_streaming,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(std::env::var(groups::LOG_LEVEL).ok().as_deref());
    let exports = config::or_exit(export::Exports::read);
    let http = exports.http.clone();
    serve_streaming(http.response_mode, &http.origins, |request, facts| {
        exports.answer(request, facts)
    })
    .await
}
