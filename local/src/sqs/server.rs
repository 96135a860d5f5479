//! AWS JSON 1.0 over HTTP: `POST /` with the action in `X-Amz-Target`. Signatures are not checked.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::{
    ACCOUNT, Sqs, SqsError,
    faults::{Call, Fate, FaultControl, Faults},
    message_actions, queue_actions, queue_url,
};

/// Longer than any request with messages of 1 MiB, every byte of them escaped.
const MAXIMUM_REQUEST_BYTES: usize = 8 * super::MAXIMUM_MESSAGE_BYTES;

/// Serves these queues until it is dropped. Their URLs are those of the listener's own address.
///
/// # Errors
/// The listener has no address, or fails.
pub async fn serve(listener: TcpListener, sqs: Sqs) -> std::io::Result<()> {
    let base_url = format!("http://{}", listener.local_addr()?);
    axum::serve(listener, router(sqs, base_url, ACCOUNT)).await
}

/// The wire protocol, `POST /_control` and `GET /_calls`. Queue URLs begin with `base_url` and `account`.
pub fn router(sqs: Sqs, base_url: String, account: &str) -> Router {
    let server = Arc::new(Server {
        sqs,
        urls: QueueUrls {
            base_url,
            account: account.to_owned(),
        },
        faults: FaultControl::default(),
    });
    // SDKs post to the endpoint's root, older ones to the queue's URL.
    Router::new()
        .route("/_control", post(control))
        .route("/_calls", get(calls))
        .fallback(act)
        .layer(DefaultBodyLimit::max(MAXIMUM_REQUEST_BYTES))
        .with_state(server)
}

struct Server {
    sqs: Sqs,
    urls: QueueUrls,
    faults: FaultControl,
}

/// How queues are called on this server.
pub(super) struct QueueUrls {
    base_url: String,
    account: String,
}

impl QueueUrls {
    pub(super) fn url(&self, name: &str) -> String {
        let own = queue_url(&self.base_url, name);
        own.replace(&format!("/{ACCOUNT}/"), &format!("/{}/", self.account))
    }
}

/// The queue's name in a URL, or a bare name: the CLI's users type both.
pub(super) fn name_of_url(url: &str) -> Result<&str, SqsError> {
    let name = url
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    if name.is_empty() {
        return Err(SqsError::MissingParameter("QueueUrl"));
    }
    Ok(name)
}

async fn control(State(server): State<Arc<Server>>, Json(faults): Json<Faults>) -> StatusCode {
    server.faults.set(faults);
    StatusCode::NO_CONTENT
}

async fn calls(State(server): State<Arc<Server>>) -> Json<Value> {
    Json(json!({ "calls": server.faults.calls() }))
}

async fn act(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok());
    let Some(action) = target.and_then(|target| target.strip_prefix("AmazonSQS.")) else {
        let error = SqsError::UnsupportedOperation(
            "Only the JSON protocol is served: POST with X-Amz-Target: AmazonSQS.<Action>."
                .to_owned(),
        );
        return failed(&error);
    };
    let at = jiff::Timestamp::now();
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (delay_ms, fate) = server.faults.decide(action);
    tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    let response = match fate {
        Fate::Answered => Some(dispatch(&server, action, request.clone()).await),
        Fate::Refused(status) => Some(refused(status)),
        Fate::LostBefore => None,
        Fate::LostAfter => {
            dispatch(&server, action, request.clone()).await;
            None
        }
    };
    server.faults.record(Call {
        at,
        action: action.to_owned(),
        request,
        status: response.as_ref().map(|response| response.status().as_u16()),
    });
    response.unwrap_or_else(broken)
}

async fn dispatch(server: &Server, action: &str, request: Value) -> Response {
    let Server { sqs, urls, .. } = server;
    let answer = match action {
        "SendMessage" => parse(request).and_then(|request| message_actions::send(sqs, request)),
        "SendMessageBatch" => {
            parse(request).and_then(|request| message_actions::send_batch(sqs, request))
        }
        "ReceiveMessage" => match parse(request) {
            Ok(request) => message_actions::receive(sqs, request).await,
            Err(error) => Err(error),
        },
        "DeleteMessage" => parse(request).and_then(|request| message_actions::delete(sqs, request)),
        "DeleteMessageBatch" => {
            parse(request).and_then(|request| message_actions::delete_batch(sqs, request))
        }
        "ChangeMessageVisibility" => {
            parse(request).and_then(|request| message_actions::change_visibility(sqs, request))
        }
        "ChangeMessageVisibilityBatch" => parse(request)
            .and_then(|request| message_actions::change_visibility_batch(sqs, request)),
        "CreateQueue" => {
            parse(request).and_then(|request| queue_actions::create(sqs, urls, request))
        }
        "DeleteQueue" => parse(request).and_then(|request| queue_actions::delete(sqs, request)),
        "PurgeQueue" => parse(request).and_then(|request| queue_actions::purge(sqs, request)),
        "GetQueueUrl" => parse(request).and_then(|request| queue_actions::url(sqs, urls, request)),
        "ListQueues" => parse(request).map(|request| queue_actions::list(sqs, urls, request)),
        "GetQueueAttributes" => {
            parse(request).and_then(|request| queue_actions::attributes(sqs, request))
        }
        "SetQueueAttributes" => {
            parse(request).and_then(|request| queue_actions::set_attributes(sqs, request))
        }
        "ListDeadLetterSourceQueues" => parse(request)
            .and_then(|request| queue_actions::dead_letter_sources(sqs, urls, request)),
        "StartMessageMoveTask" => {
            parse(request).and_then(|request| queue_actions::move_messages(sqs, request))
        }
        _ => Err(SqsError::UnsupportedOperation(format!(
            "{action} is not served here."
        ))),
    };
    match answer {
        Ok(answer) => reply(StatusCode::OK, None, &answer),
        Err(error) => failed(&error),
    }
}

fn parse<T: DeserializeOwned>(request: Value) -> Result<T, SqsError> {
    serde_json::from_value(request).map_err(|error| {
        SqsError::InvalidParameterValue(format!("The request cannot be read: {error}."))
    })
}

fn failed(error: &SqsError) -> Response {
    if let SqsError::Journal(source) = error {
        tracing::error!(%source, "the queues' data file could not be written");
    }
    let name = error.wire_name();
    let status = StatusCode::from_u16(name.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let fault = if name.sender_fault {
        "Sender"
    } else {
        "Receiver"
    };
    let body = json!({ "__type": name.json, "message": error.to_string() });
    reply(status, Some(format!("{};{fault}", name.query)), &body)
}

fn refused(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let (kind, query) = match status.as_u16() {
        400..=499 => (
            "com.amazonaws.sqs#RequestThrottled",
            "RequestThrottled;Sender",
        ),
        503 => (
            "com.amazonaws.sqs#ServiceUnavailable",
            "ServiceUnavailable;Receiver",
        ),
        _ => (
            "com.amazonaws.sqs#InternalFailure",
            "InternalFailure;Receiver",
        ),
    };
    let body = json!({ "__type": kind, "message": "This failure was asked for." });
    reply(status, Some(query.to_owned()), &body)
}

/// An answer whose body breaks off before its first byte, so that the client cannot tell what became of its request.
fn broken() -> Response {
    let stream = futures_util::stream::once(async {
        Err::<Bytes, _>(std::io::Error::other("the connection was to be broken"))
    });
    let headers = [("content-type", CONTENT_TYPE), ("content-length", "64")];
    (StatusCode::OK, headers, Body::from_stream(stream)).into_response()
}

const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

fn reply(status: StatusCode, query_error: Option<String>, body: &Value) -> Response {
    let request_id = Uuid::new_v4().to_string();
    let headers = [
        ("content-type", CONTENT_TYPE.to_owned()),
        ("x-amzn-requestid", request_id),
    ];
    let query_error = query_error.map(|value| [("x-amzn-query-error", value)]);
    match query_error {
        Some(query_error) => (status, headers, query_error, body.to_string()).into_response(),
        None => (status, headers, body.to_string()).into_response(),
    }
}
