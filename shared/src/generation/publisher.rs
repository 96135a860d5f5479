//! Telling the page: events go to the channel after their commit, in order, beside the work and never in its way.

use std::{future::Future, time::Duration};

use tokio::sync::mpsc;

use super::Clients;
use crate::{
    ably::publish::Message,
    domain::{event::Event, id::RunId},
    postgres::events::unpublished_of,
    recording::publication::mark_published,
    telemetry,
};

/// Tries of a publish before the rest is left to the sweep.
const TRIES: u32 = 3;
/// The wait between them.
const PAUSE: Duration = Duration::from_millis(400);

/// Where a worker puts the events of its run. Dropping it ends the publisher.
pub(super) struct Events(mpsc::UnboundedSender<Event>);

impl Events {
    pub(super) fn tell(&self, event: Event) {
        // The publisher may have given up; the event is in the log, and the sweep publishes it.
        let _ = self.0.send(event);
    }
}

/// What a publisher begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Earlier {
    /// The run is new: no event came before.
    None,
    /// An earlier worker wrote events; those that it did not publish go first.
    Unpublished,
}

/// A run's publisher: a place for events, and the future that publishes them until that place is dropped.
pub(super) fn publisher(
    clients: &Clients,
    run_id: RunId,
    channel: String,
    earlier: Earlier,
) -> (Events, impl Future<Output = ()> + '_) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let publishing = publish(clients, run_id, channel, earlier, receiver);
    (Events(sender), publishing)
}

/// Publishes in order. After a failure that does not pass nothing later is published either, so that nobody sees the end of a story
/// before its middle; the sweep goes on from there. What was published is noted once, at the end.
async fn publish(
    clients: &Clients,
    run_id: RunId,
    channel: String,
    earlier: Earlier,
    mut events: mpsc::UnboundedReceiver<Event>,
) {
    let mut batch = Vec::new();
    if earlier == Earlier::Unpublished {
        batch = match unpublished_of(&clients.database, run_id).await {
            Ok(unpublished) => unpublished,
            Err(error) => {
                tracing::warn!(%run_id, error = %telemetry::chain(&error), "what an earlier worker left unpublished cannot be read; the sweep will publish all of it");
                return;
            }
        };
    }
    let mut published: Vec<i32> = Vec::new();
    loop {
        // The log may have held events that came this way, too, a moment later.
        let last = published.last().copied().unwrap_or(0);
        batch.retain(|event| event.sequence > last);
        if let Some(realtime) = &clients.realtime
            && !batch.is_empty()
        {
            let messages: Vec<Message> = batch
                .iter()
                .map(|event| Message {
                    id: event.message_id(),
                    name: event.name.clone(),
                    data: event.data.to_string(),
                })
                .collect();
            let mut tries = 0;
            while let Err(error) = realtime.publish(&channel, &messages).await {
                tries += 1;
                if tries == TRIES {
                    tracing::warn!(%run_id, error = %telemetry::chain(&error), "events could not be published; the sweep will publish them");
                    return note(clients, run_id, &published).await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        published.extend(batch.drain(..).map(|event| event.sequence));
        if events.recv_many(&mut batch, 16).await == 0 {
            break;
        }
    }
    note(clients, run_id, &published).await;
}

async fn note(clients: &Clients, run_id: RunId, published: &[i32]) {
    if published.is_empty() {
        return;
    }
    if let Err(error) = mark_published(&clients.database, run_id, published).await {
        tracing::warn!(%run_id, error = %telemetry::chain(&error), "published events could not be noted; the sweep will publish them again");
    }
}
