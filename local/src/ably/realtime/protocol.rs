//! The frames of Ably's realtime protocol that the stand-in knows.

use serde::Deserialize;
use serde_json::{Map, Value};

/// What a frame is for, by its number in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Heartbeat = 0,
    Ack = 1,
    Nack = 2,
    Connected = 4,
    Disconnect = 5,
    Disconnected = 6,
    Close = 7,
    Closed = 8,
    Error = 9,
    Attach = 10,
    Attached = 11,
    Detach = 12,
    Detached = 13,
    Presence = 14,
    Message = 15,
    Auth = 17,
}

impl Action {
    const KNOWN: [Self; 16] = [
        Self::Heartbeat,
        Self::Ack,
        Self::Nack,
        Self::Connected,
        Self::Disconnect,
        Self::Disconnected,
        Self::Close,
        Self::Closed,
        Self::Error,
        Self::Attach,
        Self::Attached,
        Self::Detach,
        Self::Detached,
        Self::Presence,
        Self::Message,
        Self::Auth,
    ];

    pub(super) fn number(self) -> u8 {
        self as u8
    }

    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::KNOWN
            .into_iter()
            .find(|action| action.number() == number)
    }
}

/// Flags of `ATTACH` and `ATTACHED`.
pub(super) mod flag {
    /// Messages of the past follow.
    pub(in super::super) const HAS_BACKLOG: u32 = 1 << 1;
    /// Nothing was missed since the position that the client gave.
    pub(in super::super) const RESUMED: u32 = 1 << 2;
    const PRESENCE: u32 = 1 << 16;
    pub(in super::super) const PUBLISH: u32 = 1 << 17;
    pub(in super::super) const SUBSCRIBE: u32 = 1 << 18;
    const PRESENCE_SUBSCRIBE: u32 = 1 << 19;

    /// What a client may do on a channel, and the operation that it needs for that.
    pub(in super::super) const MODES: [(u32, &str); 4] = [
        (PRESENCE, "presence"),
        (PUBLISH, "publish"),
        (SUBSCRIBE, "subscribe"),
        (PRESENCE_SUBSCRIBE, "subscribe"),
    ];
}

/// A frame from a client. What the stand-in does not use is not read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ClientFrame {
    pub(super) action: u8,
    pub(super) id: Option<String>,
    pub(super) channel: Option<String>,
    pub(super) channel_serial: Option<String>,
    pub(super) params: Map<String, Value>,
    pub(super) flags: Option<u32>,
    pub(super) msg_serial: Option<i64>,
    pub(super) messages: Option<Value>,
    pub(super) auth: Option<Auth>,
}

/// The new token of an `AUTH` frame.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Auth {
    pub(super) access_token: String,
}
