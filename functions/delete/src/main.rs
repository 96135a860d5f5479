//! `DELETE /ai/generated-images/{image_id}`: delete an image.

mod delete;

use shared::{
    config::{self, groups},
    http::serve::serve,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(std::env::var(groups::LOG_LEVEL).ok().as_deref());
    let deletion = config::or_exit(delete::Deletion::read);
    serve(&deletion.http.origins.clone(), |request, facts| {
        deletion.delete(request, facts)
    })
    .await
}
