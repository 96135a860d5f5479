//! `POST` and `GET /api/realtime/token`: a token to see one's own runs live.

mod grant;

use shared::{
    config::{self, groups},
    http::serve::serve,
    telemetry,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(std::env::var(groups::LOG_LEVEL).ok().as_deref());
    let tokens = config::or_exit(grant::Tokens::read);
    serve(&tokens.http.origins.clone(), |request, facts| {
        tokens.grant(request, facts)
    })
    .await
}
