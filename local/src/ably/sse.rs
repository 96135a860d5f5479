//! Subscribing without a client library: server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{Query, State as Extracted},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use http::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    Shared, State,
    channels::Publication,
    error::ErrorInfo,
    grant::{Credentials, Grant, authorise},
    realtime::until,
    rewind::Rewind,
};

/// A comment this often keeps proxies from closing a quiet stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The parameters of `GET /event-stream`, beside the credential.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct StreamQuery {
    #[serde(alias = "channel")]
    channels: Option<String>,
    rewind: Option<String>,
    #[serde(rename = "lastEvent", alias = "lastEventId")]
    last_event: Option<String>,
}

struct Subscription {
    state: Shared,
    channels: Vec<String>,
    /// Everything up to here has been sent.
    position: u64,
    /// A publication of which the reader already has the first messages.
    partly_sent: Option<PartlySent>,
    grant: Grant,
}

/// What an event id says: this many messages of the publication with this serial have arrived.
#[derive(Debug, Clone, Copy)]
struct PartlySent {
    serial: u64,
    messages: usize,
}

/// `GET /event-stream`: an event for each message, an `error` event and the end when the token has expired.
pub(super) async fn event_stream(
    Extracted(state): Extracted<Shared>,
    Query(query): Query<StreamQuery>,
    Query(credentials): Query<Credentials>,
    headers: HeaderMap,
) -> Result<Response, ErrorInfo> {
    let now = Timestamp::now();
    let grant = authorise(&state.key, now, &headers, &credentials)?;
    let names = query.channels.as_deref().unwrap_or_default().split(',');
    let channels: Vec<String> = names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    if channels.is_empty() {
        return Err(ErrorInfo::bad_request("No channels specified"));
    }
    for channel in &channels {
        grant.capability.require("subscribe", channel)?;
    }
    let rewind = query.rewind.as_deref().map(Rewind::parse).transpose()?;
    let last_header = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok());
    let last_event = query.last_event.as_deref().or(last_header);
    let partly_sent = last_event.and_then(|id| read_event_id(&state, id));
    let resume = partly_sent.map(|sent| sent.serial.saturating_sub(1));

    let starts: Vec<_> = channels
        .iter()
        .map(|channel| state.channels.start(channel, resume, rewind, now))
        .collect();
    // The channels are asked one after the other: what arrives in between is live for all of them.
    let position = starts
        .iter()
        .map(|start| start.position)
        .min()
        .unwrap_or_default();
    let mut backlog: Vec<_> = starts.into_iter().flat_map(|start| start.backlog).collect();
    backlog.retain(|publication| publication.serial <= position);
    backlog.sort_by_key(|publication| publication.serial);

    let (events, receiver) = mpsc::channel(64);
    let subscription = Subscription {
        state,
        channels,
        position,
        partly_sent,
        grant,
    };
    tokio::spawn(async move {
        // An error only says that the reader has gone.
        let _ = subscription.run(backlog, &events).await;
    });
    let stream = Sse::new(ReceiverStream::new(receiver));
    Ok(stream
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response())
}

type Events = mpsc::Sender<Result<Event, Infallible>>;
type Sent = Result<(), mpsc::error::SendError<Result<Event, Infallible>>>;

impl Subscription {
    async fn run(mut self, backlog: Vec<Arc<Publication>>, events: &Events) -> Sent {
        let mut latest = self.state.channels.latest();
        let mut stopped = self.state.stopped.clone();
        self.send(&backlog, events).await?;
        loop {
            self.send_newer(events).await?;
            tokio::select! {
                changed = latest.changed() => if changed.is_err() { return Ok(()) },
                () = until(self.grant.expires) => {
                    let error = json!(ErrorInfo::expired()).to_string();
                    return events.send(Ok(Event::default().event("error").data(error))).await;
                }
                _ = stopped.changed() => return Ok(()),
                () = events.closed() => return Ok(()),
            }
        }
    }

    async fn send_newer(&mut self, events: &Events) -> Sent {
        let mut newer = Vec::new();
        let mut reached = u64::MAX;
        for channel in &self.channels {
            let (publications, position) = self.state.channels.after(channel, self.position);
            newer.extend(publications);
            reached = reached.min(position);
        }
        newer.retain(|publication| publication.serial <= reached);
        newer.sort_by_key(|publication| publication.serial);
        self.position = reached;
        self.send(&newer, events).await
    }

    async fn send(&self, publications: &[Arc<Publication>], events: &Events) -> Sent {
        for publication in publications {
            let position = self.state.channels.position_text(publication.serial);
            let sent = self
                .partly_sent
                .filter(|sent| sent.serial == publication.serial);
            let skipped = sent.map_or(0, |sent| sent.messages);
            for (index, message) in publication.messages.iter().enumerate().skip(skipped) {
                let mut envelope = json!(message);
                envelope["channel"] = publication.channel.clone().into();
                let event = Event::default()
                    .id(format!("{position}:{index}"))
                    .event("message");
                events.send(Ok(event.data(envelope.to_string()))).await?;
            }
        }
        Ok(())
    }
}

/// `None` for an id that this process did not give out.
fn read_event_id(state: &State, event_id: &str) -> Option<PartlySent> {
    let (position, index) = event_id.rsplit_once(':')?;
    Some(PartlySent {
        serial: state.channels.parse_position(position)?,
        messages: index.parse::<usize>().ok()? + 1,
    })
}
