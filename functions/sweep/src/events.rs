//! Events that did not reach their channel.

use std::collections::HashSet;

use shared::{
    ably::publish::Message,
    domain::{event, id::RunId},
    postgres::events::find_unpublished,
    recording::publication::mark_published,
    telemetry,
};

use crate::{
    report::{Outcome, Report},
    sweep::{AT_ONCE, Order, Sweep},
};

/// Events younger than this are about to be published by the worker that wrote them, in seconds.
const FRESH_S: f64 = 2.0;

/// Publishes them, each run's in order: after one that fails, the rest of its run waits for the next round.
pub(crate) async fn publish(sweep: &Sweep, order: &Order, report: &mut Report) -> Outcome {
    let unpublished = find_unpublished(&sweep.clients.database, FRESH_S, AT_ONCE).await?;
    if order.dry_run {
        report.events_published = unpublished.len();
        return Ok(());
    }
    let mut stuck: HashSet<RunId> = HashSet::new();
    for unpublished in unpublished {
        let event = unpublished.event;
        if stuck.contains(&event.run_id) {
            continue;
        }
        if let Some(realtime) = &sweep.clients.realtime {
            let message = Message {
                id: event.message_id(),
                name: event.name.clone(),
                data: event.data.to_string(),
            };
            if let Err(error) = realtime
                .publish(&event::channel(unpublished.owner, event.run_id), &[message])
                .await
            {
                tracing::warn!(run_id = %event.run_id, error = %telemetry::chain(&error), "an event could not be published; the next round tries again");
                stuck.insert(event.run_id);
                continue;
            }
        }
        mark_published(&sweep.clients.database, event.run_id, &[event.sequence]).await?;
        report.events_published += 1;
    }
    if stuck.is_empty() {
        Ok(())
    } else {
        Err(format!("events of {} runs could not be published", stuck.len()).into())
    }
}
