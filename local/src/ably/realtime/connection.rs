//! One realtime connection, from `CONNECTED` to its end.

use std::{collections::HashMap, time::Duration};

use axum::extract::ws::{Message, WebSocket};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{self, UnboundedSender},
    task::AbortHandle,
};
use uuid::Uuid;

use super::{
    ConnectQuery,
    protocol::{Action, ClientFrame, flag},
    until,
};
use crate::ably::{
    Shared,
    channels::{Publication, Start},
    error::ErrorInfo,
    grant::{Grant, check_token},
    message::{MAX_PUBLISH_BYTES, Publish},
    rewind::Rewind,
};

/// A client hears from the server at least this often, and gives the connection up if it does not.
const MAX_IDLE: Duration = Duration::from_secs(15);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);

/// Ably asks for a new token this long before the old one ends.
const RENEWAL_BEFORE_EXPIRY: Duration = Duration::from_secs(30);

pub(super) struct Connection {
    state: Shared,
    grant: Grant,
    /// When to ask for a new token; `None` once asked, or where the token is too short-lived for that.
    renewal: Option<Timestamp>,
    query: ConnectQuery,
    id: String,
    outgoing: UnboundedSender<Outgoing>,
    attached: HashMap<String, Attachment>,
}

/// Everything sent passes through one queue, so that it leaves in the order in which it was decided.
enum Outgoing {
    Frame(Value),
    /// Closes the connection after what was queued before.
    End,
}

/// A channel on this connection: its messages flow until this is dropped.
struct Attachment {
    flow: Option<AbortHandle>,
    modes: u32,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Some(flow) = &self.flow {
            flow.abort();
        }
    }
}

impl Connection {
    pub(super) async fn run(
        state: Shared,
        grant: Grant,
        query: ConnectQuery,
        mut socket: WebSocket,
    ) {
        let (outgoing, mut queue) = mpsc::unbounded_channel();
        let mut stopped = state.stopped.clone();
        let mut breaks = state.faults.breaks();
        let mut heartbeat = tokio::time::interval(HEARTBEAT_EVERY);
        let mut connection = Self {
            state,
            renewal: renewal(&grant),
            grant,
            query,
            id: random_id(),
            outgoing,
            attached: HashMap::new(),
        };
        connection.send_connected();
        loop {
            tokio::select! {
                Some(next) = queue.recv() => {
                    let Outgoing::Frame(frame) = next else {
                        // Whether the goodbye reaches the client does not matter.
                        let _ = socket.send(Message::Close(None)).await;
                        return;
                    };
                    if socket.send(Message::text(frame.to_string())).await.is_err() {
                        return;
                    }
                }
                incoming = socket.recv() => match incoming {
                    Some(Ok(Message::Text(text))) => connection.receive(&text),
                    Some(Ok(Message::Binary(_))) => {
                        connection.fail(ErrorInfo::bad_request("The stand-in reads text frames only"));
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                },
                _ = heartbeat.tick() => {
                    if connection.query.heartbeats == Some(true) {
                        connection.send(Action::Heartbeat, json!({}));
                    } else if socket.send(Message::Ping(Vec::new().into())).await.is_err() {
                        return;
                    }
                }
                () = until(connection.grant.expires) => connection.expire(),
                () = until(connection.renewal) => {
                    connection.renewal = None;
                    connection.send(Action::Auth, json!({}));
                }
                _ = breaks.changed() => return,
                _ = stopped.changed() => return,
            }
        }
    }

    fn receive(&mut self, text: &str) {
        let frame: ClientFrame = match serde_json::from_str(text) {
            Ok(frame) => frame,
            Err(error) => {
                return self.fail(ErrorInfo::bad_request(format!("Malformed frame: {error}")));
            }
        };
        match Action::from_number(frame.action) {
            Some(Action::Heartbeat) => self.send(Action::Heartbeat, json!({"id": frame.id})),
            Some(Action::Attach) => self.attach(&frame),
            Some(Action::Detach) => {
                let channel = frame.channel.unwrap_or_default();
                self.attached.remove(&channel);
                self.send(Action::Detached, json!({"channel": channel}));
            }
            Some(Action::Message) => self.publish(frame),
            Some(Action::Presence) => {
                let error = ErrorInfo::new(40000, 400, "The stand-in has no presence");
                self.send(
                    Action::Nack,
                    json!({"msgSerial": frame.msg_serial, "count": 1, "error": error}),
                );
            }
            Some(Action::Auth) => self.renew(&frame),
            Some(Action::Close) => {
                self.send(Action::Closed, json!({}));
                self.end();
            }
            Some(Action::Disconnect) => self.end(),
            // A client of a later version may say more: Ably passes over what it does not know.
            _ => tracing::debug!(
                action = frame.action,
                "the Ably stand-in passed over a frame"
            ),
        }
    }

    fn attach(&mut self, frame: &ClientFrame) {
        let channel = frame.channel.clone().unwrap_or_default();
        if let Err(error) = self.try_attach(&channel, frame) {
            self.attached.remove(&channel);
            self.send(Action::Error, json!({"channel": channel, "error": error}));
        }
    }

    fn try_attach(&mut self, channel: &str, frame: &ClientFrame) -> Result<(), ErrorInfo> {
        let modes = self.modes(channel, frame.flags.unwrap_or_default())?;
        let rewind = match frame.params.get("rewind") {
            Some(Value::String(text)) => Some(Rewind::parse(text)?),
            Some(other) => Some(Rewind::parse(&other.to_string())?),
            None => None,
        };
        let resume = frame
            .channel_serial
            .as_deref()
            .and_then(|text| self.state.channels.parse_position(text));
        let start = self
            .state
            .channels
            .start(channel, resume, rewind, Timestamp::now());
        let mut flags = modes;
        if start.resumed {
            flags |= flag::RESUMED;
        }
        if !start.backlog.is_empty() {
            flags |= flag::HAS_BACKLOG;
        }
        let attached = json!({
            "channel": channel,
            "flags": flags,
            "channelSerial": self.state.channels.position_text(start.before_backlog()),
            "params": frame.params,
        });
        // The flow that went before ends first: a client that attaches anew gets each message once.
        self.attached.remove(channel);
        self.send(Action::Attached, attached);
        let flow = (modes & flag::SUBSCRIBE != 0).then(|| self.start_flow(channel, start));
        self.attached
            .insert(channel.to_owned(), Attachment { flow, modes });
        Ok(())
    }

    /// What of the wanted modes the credential allows; without any wanted, all that it allows.
    fn modes(&self, channel: &str, wanted: u32) -> Result<u32, ErrorInfo> {
        let all: u32 = flag::MODES.iter().map(|(mode, _)| mode).sum();
        let wanted = if wanted & all == 0 { all } else { wanted & all };
        let allowed = flag::MODES
            .iter()
            .filter(|(mode, operation)| {
                wanted & mode != 0 && self.grant.capability.allows(operation, channel)
            })
            .fold(0, |modes, (mode, _)| modes | mode);
        if allowed == 0 {
            return Err(ErrorInfo::not_permitted("attach", channel));
        }
        Ok(allowed)
    }

    fn start_flow(&self, channel: &str, start: Start) -> AbortHandle {
        let state = Shared::clone(&self.state);
        let outgoing = self.outgoing.clone();
        let channel = channel.to_owned();
        let connection_id = self.id.clone();
        let unwanted = (self.query.echo == Some(false)).then(|| self.id.clone());
        let flow = tokio::spawn(async move {
            let mut latest = state.channels.latest();
            let mut newer = start.backlog;
            let mut position = start.position;
            loop {
                for publication in &newer {
                    let own = publication.messages.iter().any(|message| {
                        message.connection_id.is_some() && message.connection_id == unwanted
                    });
                    let frame = message_frame(
                        &connection_id,
                        &state.channels.position_text(publication.serial),
                        publication,
                    );
                    if !own && outgoing.send(Outgoing::Frame(frame)).is_err() {
                        return;
                    }
                }
                (newer, position) = state.channels.after(&channel, position);
                if newer.is_empty() && latest.changed().await.is_err() {
                    return;
                }
            }
        });
        flow.abort_handle()
    }

    fn publish(&mut self, frame: ClientFrame) {
        let channel = frame.channel.clone().unwrap_or_default();
        match self.try_publish(
            &channel,
            frame.messages.unwrap_or_default(),
            frame.msg_serial,
        ) {
            Ok(serials) => {
                let ack = json!({"msgSerial": frame.msg_serial, "count": 1, "res": [{"serials": serials}]});
                self.send(Action::Ack, ack);
            }
            Err(error) => {
                self.send(
                    Action::Nack,
                    json!({"msgSerial": frame.msg_serial, "count": 1, "error": error}),
                );
            }
        }
    }

    fn try_publish(
        &self,
        channel: &str,
        messages: Value,
        msg_serial: Option<i64>,
    ) -> Result<Vec<String>, ErrorInfo> {
        self.grant.capability.require("publish", channel)?;
        let attached_without = |attachment: &Attachment| attachment.modes & flag::PUBLISH == 0;
        if self.attached.get(channel).is_some_and(attached_without) {
            return Err(ErrorInfo::not_permitted("publish", channel));
        }
        let mut publish = Publish::parse(messages, &self.grant)?;
        for (index, draft) in publish.drafts.iter_mut().enumerate() {
            let own = || format!("{}:{}:{index}", self.id, msg_serial.unwrap_or_default());
            draft.id.get_or_insert_with(own);
        }
        let accepted =
            self.state
                .channels
                .publish(channel, publish, Some(&self.id), Timestamp::now());
        let position = self.state.channels.position_text(accepted.serial);
        Ok((0..accepted.message_ids.len())
            .map(|index| format!("{position}:{index}"))
            .collect())
    }

    /// Takes over a new token; channels that it does not cover are lost.
    fn renew(&mut self, frame: &ClientFrame) {
        let token = frame
            .auth
            .as_ref()
            .map(|auth| auth.access_token.as_str())
            .unwrap_or_default();
        let grant = match check_token(&self.state.key, Timestamp::now(), token) {
            Ok(grant) => grant,
            Err(error) => return self.fail(error),
        };
        if grant.client_id != self.grant.client_id {
            return self.fail(ErrorInfo::new(
                40102,
                401,
                "Incompatible credentials: the token is another client's",
            ));
        }
        self.renewal = renewal(&grant);
        self.grant = grant;
        self.send_connected();
        let lost: Vec<String> = self
            .attached
            .keys()
            .filter(|channel| self.modes(channel, 0).is_err())
            .cloned()
            .collect();
        for channel in lost {
            self.attached.remove(&channel);
            let error = ErrorInfo::not_permitted("subscribe", &channel);
            self.send(Action::Error, json!({"channel": channel, "error": error}));
        }
    }

    fn send_connected(&self) {
        let client_id = self
            .grant
            .client_id
            .as_ref()
            .or(self.query.client_id.as_ref());
        let connected = json!({
            "connectionId": self.id,
            "connectionDetails": {
                "connectionKey": format!("{}!key", self.id),
                "clientId": client_id,
                "maxMessageSize": MAX_PUBLISH_BYTES,
                "connectionStateTtl": 120_000,
                "maxIdleInterval": MAX_IDLE.as_millis() as u64,
                "serverId": "stand-in",
            },
        });
        self.send(Action::Connected, connected);
    }

    fn expire(&mut self) {
        // Once is enough, and the end of the queue ends the connection.
        self.grant.expires = None;
        self.fail(ErrorInfo::expired());
    }

    /// Ends the connection for a reason: a client goes on by itself where a new token would help, and gives up elsewhere.
    fn fail(&mut self, error: ErrorInfo) {
        let action = if error.asks_for_new_token() {
            Action::Disconnected
        } else {
            Action::Error
        };
        self.attached.clear();
        self.send(action, json!({"error": error}));
        self.end();
    }

    fn send(&self, action: Action, mut frame: Value) {
        frame["action"] = action.number().into();
        // The queue is gone only when the connection is.
        let _ = self.outgoing.send(Outgoing::Frame(frame));
    }

    fn end(&self) {
        let _ = self.outgoing.send(Outgoing::End);
    }
}

fn message_frame(connection_id: &str, position: &str, publication: &Publication) -> Value {
    json!({
        "action": Action::Message.number(),
        "id": format!("{connection_id}:{}", publication.serial),
        "channel": publication.channel,
        "channelSerial": position,
        "timestamp": publication.messages.first().map(|message| message.timestamp),
        "messages": publication.messages,
    })
}

fn renewal(grant: &Grant) -> Option<Timestamp> {
    let renewal = grant.expires?.checked_sub(RENEWAL_BEFORE_EXPIRY).ok()?;
    (renewal > Timestamp::now()).then_some(renewal)
}

fn random_id() -> String {
    let mut id = Uuid::new_v4().simple().to_string();
    id.truncate(10);
    id
}
