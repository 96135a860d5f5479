//! `PUT` and `DELETE /ai/generated-images/{image_id}/favorite`: mark an image as a favourite, or take the mark away.

mod favorite;

use shared::{
    config::{self, groups},
    http::serve::serve,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(std::env::var(groups::LOG_LEVEL).ok().as_deref());
    let favorites = config::or_exit(favorite::Favorites::read);
    serve(&favorites.http.origins.clone(), |request, facts| {
        favorites.mark(request, facts)
    })
    .await
}
