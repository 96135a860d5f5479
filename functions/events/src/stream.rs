//! The log as `text/event-stream`.

use std::{
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use shared::{
    domain::{caller::Scope, id::RunId},
    http::{reply::ReplyBody, serve::ResponseMode},
    postgres::events::{EventLog, read_log},
    telemetry,
};

use crate::events::Log;

/// How often the log is looked at.
const INTERVAL: Duration = Duration::from_millis(500);
/// A stream without a byte is ended by API Gateway after five minutes, and by many proxies after thirty seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// API Gateway ends any stream after 15 minutes. Ending it first, after a whole event, lets the page reconnect where it was.
const LONGEST: Duration = Duration::from_secs(14 * 60);

struct Follow {
    log: Arc<Log>,
    scope: Scope,
    run_id: RunId,
    after: i32,
    next: Option<EventLog>,
    begun: Instant,
    last_sent: Instant,
    /// Whether the front takes whole answers only: then the stream ends with what there is, and the page comes back.
    at_once: bool,
    over: bool,
}

/// The body: what the log holds already, then each event as it comes, until the run is over.
pub(crate) fn body(
    log: Arc<Log>,
    scope: Scope,
    run_id: RunId,
    after: i32,
    found: EventLog,
    mode: ResponseMode,
) -> ReplyBody {
    let now = Instant::now();
    let follow = Follow {
        log,
        scope,
        run_id,
        after,
        next: Some(found),
        begun: now,
        last_sent: now,
        at_once: mode == ResponseMode::Buffered,
        over: false,
    };
    StreamBody::new(stream::unfold(follow, |mut follow| async move {
        let text = follow.next_text().await?;
        Some((Ok(Frame::data(Bytes::from(text))), follow))
    }))
    .boxed_unsync()
}

impl Follow {
    /// The next piece of the stream; none at its end.
    async fn next_text(&mut self) -> Option<String> {
        while !self.over {
            let log = match self.next.take() {
                Some(first) => first,
                None => self.look().await?,
            };
            let ended = log.status.is_end()
                && log.events.last().map_or(self.after, |event| event.sequence) >= log.sequence;
            self.over = ended || self.at_once || self.begun.elapsed() >= LONGEST;
            let text = self.write(&log);
            if !text.is_empty() {
                self.last_sent = Instant::now();
                return Some(text);
            }
            if self.last_sent.elapsed() >= KEEP_ALIVE {
                self.last_sent = Instant::now();
                return Some(": still here\n\n".to_owned());
            }
        }
        None
    }

    async fn look(&self) -> Option<EventLog> {
        tokio::time::sleep(INTERVAL).await;
        match read_log(&self.log.database, self.scope, self.run_id, self.after).await {
            Ok(log) => log,
            Err(error) => {
                tracing::warn!(run_id = %self.run_id, error = %telemetry::chain(&error), "an event stream ends early; the page comes back");
                None
            }
        }
    }

    fn write(&mut self, log: &EventLog) -> String {
        // The page reconnects a second after an end that is not the run's.
        let mut text = if self.begun.elapsed() < INTERVAL && self.after == 0 {
            "retry: 1000\n\n".to_owned()
        } else {
            String::new()
        };
        for event in &log.events {
            // Writing to a string cannot fail. The JSON of an event has no line breaks.
            let _ = write!(
                text,
                "id: {}\nevent: {}\ndata: {}\n\n",
                event.sequence, event.name, event.data
            );
            self.after = event.sequence;
        }
        text
    }
}
