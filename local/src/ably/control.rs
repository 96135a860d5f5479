//! Faults on request, and the log of what was published.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json,
    extract::State as Extracted,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;

use super::{Shared, error::ErrorInfo};

/// What `POST /_control` takes. A field left out stays as it was.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// `true`: every publish over REST is answered with 503, until `false`.
    pub down: Option<bool>,
    /// How many of the next publishes fail.
    pub fail_next: Option<u32>,
    /// The status they fail with (500 unless told).
    pub status: Option<u16>,
    /// Milliseconds before a publish is looked at.
    pub delay_ms: Option<u64>,
    /// Publishes a second and channel after which one is refused; Ably's own limit is 50. Zero: no limit.
    pub max_rate: Option<usize>,
    /// `true`: every realtime connection breaks now, without a goodbye.
    pub disconnect: Option<bool>,
}

/// One publish over REST, as `GET /_calls` lists it. Data is left out.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// When it was answered.
    pub at: Timestamp,
    /// The channel, decoded.
    pub channel: String,
    /// Ids of the messages: the publisher's, or those made here.
    pub ids: Vec<String>,
    /// Names of the messages.
    pub names: Vec<String>,
    /// The HTTP status answered.
    pub status: u16,
    /// It was accepted as a repetition of an earlier one, and dropped.
    pub duplicate: bool,
}

/// The faults in force.
#[derive(Debug)]
pub(super) struct Faults {
    set: Mutex<Set>,
    /// Changes when connections are to break.
    breaks: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Set {
    down: bool,
    fail_next: u32,
    status: u16,
    delay: Duration,
    max_rate: usize,
    calls: Vec<Call>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            set: Mutex::default(),
            breaks: watch::Sender::new(()),
        }
    }
}

impl Faults {
    pub(super) fn set(&self, control: &Control) {
        let mut set = self.lock();
        set.down = control.down.unwrap_or(set.down);
        set.delay = control.delay_ms.map_or(set.delay, Duration::from_millis);
        set.max_rate = control.max_rate.unwrap_or(set.max_rate);
        if let Some(count) = control.fail_next {
            set.fail_next = count;
            set.status = control.status.unwrap_or(500);
        }
        drop(set);
        if control.disconnect == Some(true) {
            self.breaks.send_replace(());
        }
    }

    /// The failure that the next publish is to meet, if any. Counts down.
    pub(super) fn next_failure(&self) -> Option<ErrorInfo> {
        let mut set = self.lock();
        if set.down {
            return Some(ErrorInfo::new(
                50003,
                503,
                "Service unavailable: the stand-in was told to be down",
            ));
        }
        set.fail_next = set.fail_next.checked_sub(1)?;
        let code = u32::from(set.status) * 100;
        Some(ErrorInfo::new(
            code,
            set.status,
            "The stand-in was told to fail",
        ))
    }

    pub(super) fn delay(&self) -> Duration {
        self.lock().delay
    }

    /// Publishes a second on one channel; `None` where there is no limit.
    pub(super) fn max_rate(&self) -> Option<usize> {
        Some(self.lock().max_rate).filter(|limit| *limit > 0)
    }

    pub(super) fn breaks(&self) -> watch::Receiver<()> {
        self.breaks.subscribe()
    }

    pub(super) fn record(&self, call: Call) {
        self.lock().calls.push(call);
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `POST /_control`.
pub(super) async fn set(Extracted(state): Extracted<Shared>, body: String) -> Response {
    match serde_json::from_str::<Control>(&body) {
        Ok(control) => {
            state.faults.set(&control);
            show(Extracted(state)).await
        }
        Err(error) => (
            StatusCode::BAD_REQUEST,
            Json(json!({"error": error.to_string()})),
        )
            .into_response(),
    }
}

/// `GET /_control`: the faults in force.
pub(super) async fn show(Extracted(state): Extracted<Shared>) -> Response {
    let set = state.faults.lock();
    Json(json!({
        "down": set.down,
        "fail_next": set.fail_next,
        "status": set.status,
        "delay_ms": set.delay.as_millis() as u64,
        "max_rate": set.max_rate,
    }))
    .into_response()
}

/// `GET /_calls`.
pub(super) async fn calls(Extracted(state): Extracted<Shared>) -> Json<Vec<Call>> {
    Json(state.faults.calls())
}
