//! `POST`, `GET` and `DELETE /ai/datasets/{dataset_id}/images`, `DELETE …/images/{image_id}`: a dataset's reference images.

mod images;
mod input;

use shared::{
    config::{self, groups},
    http::serve::serve,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(std::env::var(groups::LOG_LEVEL).ok().as_deref());
    let images = config::or_exit(images::DatasetImages::read);
    serve(&images.http.origins.clone(), |request, facts| {
        images.answer(request, facts)
    })
    .await
}
