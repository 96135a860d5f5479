//! Publishing and history over REST.

use axum::{
    Json,
    extract::{Path, Query, State as Extracted},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Shared, State,
    channels::{Accepted, Stored},
    control::Call,
    error::ErrorInfo,
    grant::{Credentials, authorise},
    message::Publish,
};

/// `POST /channels/{channel}/messages`: one message or an array, all stored or none.
pub(super) async fn publish(
    Extracted(state): Extracted<Shared>,
    Path(channel): Path<String>,
    Query(credentials): Query<Credentials>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    tokio::time::sleep(state.faults.delay()).await;
    let outcome = accept(&state, &channel, &credentials, &headers, &body);
    state.faults.record(call(&channel, &body, &outcome));
    match outcome {
        Ok(accepted) => (
            StatusCode::CREATED,
            Json(receipt(&state, &channel, &accepted)),
        )
            .into_response(),
        Err(error) => error.into_response(),
    }
}

fn accept(
    state: &State,
    channel: &str,
    credentials: &Credentials,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Accepted, ErrorInfo> {
    if let Some(failure) = state.faults.next_failure() {
        return Err(failure);
    }
    let now = Timestamp::now();
    let grant = authorise(&state.key, now, headers, credentials)?;
    grant.capability.require("publish", channel)?;
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(|given| given.starts_with("application/json")) {
        let message = "Unsupported content type: the stand-in reads application/json";
        return Err(ErrorInfo::new(40000, 415, message));
    }
    let body = serde_json::from_slice(body)
        .map_err(|error| ErrorInfo::new(40001, 400, format!("Invalid request body: {error}")))?;
    let publish = Publish::parse(body, &grant)?;
    if let Some(limit) = state.faults.max_rate() {
        state.channels.check_rate(channel, limit, now)?;
    }
    Ok(state.channels.publish(channel, publish, None, now))
}

fn receipt(state: &State, channel: &str, accepted: &Accepted) -> Value {
    let position = state.channels.position_text(accepted.serial);
    let serials: Vec<String> = (0..accepted.message_ids.len())
        .map(|index| format!("{position}:{index}"))
        .collect();
    // One id stands for all messages that were published together.
    let first = accepted
        .message_ids
        .first()
        .map(String::as_str)
        .unwrap_or_default();
    json!({
        "channel": channel,
        "messageId": first.strip_suffix(":0").unwrap_or(first),
        "serials": serials,
    })
}

fn call(channel: &str, body: &[u8], outcome: &Result<Accepted, ErrorInfo>) -> Call {
    let messages = match serde_json::from_slice(body) {
        Ok(Value::Array(messages)) => messages,
        Ok(message) => vec![message],
        Err(_) => Vec::new(),
    };
    let texts = |field: &str| {
        messages
            .iter()
            .filter_map(|message| message[field].as_str().map(str::to_owned))
            .collect()
    };
    Call {
        at: Timestamp::now(),
        channel: channel.to_owned(),
        ids: outcome
            .as_ref()
            .map_or_else(|_| texts("id"), |accepted| accepted.message_ids.clone()),
        names: texts("name"),
        status: outcome
            .as_ref()
            .map_or_else(|error| error.status_code, |_| 201),
        duplicate: outcome.as_ref().is_ok_and(|accepted| accepted.duplicate),
    }
}

/// What history can be narrowed by.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HistoryQuery {
    limit: Option<usize>,
    direction: Option<String>,
    start: Option<i64>,
    end: Option<i64>,
}

/// `GET /channels/{channel}/messages`: newest first unless `direction=forwards`, one page of up to 1,000 messages.
pub(super) async fn history(
    Extracted(state): Extracted<Shared>,
    Path(channel): Path<String>,
    Query(query): Query<HistoryQuery>,
    Query(credentials): Query<Credentials>,
    headers: HeaderMap,
) -> Result<Json<Vec<Stored>>, ErrorInfo> {
    let grant = authorise(&state.key, Timestamp::now(), &headers, &credentials)?;
    grant.capability.require("history", &channel)?;
    let limit = query.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(ErrorInfo::new(40003, 400, "limit must be from 1 to 1000"));
    }
    let span = query.start.unwrap_or(i64::MIN)..=query.end.unwrap_or(i64::MAX);
    let mut messages = state.channels.all(&channel);
    messages.retain(|message| span.contains(&message.timestamp));
    if query.direction.as_deref() != Some("forwards") {
        messages.reverse();
    }
    messages.truncate(limit);
    Ok(Json(messages))
}

/// `GET /time`: milliseconds since 1970, in an array.
pub(super) async fn time() -> Json<[i64; 1]> {
    Json([Timestamp::now().as_millisecond()])
}

/// Everything else that Ably has. Long polling is told to come back later, so that a client keeps to its websocket.
pub(super) async fn not_served(uri: Uri) -> ErrorInfo {
    if uri.path().starts_with("/connect") || uri.path().starts_with("/comet") {
        return ErrorInfo::new(
            50003,
            503,
            "The stand-in speaks websocket, not long polling",
        );
    }
    ErrorInfo::new(40400, 404, format!("The stand-in has no {}", uri.path()))
}
