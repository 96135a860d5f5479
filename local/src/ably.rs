//! A stand-in for Ably: enough of realtime, REST and SSE for Ably's own JavaScript client to work against one local port.
//!
//! What it answers, and with which error codes, follows what Ably does; what Darkroom does not use (presence, objects,
//! annotations, the binary protocol) is refused in Ably's own words. Messages live in memory only.

mod capability;
mod channels;
mod control;
mod error;
mod grant;
mod key;
mod message;
mod realtime;
mod rest;
mod rewind;
mod sse;
#[cfg(test)]
mod tests;
mod token_request;

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, Method, StatusCode, header};
use tokio::{net::TcpListener, sync::watch};

use self::{channels::Channels, control::Faults};
pub use self::{
    channels::Stored,
    control::{Call, Control},
    key::ApiKey,
};

/// The key used when none is given. It opens nothing but this stand-in.
pub const DEFAULT_KEY: &str = "local.darkroom:a-key-that-opens-only-the-stand-in";

/// A running stand-in. Dropping it ends its connections and frees the port.
#[derive(Debug)]
pub struct Ably {
    address: SocketAddr,
    state: Shared,
    _running: watch::Sender<()>,
}

/// What every request handler sees.
#[derive(Debug)]
struct State {
    key: ApiKey,
    channels: Channels,
    faults: Faults,
    /// Closed when the stand-in is dropped: long-lived connections end by it.
    stopped: watch::Receiver<()>,
}

type Shared = Arc<State>;

impl Ably {
    /// Serves the stand-in on `listener`. Clients must use `key` (`appId.keyId:secret`), [`DEFAULT_KEY`] when none is given.
    ///
    /// # Errors
    /// When the key does not have Ably's form, or the listener has no address.
    pub async fn start(listener: TcpListener, key: Option<String>) -> anyhow::Result<Self> {
        let key = key.unwrap_or_else(|| DEFAULT_KEY.to_owned());
        let key = ApiKey::parse(&key).context("an Ably key looks like appId.keyId:secret")?;
        let address = listener.local_addr()?;
        let (running, stopped) = watch::channel(());
        let state = Arc::new(State {
            key,
            channels: Channels::default(),
            faults: Faults::default(),
            stopped: stopped.clone(),
        });
        let app = router(Arc::clone(&state));
        tokio::spawn(async move {
            let served = axum::serve(listener, app).with_graceful_shutdown(ended(stopped));
            if let Err(error) = served.await {
                tracing::error!(%error, "the Ably stand-in stopped serving");
            }
        });
        Ok(Self {
            address,
            state,
            _running: running,
        })
    }

    /// Base URL for REST and SSE, without a slash at the end; the realtime client takes its host and port.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address served, for a client that wants host and port apart.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The whole key, `appId.keyId:secret`, as `ABLY_API_KEY` would hold it.
    #[must_use]
    pub fn key(&self) -> String {
        self.state.key.whole()
    }

    /// Everything published on a channel so far, oldest first.
    #[must_use]
    pub fn messages(&self, channel: &str) -> Vec<Stored> {
        self.state.channels.all(channel)
    }

    /// Every REST publish so far, refused ones too.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state.faults.calls()
    }

    /// Sets faults, as `POST /_control` does.
    pub fn control(&self, control: &Control) {
        self.state.faults.set(control);
    }
}

/// Completes when the stand-in has been dropped.
async fn ended(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

fn router(state: Shared) -> Router {
    Router::new()
        .route("/", get(realtime::upgrade))
        .route("/time", get(rest::time))
        .route(
            "/channels/{channel}/messages",
            get(rest::history).post(rest::publish),
        )
        .route("/channels/{channel}/publish", post(rest::publish))
        .route(
            "/keys/{key_name}/requestToken",
            post(token_request::request_token),
        )
        .route("/event-stream", get(sse::event_stream))
        .route("/sse", get(sse::event_stream))
        .route("/is-the-internet-up.txt", get(|| async { "yes" }))
        .route("/_control", get(control::show).post(control::set))
        .route("/_calls", get(control::calls))
        .fallback(rest::not_served)
        // A publish of 64 KiB may be several times as long once escaped.
        .layer(DefaultBodyLimit::max(1024 * 1024))
        .layer(middleware::from_fn(allow_every_origin))
        .with_state(state)
}

async fn allow_every_origin(request: Request, next: Next) -> Response {
    let asked_headers = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS)
        .cloned();
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, OPTIONS"),
    );
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Link, X-Ably-Errorcode, X-Ably-Errormessage"),
    );
    if let Some(asked) = asked_headers {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
    }
    response
}
