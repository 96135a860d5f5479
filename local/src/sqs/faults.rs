//! Failures on demand, and the log of what was asked: for tests of the functions that send.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What `POST /_control` sets. Everything is forgotten with the next `POST`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Faults {
    /// How many requests fail from now on.
    #[serde(default)]
    fail_next: u64,
    /// Every request fails until this is set otherwise.
    #[serde(default)]
    down: bool,
    /// The status of a failure; 503 where it is not given.
    status: Option<u16>,
    /// In place of a status: the connection breaks, before the request took effect or after.
    drop: Option<Break>,
    /// Only these actions fail, `SendMessage` say; all where it is empty.
    #[serde(default)]
    actions: Vec<String>,
    /// Every request that `actions` names waits this long first, failing or not.
    #[serde(default)]
    delay_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Break {
    Before,
    After,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    Refused(u16),
    /// Nothing is done and nothing is answered.
    LostBefore,
    /// It is done, and nothing is answered.
    LostAfter,
}

/// One request that the server got.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Call {
    pub(super) at: jiff::Timestamp,
    pub(super) action: String,
    /// The request as it was sent.
    pub(super) request: Value,
    /// The status answered; null where the connection was broken.
    pub(super) status: Option<u16>,
}

/// The log keeps the newest calls only, so that a long run does not fill the memory.
const CALLS_KEPT: usize = 2_000;

#[derive(Debug, Default)]
pub(super) struct FaultControl {
    faults: Mutex<Faults>,
    calls: Mutex<VecDeque<Call>>,
}

impl FaultControl {
    pub(super) fn set(&self, faults: Faults) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Decides on one request, and how many milliseconds it waits first.
    pub(super) fn decide(&self, action: &str) -> (u64, Fate) {
        self.faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .decide(action)
    }

    pub(super) fn record(&self, call: Call) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() == CALLS_KEPT {
            calls.pop_front();
        }
        calls.push_back(call);
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().cloned().collect()
    }
}

impl Faults {
    fn decide(&mut self, action: &str) -> (u64, Fate) {
        if !self.actions.is_empty() && !self.actions.iter().any(|named| named == action) {
            return (0, Fate::Answered);
        }
        if !self.down {
            if self.fail_next == 0 {
                return (self.delay_ms, Fate::Answered);
            }
            self.fail_next -= 1;
        }
        let fate = match self.drop {
            Some(Break::Before) => Fate::LostBefore,
            Some(Break::After) => Fate::LostAfter,
            None => Fate::Refused(self.status.unwrap_or(503)),
        };
        (self.delay_ms, fate)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn faults_hit_the_named_actions_and_run_out() {
        let mut faults: Faults =
            serde_json::from_value(json!({"fail_next": 2, "actions": ["SendMessage"]})).unwrap();
        assert_eq!(faults.decide("ReceiveMessage"), (0, Fate::Answered));
        assert_eq!(faults.decide("SendMessage"), (0, Fate::Refused(503)));
        assert_eq!(faults.decide("SendMessage"), (0, Fate::Refused(503)));
        assert_eq!(faults.decide("SendMessage"), (0, Fate::Answered));

        let mut down: Faults =
            serde_json::from_value(json!({"down": true, "drop": "after"})).unwrap();
        assert_eq!(down.decide("SendMessage"), (0, Fate::LostAfter));
        assert_eq!(down.decide("SendMessage"), (0, Fate::LostAfter));
    }
}
