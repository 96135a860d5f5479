//! What an invocation that failed answers: the bodies that Lambda itself writes.

use std::{process::ExitStatus, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};

/// An invocation that failed, in the function or around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    payload: Bytes,
}

impl Failure {
    /// What the function itself reported.
    pub(super) fn reported(payload: Bytes) -> Self {
        Self { payload }
    }

    pub(super) fn timed_out(request_id: &str, limit: Duration) -> Self {
        let seconds = limit.as_secs_f64();
        Self::new(
            "Sandbox.Timedout",
            format!("RequestId: {request_id} Error: Task timed out after {seconds:.2} seconds"),
        )
    }

    /// The process ended with the invocation in hand, or before it took one.
    pub(super) fn exited(request_id: &str, status: Option<ExitStatus>) -> Self {
        Self::new(
            "Runtime.ExitError",
            format!(
                "RequestId: {request_id} Error: Runtime exited with error: {}",
                describe(status)
            ),
        )
    }

    pub(super) fn not_startable(request_id: &str, reason: &str) -> Self {
        Self::new(
            "Runtime.InvalidEntrypoint",
            format!("RequestId: {request_id} Error: {reason}"),
        )
    }

    pub(super) fn response_too_large(limit: usize) -> Self {
        Self::new(
            "Function.ResponseSizeTooLarge",
            format!("Response payload size exceeded maximum allowed payload size ({limit} bytes)."),
        )
    }

    /// The function failed in the middle of its answer.
    pub(super) fn broke_off(message: &str) -> Self {
        Self::new("Runtime.StreamError", message.to_owned())
    }

    /// The emulator is being stopped.
    pub(super) fn stopped(request_id: &str) -> Self {
        Self::new(
            "Sandbox.Stopped",
            format!("RequestId: {request_id} Error: the local stack was stopped"),
        )
    }

    fn new(kind: &str, message: String) -> Self {
        let body = json!({"errorType": kind, "errorMessage": message});
        Self {
            payload: body.to_string().into(),
        }
    }

    /// The JSON that a caller of the Invoke API gets.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        self.payload.clone()
    }

    /// `errorType` of the payload.
    #[must_use]
    pub fn kind(&self) -> String {
        self.field("errorType")
    }

    /// `errorMessage` of the payload.
    #[must_use]
    pub fn message(&self) -> String {
        self.field("errorMessage")
    }

    fn field(&self, name: &str) -> String {
        let body: Value = serde_json::from_slice(&self.payload).unwrap_or_default();
        body[name].as_str().unwrap_or_default().to_owned()
    }
}

/// As Lambda words it: `exit status 1`, `signal: killed`.
fn describe(status: Option<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;

    let Some(status) = status else {
        return "unknown".to_owned();
    };
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(9)) => "signal: killed".to_owned(),
        (None, Some(15)) => "signal: terminated".to_owned(),
        (None, Some(6)) => "signal: aborted".to_owned(),
        (None, signal) => format!("signal: {}", signal.unwrap_or_default()),
    }
}
