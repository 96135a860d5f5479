//! Lambda's runtime API, `2018-06-01`, for each instance under `/_runtime/{instance}`.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    Failure, Outcome, Registry, ResponseStream, StreamBroken, instance::Instance, process,
};

/// The longest buffered answer: 6 MB and some room for what wraps it.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const MAXIMUM_RESPONSE_BYTES: usize = 6_291_556;

/// Pieces of a streamed answer that wait for a slow caller.
const WAITING_CHUNKS: usize = 16;

const REQUEST_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
const DEADLINE_MS: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
const FUNCTION_ARN: HeaderName = HeaderName::from_static("lambda-runtime-invoked-function-arn");
const TRACE_ID: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");
const RESPONSE_MODE: HeaderName = HeaderName::from_static("lambda-runtime-function-response-mode");
const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");
const ERROR_BODY: HeaderName = HeaderName::from_static("lambda-runtime-function-error-body");

pub(super) fn router(registry: Arc<Registry>) -> Router {
    let invocation = "/_runtime/{instance}/2018-06-01/runtime/invocation";
    Router::new()
        .route(&format!("{invocation}/next"), get(next))
        .route(
            &format!("{invocation}/{{request_id}}/response"),
            post(respond),
        )
        .route(&format!("{invocation}/{{request_id}}/error"), post(fail))
        .route(
            "/_runtime/{instance}/2018-06-01/runtime/init/error",
            post(init_error),
        )
        .layer(DefaultBodyLimit::disable())
        .with_state(registry)
}

async fn next(State(registry): State<Arc<Registry>>, Path(id): Path<String>) -> Response {
    // An instance that is not (or no longer) known is being ended: it gets no answer, since the runtime panics on any that is no
    // invocation.
    let Some(instance) = registry.find(&id) else {
        return std::future::pending().await;
    };
    let Some(pool) = instance.pool() else {
        return std::future::pending().await;
    };
    let delivered = pool.next(&instance);
    drop(pool);
    let Ok(delivery) = delivered.await else {
        return std::future::pending().await;
    };
    let text =
        |value: String| HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static(""));
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (REQUEST_ID, text(delivery.request_id)),
        (DEADLINE_MS, text(delivery.deadline_ms.to_string())),
        (FUNCTION_ARN, text(process::arn(instance.function()))),
        (TRACE_ID, text(delivery.trace_id)),
    ];
    (headers, delivery.event).into_response()
}

async fn respond(
    State(registry): State<Arc<Registry>>,
    Path((id, request_id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(instance) = registry.find(&id) else {
        return unknown_instance();
    };
    let streams = headers
        .get(RESPONSE_MODE)
        .is_some_and(|mode| mode == "streaming");
    if streams {
        return respond_streaming(&instance, &request_id, body).await;
    }
    let outcome = match Limited::new(body, MAXIMUM_RESPONSE_BYTES).collect().await {
        Ok(whole) => Outcome::Payload(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Outcome::Failure(Failure::response_too_large(MAXIMUM_RESPONSE_BYTES))
        }
        // The process hung up; its end, or its time-out, answers the invocation.
        Err(_) => return StatusCode::BAD_REQUEST.into_response(),
    };
    let too_large = matches!(outcome, Outcome::Failure(_));
    if !instance.answers(&request_id, outcome) {
        return wrong_request_id();
    }
    instance.settles(&request_id);
    if too_large {
        return refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            "Exceeded maximum allowed payload size.",
        );
    }
    accepted()
}

async fn respond_streaming(instance: &Instance, request_id: &str, mut body: Body) -> Response {
    let (sender, chunks) = mpsc::channel(WAITING_CHUNKS);
    let outcome = Outcome::Stream(ResponseStream { chunks });
    if !instance.answers(request_id, outcome) {
        return wrong_request_id();
    }
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                // A caller that has gone need not know.
                let _ = sender.send(Err(StreamBroken(error.to_string()))).await;
                return StatusCode::BAD_REQUEST.into_response();
            }
        };
        match frame.into_data() {
            Ok(data) => {
                // Without a caller the function answers all the same, and nobody reads it.
                let _ = sender.send(Ok(data)).await;
            }
            Err(frame) => {
                if let Some(broken) = frame.trailers_ref().and_then(error_of_trailers) {
                    let _ = sender.send(Err(broken)).await;
                }
            }
        }
    }
    instance.settles(request_id);
    accepted()
}

/// A function that fails in the middle of its answer says so after it.
fn error_of_trailers(trailers: &HeaderMap) -> Option<StreamBroken> {
    let kind = trailers.get(ERROR_TYPE)?;
    let kind = String::from_utf8_lossy(kind.as_bytes()).into_owned();
    let body = trailers.get(ERROR_BODY).map(HeaderValue::as_bytes);
    let body = body.and_then(|body| BASE64_STANDARD.decode(body).ok());
    let body = body.map(|body| String::from_utf8_lossy(&body).into_owned());
    Some(StreamBroken(format!("{kind} {}", body.unwrap_or_default())))
}

async fn fail(
    State(registry): State<Arc<Registry>>,
    Path((id, request_id)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let Some(instance) = registry.find(&id) else {
        return unknown_instance();
    };
    let outcome = Outcome::Failure(Failure::reported(body));
    if !instance.answers(&request_id, outcome) {
        return wrong_request_id();
    }
    instance.settles(&request_id);
    accepted()
}

/// The process ends after this, and its end fails the invocation that waits for it.
async fn init_error(Path(id): Path<String>, body: Bytes) -> Response {
    let reported: Value = serde_json::from_slice(&body).unwrap_or_default();
    tracing::error!(instance = id, error = %reported, "a function could not start");
    accepted()
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, axum::Json(json!({"status": "OK"}))).into_response()
}

fn unknown_instance() -> Response {
    refusal(
        StatusCode::FORBIDDEN,
        "UnknownInstance",
        "No such instance is running",
    )
}

fn wrong_request_id() -> Response {
    refusal(
        StatusCode::BAD_REQUEST,
        "InvalidRequestID",
        "Invalid request ID",
    )
}

fn refusal(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = json!({"errorType": kind, "errorMessage": message});
    (status, axum::Json(body)).into_response()
}
