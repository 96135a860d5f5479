//! `POST /ai/edit`: make an image of others, by an instruction.

mod edit;
mod images;

use shared::{
    config::{self, groups},
    http::serve::serve_streaming,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(std::env::var(groups::LOG_LEVEL).ok().as_deref());
    let editing = config::or_exit(edit::Editing::read);
    let http = editing.submission.http.clone();
    serve_streaming(http.response_mode, &http.origins, |request, facts| {
        editing.edit(request, facts)
    })
    .await
}
