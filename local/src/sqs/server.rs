//! AWS JSON 1.0 over HTTP: `POST /` with the action in `X-Amz-Target`. Signatures are not checked.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri},
    response::Response,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::{ACCOUNT, Sqs, SqsError, error::WireName, message_actions, queue_actions};
use crate::script::{self, Call, Entry, Script, deliver};

/// Longer than any request with messages of 1 MiB, every byte of them escaped.
const MAXIMUM_REQUEST_BYTES: usize = 8 * super::MAXIMUM_MESSAGE_BYTES;

/// Serves these queues until it is dropped. Their URLs are those of the listener's own address.
///
/// # Errors
/// The listener has no address.
pub async fn serve(listener: TcpListener, sqs: Sqs) -> std::io::Result<()> {
    let base_url = format!("http://{}", listener.local_addr()?);
    script::serve(listener, router(sqs, base_url, ACCOUNT)).await;
    Ok(())
}

/// The wire protocol, `_control` and `_calls`. Queue URLs begin with `base_url` and `account`.
///
/// To a script, and in the log, the path of a call is `/SendMessage`, the action. An entry with a `status` answers that
/// and does nothing; one with `drop` does what was asked, and its answer is lost.
pub fn router(sqs: Sqs, base_url: String, account: &str) -> Router {
    let script = Script::default();
    let server = Arc::new(Server {
        sqs,
        urls: QueueUrls {
            base_url,
            account: account.to_owned(),
        },
        script: script.clone(),
    });
    // SDKs post to the endpoint's root, older ones to the queue's URL.
    Router::new()
        .fallback(act)
        .layer(DefaultBodyLimit::max(MAXIMUM_REQUEST_BYTES))
        .with_state(server)
        .merge(script::routes(script))
}

struct Server {
    sqs: Sqs,
    urls: QueueUrls,
    script: Script,
}

/// How queues are called on this server.
pub(super) struct QueueUrls {
    base_url: String,
    account: String,
}

impl QueueUrls {
    pub(super) fn url(&self, name: &str) -> String {
        format!(
            "{}/{}/{name}",
            self.base_url.trim_end_matches('/'),
            self.account
        )
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

async fn act(
    State(server): State<Arc<Server>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers.get("x-amz-target");
    let target = target.and_then(|value| value.to_str().ok());
    let Some(action) = target.and_then(|target| target.strip_prefix("AmazonSQS.")) else {
        let error = SqsError::UnsupportedOperation(
            "Only the JSON protocol is served: POST with X-Amz-Target: AmazonSQS.<Action>."
                .to_owned(),
        );
        return reply(&Entry::default(), &Answer::from(Err(error)));
    };
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let path = format!("/{action}");
    let entry = server.script.next(&method, &path);
    let mut call = Call::new(&method, &uri, &headers);
    call.path = path;
    call.fields = request.clone();
    call.scripted = entry.clone();
    let call_id = server.script.record(call);
    entry.wait().await;
    let answer = match entry.status {
        Some(status) => Answer::scripted(status, &entry),
        None => Answer::from(dispatch(&server, action, request).await),
    };
    let status = answer.status;
    server
        .script
        .update(call_id, |call| call.status = Some(status.as_u16()));
    reply(&entry, &answer)
}

async fn dispatch(server: &Server, action: &str, request: Value) -> Result<Value, SqsError> {
    let Server { sqs, urls, .. } = server;
    match action {
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
    }
}

fn parse<T: DeserializeOwned>(request: Value) -> Result<T, SqsError> {
    serde_json::from_value(request).map_err(|error| {
        SqsError::InvalidParameterValue(format!("The request cannot be read: {error}."))
    })
}

/// An answer before it is a response.
struct Answer {
    status: StatusCode,
    /// `x-amzn-query-error`: the failure's name in the Query protocol, and whose fault it is.
    query_error: Option<String>,
    body: Value,
}

impl From<Result<Value, SqsError>> for Answer {
    fn from(result: Result<Value, SqsError>) -> Self {
        match result {
            Ok(body) => Self {
                status: StatusCode::OK,
                query_error: None,
                body,
            },
            Err(error) => {
                if let SqsError::Journal(source) = &error {
                    tracing::error!(%source, "the queues' data file could not be written");
                }
                Self::failure(&error.wire_name(), &error.to_string())
            }
        }
    }
}

impl Answer {
    fn failure(name: &WireName, message: &str) -> Self {
        let fault = if name.sender_fault {
            "Sender"
        } else {
            "Receiver"
        };
        Self {
            status: StatusCode::from_u16(name.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            query_error: Some(format!("{};{fault}", name.query)),
            body: json!({ "__type": name.json, "message": message }),
        }
    }

    fn scripted(status: u16, entry: &Entry) -> Self {
        let (json, query) = match status {
            400..=499 => ("com.amazonaws.sqs#RequestThrottled", "RequestThrottled"),
            503 => ("com.amazonaws.sqs#ServiceUnavailable", "ServiceUnavailable"),
            _ => ("com.amazonaws.sqs#InternalFailure", "InternalFailure"),
        };
        let name = WireName {
            status,
            json: entry.code.as_deref().unwrap_or(json),
            query: entry.code.as_deref().unwrap_or(query),
            sender_fault: status < 500,
        };
        let message = entry.message.as_deref();
        Self::failure(&name, message.unwrap_or("This failure was asked for."))
    }
}

fn reply(entry: &Entry, answer: &Answer) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(
        "content-type",
        HeaderValue::from_static("application/x-amz-json-1.0"),
    );
    let query_error = answer.query_error.as_ref().map(HeaderValue::try_from);
    if let Some(Ok(value)) = query_error {
        headers.insert("x-amzn-query-error", value);
    }
    if let Ok(value) = HeaderValue::try_from(Uuid::new_v4().to_string()) {
        headers.insert("x-amzn-requestid", value);
    }
    deliver(
        entry,
        answer.status,
        headers,
        answer.body.to_string().into(),
    )
}
