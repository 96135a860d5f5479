//! What a stand-in shall do next, and what it was asked.
//!
//! A test, or a person with `curl`, posts a script to `_control`: one entry a call, and a default for the calls after
//! the script's end. `_calls` lists every call that came. The OpenAI and the storage stand-ins share this, so that a
//! fault reads the same at both.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

pub mod calls;
pub mod delivery;
pub mod entry;
pub mod serve;

pub use calls::{Call, CallId};
pub use delivery::{Payload, deliver};
pub use entry::{BodyFault, Drop, Entry};
pub use serve::serve;

/// A stand-in's script and its log of calls; clones share both.
#[derive(Clone, Debug, Default)]
pub struct Script {
    state: Arc<Mutex<Contents>>,
}

#[derive(Debug, Default)]
struct Contents {
    entries: VecDeque<Entry>,
    default: Entry,
    calls: Vec<Call>,
}

impl Script {
    /// The entry for a call that has come: the first that is meant for it, taken out of the script, else the default.
    /// Take exactly one a call.
    pub fn next(&self, method: &Method, path: &str) -> Entry {
        let mut contents = self.lock();
        let position = contents
            .entries
            .iter()
            .position(|entry| entry.is_for(method, path));
        if let Some(entry) = position.and_then(|position| contents.entries.remove(position)) {
            return entry;
        }
        if contents.default.is_for(method, path) {
            contents.default.clone()
        } else {
            Entry::default()
        }
    }

    /// As [`Script::next`], for a call that only an entry with a `match` may change: the others are left for calls to come.
    pub fn next_by_match(&self, method: &Method, path: &str) -> Entry {
        let mut contents = self.lock();
        let is_for = |entry: &Entry| entry.for_calls.is_some() && entry.is_for(method, path);
        let position = contents.entries.iter().position(is_for);
        if let Some(entry) = position.and_then(|position| contents.entries.remove(position)) {
            return entry;
        }
        if is_for(&contents.default) {
            contents.default.clone()
        } else {
            Entry::default()
        }
    }

    /// Replaces what is left of the script; the default stays when none is given.
    pub fn set(&self, entries: Vec<Entry>, default: Option<Entry>) {
        let mut contents = self.lock();
        contents.entries = entries.into();
        if let Some(default) = default {
            contents.default = default;
        }
    }

    /// Adds a call to the end of the log.
    pub fn record(&self, call: Call) -> CallId {
        let mut contents = self.lock();
        contents.calls.push(call);
        CallId(contents.calls.len() - 1)
    }

    /// Changes a call of the log. Nothing happens when the log was cleared since.
    pub fn update(&self, id: CallId, change: impl FnOnce(&mut Call)) {
        if let Some(call) = self.lock().calls.get_mut(id.0) {
            change(call);
        }
    }

    /// All calls, the oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// How many calls have come since the log was cleared.
    pub fn call_count(&self) -> usize {
        self.lock().calls.len()
    }

    /// Forgets the calls.
    pub fn clear_calls(&self) {
        self.lock().calls.clear();
    }

    fn describe(&self) -> Value {
        let contents = self.lock();
        json!({
            "script": contents.entries.iter().map(Entry::to_json).collect::<Vec<_>>(),
            "default": contents.default.to_json(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `GET|POST|DELETE /_control` and `GET|DELETE /_calls`.
pub fn routes(script: Script) -> Router {
    Router::new()
        .route(
            "/_control",
            get(show_control).post(post_control).delete(clear_control),
        )
        .route("/_calls", get(list_calls).delete(clear_calls))
        .with_state(script)
}

async fn show_control(State(script): State<Script>) -> Response {
    axum::Json(script.describe()).into_response()
}

async fn post_control(State(script): State<Script>, body: Bytes) -> Response {
    let parsed = serde_json::from_slice::<Value>(&body)
        .map_err(|error| entry::Invalid::new("", format!("The body is not JSON: {error}")))
        .and_then(|value| entry::parse_control(&value));
    match parsed {
        Ok((entries, default)) => {
            script.set(entries, default);
            axum::Json(script.describe()).into_response()
        }
        Err(invalid) => (StatusCode::BAD_REQUEST, axum::Json(invalid.to_json())).into_response(),
    }
}

async fn clear_control(State(script): State<Script>) -> StatusCode {
    script.set(Vec::new(), Some(Entry::default()));
    StatusCode::NO_CONTENT
}

async fn list_calls(State(script): State<Script>) -> Response {
    axum::Json(script.calls()).into_response()
}

async fn clear_calls(State(script): State<Script>) -> StatusCode {
    script.clear_calls();
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests;
