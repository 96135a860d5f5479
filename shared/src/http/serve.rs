//! Running a function: what happens around every request, so that no function repeats it.

use std::{future::Future, time::Instant};

use http::{HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use lambda_http::{Error, Request, service_fn};
use tracing::Instrument;

use super::{
    Facts, Problem, Reply,
    cors::{self, AllowedOrigins},
};
use crate::telemetry;

/// How the front takes answers (setting `RESPONSE_MODE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMode {
    /// Streamed: a request may last minutes.
    Stream,
    /// Whole: for fronts that do not stream, such as `cargo lambda watch`.
    Buffered,
}

/// Serves requests whose answers are whole, until Lambda ends the process.
///
/// # Errors
/// When the runtime API cannot be spoken to.
pub async fn serve<H, F>(origins: &AllowedOrigins, handler: H) -> Result<(), Error>
where
    H: Fn(Request, Facts) -> F + Sync,
    F: Future<Output = Result<Reply, Problem>> + Send,
{
    let handler = &handler;
    lambda_http::run(service_fn(move |request| async move {
        answer(origins, handler, request)
            .await
            .into_buffered()
            .await
    }))
    .await
}

/// Serves requests on a route that streams its answers. Where making one fails in the middle the process ends, for the next request to
/// start anew: `lambda_runtime` 1.5 would write the error into the answer as text and end it as though it were whole; the end of the
/// process is what makes Lambda break the answer off, so that its reader sees that something is missing.
///
/// # Errors
/// When the runtime API cannot be spoken to.
pub async fn serve_streaming<H, F>(
    mode: ResponseMode,
    origins: &AllowedOrigins,
    handler: H,
) -> Result<(), Error>
where
    H: Fn(Request, Facts) -> F + Sync,
    F: Future<Output = Result<Reply, Problem>> + Send,
{
    let handler = &handler;
    match mode {
        ResponseMode::Buffered => serve(origins, handler).await,
        ResponseMode::Stream => {
            lambda_http::run_with_streaming_response(service_fn(move |request| async move {
                let response = answer(origins, handler, request).await.into_streamed();
                Ok::<_, Error>(response.map(|body| body.map_err(break_off).boxed_unsync()))
            }))
            .await
        }
    }
}

/// Records hold prompts, and a page of long ones is more than Lambda takes.
fn small_enough(reply: Reply) -> Result<Reply, Problem> {
    if reply.is_too_large() {
        return Err(Problem::answer_too_large(
            "The answer is larger than 6 MB. Ask for fewer records at once (limit), or for some of their fields (fields) where the endpoint has that.",
        ));
    }
    Ok(reply)
}

fn break_off(error: Error) -> Error {
    tracing::error!(error = %telemetry::chain(error.as_ref()), "an answer broke off");
    std::process::exit(1)
}

async fn answer<H, F>(origins: &AllowedOrigins, handler: &H, request: Request) -> Reply
where
    H: Fn(Request, Facts) -> F + Sync,
    F: Future<Output = Result<Reply, Problem>> + Send,
{
    let begun = Instant::now();
    let facts = Facts::of(&request);
    let (request_id, origin) = (facts.request_id.clone(), facts.origin.clone());
    let span = tracing::info_span!("request", traceparent = facts.trace_parent);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut code = None;
    let mut reply = if method == Method::OPTIONS {
        let mut reply = Reply::empty(StatusCode::NO_CONTENT);
        cors::add_preflight_headers(reply.headers_mut());
        reply
    } else {
        let outcome = handler(request, facts).instrument(span.clone()).await;
        match outcome.and_then(small_enough) {
            Ok(reply) => reply,
            Err(problem) => {
                if let Some(cause) = problem.cause() {
                    tracing::error!(request_id, code = problem.code(), cause = %telemetry::chain(cause), "a request failed");
                }
                code = Some(problem.code().to_owned());
                problem.into_reply(&request_id)
            }
        }
    };
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        reply.headers_mut().insert("x-request-id", value);
    }
    cors::add_headers(reply.headers_mut(), origins, origin.as_deref());
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let _in_its_trace = span.enter();
    tracing::info!(request_id, %method, path, status = reply.status().as_u16(), code, duration_ms, "answered");
    reply
}
