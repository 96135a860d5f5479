//! `POST` and `GET /ai/datasets`, `GET`, `PATCH` and `DELETE /ai/datasets/{dataset_id}`: a user's datasets.

mod datasets;
mod input;

use shared::{
    config::{self, groups},
    http::serve::serve,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(std::env::var(groups::LOG_LEVEL).ok().as_deref());
    let datasets = config::or_exit(datasets::Datasets::read);
    serve(&datasets.http.origins.clone(), |request, facts| {
        datasets.answer(request, facts)
    })
    .await
}
