//! What is told about a run: over Ably, in the event log and in the event stream, always the same words.

use serde_json::{Map, Value, json};

use super::{
    attempt::Attempt,
    id::{ImageId, RunId, UserId},
};

/// Name of the event that opens a run. It is built from the row by the statement that claims the run (`recording/claim.sql`).
pub const STARTED: &str = "ai.image.run.started";
/// Name of the event of each attempt's start and end.
pub const ATTEMPT: &str = "ai.image.run.attempt";
/// Name of the event that ends a run.
pub const COMPLETED: &str = "ai.image.run.completed";

/// An event before the database has given it its sequence number and time.
#[derive(Clone, Debug, PartialEq)]
pub struct EventDraft {
    /// The event's name, which is also `data.type`.
    pub name: &'static str,
    /// Its fields, without `sequence` and `at`.
    pub data: Map<String, Value>,
}

/// An event as the log keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The run it tells about.
    pub run_id: RunId,
    /// Its place in the run's story, from 1 without gaps.
    pub sequence: i32,
    /// The event's name.
    pub name: String,
    /// Its fields, `sequence` and `at` among them.
    pub data: Value,
}

impl Event {
    /// The message id on Ably. Derived from what the event is, so that a second publish of it is dropped there.
    pub fn message_id(&self) -> String {
        format!("{}-{}", self.run_id, self.sequence)
    }
}

/// The channel that a run's events go to: the owner's, or the run's own where it has no owner.
pub fn channel(owner: Option<UserId>, run_id: RunId) -> String {
    match owner {
        Some(owner) => user_channel(owner),
        None => run_channel(run_id),
    }
}

/// The channel of all of a user's runs.
pub fn user_channel(user: UserId) -> String {
    format!("ai:image:{user}")
}

/// The channel of one run without an owner.
pub fn run_channel(run_id: RunId) -> String {
    format!("ai:image:run:{run_id}")
}

/// An attempt began or ended.
pub fn attempt(run_id: RunId, attempt: &Attempt) -> EventDraft {
    EventDraft {
        name: ATTEMPT,
        data: fields(json!({
            "type": ATTEMPT,
            "runId": run_id,
            "attempt": attempt.attempt,
            "model": attempt.model,
            "status": attempt.status.as_str(),
            "errorCode": attempt.error_code,
            "errorMessage": attempt.error_message,
        })),
    }
}

/// The run succeeded.
pub fn succeeded(run_id: RunId, image_id: ImageId, image_url: &str) -> EventDraft {
    EventDraft {
        name: COMPLETED,
        data: fields(json!({
            "type": COMPLETED,
            "runId": run_id,
            "status": "succeeded",
            "imageUrl": image_url,
            "imageId": image_id,
            "errorCode": null,
            "errorMessage": null,
        })),
    }
}

/// The run ended without an image. A canceled run is told as failed with the code `canceled`.
pub fn failed(run_id: RunId, error_code: &str, error_message: &str) -> EventDraft {
    EventDraft {
        name: COMPLETED,
        data: fields(json!({
            "type": COMPLETED,
            "runId": run_id,
            "status": "failed",
            "imageUrl": null,
            "imageId": null,
            "errorCode": error_code,
            "errorMessage": error_message,
        })),
    }
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        // Every caller above passes an object literal.
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn channels_are_lower_case() {
        let id = Uuid::parse_str("ABCDEF00-0000-4000-8000-00000000ABCD").unwrap();
        assert_eq!(
            channel(Some(UserId(id)), RunId(id)),
            "ai:image:abcdef00-0000-4000-8000-00000000abcd"
        );
        assert_eq!(
            channel(None, RunId(id)),
            "ai:image:run:abcdef00-0000-4000-8000-00000000abcd"
        );
    }
}
