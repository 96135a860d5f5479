//! OpenAI's images API on this machine: it checks a request as the real one does, draws a real picture with the prompt
//! written in it, and is slow, wrong or gone whenever its [`Script`] says so.
//!
//! The base URL for a client is `{url}/v1`; the paths work without `/v1` too. `{url}/_control` and `{url}/_calls` are the
//! script and the log of calls. Any key is right but [`WRONG_KEY`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub mod answer;
pub mod models;
pub mod pictures;
pub mod reading;
pub mod refusal;
pub mod request;
pub mod sources;

use answer::Exchange;
use models::Family;
use reading::Asked;
use refusal::Refusal;
use request::Endpoint;

use crate::script::{self, Call, CallId, Entry, Script};

/// The one key that is refused, for trying what happens then.
pub const WRONG_KEY: &str = "sk-invalid";

/// A stand-in that runs until this is dropped.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    script: Script,
    task: JoinHandle<()>,
}

impl Running {
    /// Where it listens, such as `http://127.0.0.1:40123`. A client's base URL is this and `/v1`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The script and the calls, without going over HTTP.
    pub fn script(&self) -> &Script {
        &self.script
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves the stand-in on a socket that is already bound. Call it within a Tokio runtime.
///
/// # Errors
/// The socket has no local address.
pub fn start(listener: TcpListener) -> io::Result<Running> {
    let address = listener.local_addr()?;
    let script = Script::default();
    let task = tokio::spawn(script::serve(listener, router(script.clone())));
    Ok(Running {
        address,
        script,
        task,
    })
}

#[derive(Clone, Debug)]
struct StandIn {
    script: Script,
    /// How many requests were answered with pictures; it is written on them, so that no two pictures are the same.
    orders: Arc<AtomicU64>,
}

fn router(script: Script) -> Router {
    let stand_in = StandIn {
        script: script.clone(),
        orders: Arc::default(),
    };
    let images = Router::new()
        .route("/images/generations", post(generations))
        .route("/images/edits", post(edits))
        .route("/models/{model}", get(model))
        .with_state(stand_in)
        .merge(script::routes(script));
    // What OpenAI itself would take is far above the usual limit: sixteen files of 50 MB.
    Router::new()
        .nest("/v1", images.clone())
        .merge(images)
        .fallback(unknown_url)
        .layer(DefaultBodyLimit::disable())
}

async fn generations(State(stand_in): State<StandIn>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (call, entry) = begin(&stand_in.script, &parts);
    let started = Instant::now();
    let asked = reading::generation(&parts, body).await;
    respond(
        &stand_in,
        call,
        entry,
        &parts.headers,
        started,
        Endpoint::Generations,
        asked,
    )
    .await
}

async fn edits(State(stand_in): State<StandIn>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (call, entry) = begin(&stand_in.script, &parts);
    let started = Instant::now();
    let (endpoint, asked) = reading::edit(&parts, body).await;
    respond(
        &stand_in,
        call,
        entry,
        &parts.headers,
        started,
        endpoint,
        asked,
    )
    .await
}

fn begin(script: &Script, parts: &Parts) -> (CallId, Entry) {
    let entry = script.next(&parts.method, parts.uri.path());
    let mut call = Call::new(&parts.method, &parts.uri, &parts.headers);
    call.scripted = entry.clone();
    (script.record(call), entry)
}

/// Looking a model up, which costs nothing and is not in the log of calls.
async fn model(Path(model): Path<String>, headers: HeaderMap) -> Response {
    let known = Family::of(&model).map_err(|refusal| Refusal {
        status: StatusCode::NOT_FOUND,
        ..refusal
    });
    match check_key(&headers).and(known) {
        Ok(_) => {
            Json(json!({"id": model, "object": "model", "owned_by": "system"})).into_response()
        }
        Err(refusal) => Exchange::new(&Entry::default(), Instant::now()).refuse(&refusal),
    }
}

async fn unknown_url(method: Method, request: Request) -> Response {
    let message = format!("Invalid URL ({method} {})", request.uri().path());
    let refusal = Refusal::without_code(StatusCode::NOT_FOUND, message);
    Exchange::new(&Entry::default(), Instant::now()).refuse(&refusal)
}

/// Decides what the call is answered with, and when it counts as made.
async fn respond(
    stand_in: &StandIn,
    call: CallId,
    entry: Entry,
    headers: &HeaderMap,
    started: Instant,
    endpoint: Endpoint,
    asked: Asked,
) -> Response {
    let exchange = Exchange::new(&entry, started);
    // An error that is scripted comes before any check, as an overloaded vendor's does.
    let outcome = match Refusal::scripted(&entry) {
        Some(refusal) => Err(refusal),
        None => check_key(headers).and(asked.order),
    };
    let status = match &outcome {
        Ok(_) => entry.status.unwrap_or(200),
        Err(refusal) => refusal.status.as_u16(),
    };
    // From here on the vendor makes the picture, whatever becomes of the caller and of the answer.
    stand_in.script.update(call, |call| {
        call.fields = asked.fields;
        call.billed = outcome.is_ok();
        call.status = Some(status);
    });
    let (order, sources) = match outcome {
        Ok(accepted) => accepted,
        Err(refusal) => {
            entry.wait().await;
            return exchange.refuse(&refusal);
        }
    };

    let number = stand_in.orders.fetch_add(1, Ordering::Relaxed) + 1;
    let image_bytes = entry.image_bytes;
    let drawing = tokio::task::spawn_blocking(move || {
        let pictures = pictures::draw_all(&order, &sources, number, image_bytes);
        (order, sources, pictures)
    });
    entry.wait().await;
    match drawing.await {
        Ok((order, sources, Ok(pictures))) => exchange.fulfil(endpoint, &order, &sources, pictures),
        _ => exchange.refuse(&Refusal::of_code("server_error")),
    }
}

fn check_key(headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let key = given
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(str::trim)
        .unwrap_or_default();
    let message = match key {
        "" => {
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth."
        }
        WRONG_KEY => {
            "Incorrect API key provided: sk-inv**id. You can find your API key at https://platform.openai.com/account/api-keys."
        }
        _ => return Ok(()),
    };
    Err(Refusal {
        message: message.to_owned(),
        ..Refusal::of_code("invalid_api_key")
    })
}

#[cfg(test)]
mod tests;
