//! `GET /ai/generated-images`: the history of images, newest first.

mod list;

use shared::{
    config::{self, groups},
    http::serve::serve,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(std::env::var(groups::LOG_LEVEL).ok().as_deref());
    let history = config::or_exit(list::History::read);
    serve(&history.http.origins.clone(), |request, facts| {
        history.list(request, facts)
    })
    .await
}
