//! Answering the log.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use lambda_http::Request;
use serde_json::{Value, json};
use shared::{
    config::{
        Reader,
        groups::{self, HttpSettings},
    },
    domain::id::RunId,
    http::{
        Facts, FieldError, Problem, Reply, auth,
        query::Query,
        request::{path_id, text},
    },
    postgres::{
        Database,
        events::{EventLog, read_log},
    },
    submission::answer::scope_of,
    supabase::auth::TokenVerifier,
};

use crate::stream;

/// What the function holds between requests.
pub(crate) struct Log {
    pub(crate) database: Database,
    verifier: TokenVerifier,
    pub(crate) http: HttpSettings,
}

impl Log {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let database = groups::database(reader, "events", 1);
        let verifier = groups::token_verifier(reader);
        let http = groups::http(reader);
        Some(Self {
            database: database?,
            verifier,
            http,
        })
    }
}

/// The log after `?after=` or `Last-Event-ID`: as a stream where the caller accepts one, else as JSON.
pub(crate) async fn answer(
    log: Arc<Log>,
    request: Request,
    facts: Facts,
) -> Result<Reply, Problem> {
    let caller = auth::caller(&request, &facts, &log.verifier).await?;
    let run_id: RunId = path_id(&request, "run_id")?;
    let mut query = Query::parse(&request, &["after"]);
    let after = query.number("after", 0, 0..=i64::from(i32::MAX));
    let last_seen = last_event_id(&request, &mut query);
    query.finish()?;
    let after = last_seen.unwrap_or_else(|| i32::try_from(after).unwrap_or(i32::MAX));
    let scope = scope_of(&caller);
    let found = read_log(&log.database, scope, run_id, after).await?;
    let found = found.ok_or_else(|| {
        Problem::not_found(
            "run_id",
            format!("There is no run {run_id} that you may see."),
        )
    })?;
    if !accepts_stream(&request) {
        return Ok(Reply::json_value(StatusCode::OK, &as_json(run_id, &found))
            .with_etag(facts.if_none_match.as_deref()));
    }
    // A page that has seen the end is told not to come back.
    if found.status.is_end() && found.events.is_empty() {
        return Ok(Reply::empty(StatusCode::NO_CONTENT));
    }
    let mode = log.http.response_mode;
    let body = stream::body(log, scope, run_id, after, found, mode);
    let event_stream = HeaderValue::from_static("text/event-stream");
    Ok(Reply::stream(StatusCode::OK, event_stream, body)
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
}

/// The number of the event that a reconnecting `EventSource` has seen last.
fn last_event_id(request: &Request, query: &mut Query) -> Option<i32> {
    let value = request.headers().get("last-event-id")?;
    // What is no text is no number either, and must not pass for no header.
    let text = value.to_str().map(str::trim).unwrap_or("?");
    if text.is_empty() {
        return None;
    }
    let number = text.parse().ok().filter(|number: &i32| *number >= 0);
    if number.is_none() {
        query.error(FieldError::new(
            "Last-Event-ID",
            "must be the number of an event.",
            "a whole number from 0",
        ));
    }
    number
}

fn accepts_stream(request: &Request) -> bool {
    text(request.headers(), header::ACCEPT.as_str())
        .is_some_and(|accept| accept.to_ascii_lowercase().contains("text/event-stream"))
}

fn as_json(run_id: RunId, log: &EventLog) -> Value {
    let events: Vec<Value> = log
        .events
        .iter()
        .map(|event| json!({"sequence": event.sequence, "name": event.name, "id": event.message_id(), "data": event.data}))
        .collect();
    json!({"run_id": run_id, "status": log.status, "sequence": log.sequence, "events": events})
}
