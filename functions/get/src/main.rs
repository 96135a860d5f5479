//! `GET /ai/generated-images/{image_id}`: one record.

mod get;

use shared::{
    config::{self, groups},
    http::serve::serve,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(std::env::var(groups::LOG_LEVEL).ok().as_deref());
    let records = config::or_exit(get::Records::read);
    serve(&records.http.origins.clone(), |request, facts| {
        records.get(request, facts)
    })
    .await
}
