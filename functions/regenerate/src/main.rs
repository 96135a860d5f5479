//! `POST /ai/generated-images/{image_id}/regenerate`: make an image again.

mod regenerate;

use shared::{
    config::{self, groups},
    http::serve::serve_streaming,
    submission::Submission,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(std::env::var(groups::LOG_LEVEL).ok().as_deref());
    let submission = config::or_exit(|reader| Submission::read(reader, "regenerate"));
    let http = submission.http.clone();
    serve_streaming(http.response_mode, &http.origins, |request, facts| {
        regenerate::regenerate(&submission, request, facts)
    })
    .await
}
