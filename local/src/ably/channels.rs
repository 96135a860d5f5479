//! The channels: what was published, in order, and word to those who wait for more.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    error::ErrorInfo,
    message::{Draft, Publish},
    rewind::{MOST_MESSAGES, Rewind},
};

/// Publishes kept, over all channels. A laptop's worth of history; the oldest go first.
const MOST_KEPT: usize = 10_000;

/// How long Ably remembers the ids of what was published.
const IDS_REMEMBERED: Duration = Duration::from_secs(120);

/// A message as subscribers and history see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// The id chosen by the publisher, or one made here.
    pub id: String,
    /// The event's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it was accepted, in milliseconds since 1970.
    pub timestamp: i64,
    /// The payload: text, which `encoding` says how to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// `json` where `data` is JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Who published it, where the credential said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The realtime connection that published it; none for REST.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    /// Whatever else the publisher attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extras: Option<Map<String, Value>>,
}

/// Messages published together; they are delivered together.
#[derive(Debug)]
pub(super) struct Publication {
    /// Rises by one with each publication on any channel, so that one number is a position in all of them.
    pub(super) serial: u64,
    pub(super) channel: String,
    pub(super) messages: Vec<Stored>,
    timestamp: i64,
}

/// What became of a publish.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) message_ids: Vec<String>,
    pub(super) serial: u64,
    /// It had been published before: nothing was stored.
    pub(super) duplicate: bool,
}

/// Where a subscriber begins.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) backlog: Vec<Arc<Publication>>,
    /// Everything after this serial is live.
    pub(super) position: u64,
    /// The past since the position that the client named is complete.
    pub(super) resumed: bool,
}

impl Start {
    /// The serial to name before the backlog has been delivered, so that a client that loses it midway gets the rest.
    pub(super) fn before_backlog(&self) -> u64 {
        self.backlog
            .first()
            .map_or(self.position, |first| first.serial - 1)
    }
}

/// All channels of one stand-in.
#[derive(Debug)]
pub(super) struct Channels {
    /// Marks serials as this process's own: after a restart an old position means nothing.
    instance: String,
    log: Mutex<Log>,
    latest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Log {
    last_serial: u64,
    /// The serial of the newest publication that is no longer kept.
    forgotten: u64,
    publications: VecDeque<Arc<Publication>>,
    ids: HashMap<(String, String), Seen>,
}

#[derive(Debug, Clone)]
struct Seen {
    at: Timestamp,
    serial: u64,
    message_ids: Vec<String>,
}

impl Default for Channels {
    fn default() -> Self {
        let mut instance = Uuid::new_v4().simple().to_string();
        instance.truncate(10);
        Self {
            instance,
            log: Mutex::default(),
            latest: watch::Sender::new(0),
        }
    }
}

impl Channels {
    /// Stores a publish and wakes the subscribers, unless it repeats one of the last two minutes.
    pub(super) fn publish(
        &self,
        channel: &str,
        publish: Publish,
        connection_id: Option<&str>,
        now: Timestamp,
    ) -> Accepted {
        let mut log = self.log();
        log.ids
            .retain(|_, seen| now.duration_since(seen.at) < jiff_span(IDS_REMEMBERED));
        let id_key = publish.idempotency_key.map(|key| (channel.to_owned(), key));
        if let Some(seen) = id_key.as_ref().and_then(|key| log.ids.get(key)) {
            return Accepted {
                message_ids: seen.message_ids.clone(),
                serial: seen.serial,
                duplicate: true,
            };
        }
        log.last_serial += 1;
        let serial = log.last_serial;
        let messages: Vec<Stored> = publish
            .drafts
            .into_iter()
            .enumerate()
            .map(|(index, draft)| self.stored(draft, serial, index, connection_id, now))
            .collect();
        let message_ids: Vec<String> = messages.iter().map(|message| message.id.clone()).collect();
        if let Some(key) = id_key {
            let message_ids = message_ids.clone();
            log.ids.insert(
                key,
                Seen {
                    at: now,
                    serial,
                    message_ids,
                },
            );
        }
        log.publications.push_back(Arc::new(Publication {
            serial,
            channel: channel.to_owned(),
            messages,
            timestamp: now.as_millisecond(),
        }));
        while log.publications.len() > MOST_KEPT {
            log.forgotten = log
                .publications
                .pop_front()
                .map_or(log.forgotten, |oldest| oldest.serial);
        }
        drop(log);
        self.latest.send_replace(serial);
        Accepted {
            message_ids,
            serial,
            duplicate: false,
        }
    }

    /// Refuses when the channel had `limit` publishes within the last second.
    pub(super) fn check_rate(
        &self,
        channel: &str,
        limit: usize,
        now: Timestamp,
    ) -> Result<(), ErrorInfo> {
        let since = now.as_millisecond() - 1000;
        let log = self.log();
        let recent = log
            .publications
            .iter()
            .rev()
            .take_while(|publication| publication.timestamp > since);
        if recent
            .filter(|publication| publication.channel == channel)
            .count()
            < limit
        {
            return Ok(());
        }
        let message = "Rate limit exceeded; request rejected (nonfatal); metric = channel.maxRate";
        Err(ErrorInfo::new(42911, 429, message))
    }

    /// Where a new subscriber begins: after `resume` if that position is still known, else as `rewind` says, else now.
    pub(super) fn start(
        &self,
        channel: &str,
        resume: Option<u64>,
        rewind: Option<Rewind>,
        now: Timestamp,
    ) -> Start {
        let log = self.log();
        let position = log.last_serial;
        if let Some(resume) = resume.filter(|serial| (log.forgotten..=position).contains(serial)) {
            let backlog = log
                .of(channel)
                .filter(|publication| publication.serial > resume)
                .cloned()
                .collect();
            return Start {
                backlog,
                position,
                resumed: true,
            };
        }
        let wanted = match rewind {
            None | Some(Rewind::Messages(0)) => 0,
            Some(Rewind::Messages(count)) => {
                let newest_first = log.of(channel).rev().scan(0, |messages, publication| {
                    *messages += publication.messages.len();
                    Some(*messages)
                });
                newest_first
                    .take_while(|messages| *messages <= count)
                    .count()
            }
            Some(Rewind::Span(span)) => {
                let since =
                    now.as_millisecond() - i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
                let within = log
                    .of(channel)
                    .rev()
                    .take_while(|publication| publication.timestamp >= since);
                within.count().min(MOST_MESSAGES)
            }
        };
        let mut backlog: Vec<_> = log.of(channel).rev().take(wanted).cloned().collect();
        backlog.reverse();
        Start {
            backlog,
            position,
            resumed: false,
        }
    }

    /// What was published on `channel` after `position`, and the new position.
    pub(super) fn after(&self, channel: &str, position: u64) -> (Vec<Arc<Publication>>, u64) {
        let log = self.log();
        let newer = log
            .of(channel)
            .rev()
            .take_while(|publication| publication.serial > position);
        let mut newer: Vec<_> = newer.cloned().collect();
        newer.reverse();
        (newer, log.last_serial)
    }

    /// Changes whenever something is published.
    pub(super) fn latest(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// Everything kept of a channel, oldest first.
    pub(super) fn all(&self, channel: &str) -> Vec<Stored> {
        self.log()
            .of(channel)
            .flat_map(|publication| publication.messages.clone())
            .collect()
    }

    /// A serial as clients see it and give it back.
    pub(super) fn position_text(&self, serial: u64) -> String {
        format!("{}@{serial}", self.instance)
    }

    /// The serial that [`Self::position_text`] was made of, if it was made here.
    pub(super) fn parse_position(&self, text: &str) -> Option<u64> {
        let (instance, serial) = text.split_once('@')?;
        if instance != self.instance {
            return None;
        }
        serial.parse().ok()
    }

    fn stored(
        &self,
        draft: Draft,
        serial: u64,
        index: usize,
        connection_id: Option<&str>,
        now: Timestamp,
    ) -> Stored {
        Stored {
            id: draft
                .id
                .unwrap_or_else(|| format!("{}{serial}:{index}", self.instance)),
            name: draft.name,
            timestamp: now.as_millisecond(),
            data: draft.data,
            encoding: draft.encoding,
            client_id: draft.client_id,
            connection_id: connection_id.map(str::to_owned),
            extras: draft.extras,
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn of(&self, channel: &str) -> impl DoubleEndedIterator<Item = &Arc<Publication>> {
        self.publications
            .iter()
            .filter(move |publication| publication.channel == channel)
    }
}

fn jiff_span(duration: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn one(id: &str) -> Publish {
        Publish {
            drafts: vec![Draft {
                id: Some(id.to_owned()),
                ..Draft::default()
            }],
            idempotency_key: Some(id.to_owned()),
        }
    }

    fn ids(publications: &[Arc<Publication>]) -> Vec<&str> {
        publications
            .iter()
            .flat_map(|publication| &publication.messages)
            .map(|message| message.id.as_str())
            .collect()
    }

    #[test]
    fn an_id_is_dropped_on_its_channel_for_two_minutes() {
        let channels = Channels::default();
        for (channel, second, duplicate) in [
            ("a", 0, false),
            ("a", 1, true),
            ("b", 1, false),
            ("a", 119, true),
            ("a", 120, false),
        ] {
            let accepted = channels.publish(channel, one("run-1"), None, at(second));
            assert_eq!(accepted.duplicate, duplicate, "{channel} at {second}");
            assert_eq!(accepted.message_ids, ["run-1"]);
        }
        assert_eq!(channels.all("a").len(), 2);
    }

    #[test]
    fn where_a_subscriber_begins() {
        let channels = Channels::default();
        for (second, id) in [(0, "1"), (60, "2"), (170, "3")] {
            channels.publish("a", one(id), None, at(second));
            channels.publish("other", one(id), None, at(second));
        }
        let start = |resume, rewind| channels.start("a", resume, rewind, at(180));
        let two_minutes = Some(Rewind::Span(Duration::from_secs(120)));
        assert_eq!(ids(&start(None, None).backlog), Vec::<&str>::new());
        assert_eq!(ids(&start(None, two_minutes).backlog), ["2", "3"]);
        assert_eq!(ids(&start(None, Some(Rewind::Messages(1))).backlog), ["3"]);
        assert_eq!(
            ids(&start(None, Some(Rewind::Messages(9))).backlog),
            ["1", "2", "3"]
        );
        let resumed = start(Some(1), two_minutes);
        assert!(resumed.resumed);
        assert_eq!(ids(&resumed.backlog), ["2", "3"]);
        assert!(!start(Some(99), None).resumed);
        assert_eq!(resumed.position, 6);
        assert_eq!(ids(&channels.after("a", 2).0), ["2", "3"]);
    }

    #[test]
    fn a_position_of_another_process_means_nothing() {
        let (here, there) = (Channels::default(), Channels::default());
        assert_eq!(here.parse_position(&here.position_text(7)), Some(7));
        assert_eq!(here.parse_position(&there.position_text(7)), None);
    }
}
