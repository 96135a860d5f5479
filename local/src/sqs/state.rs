//! All queues together, and the data file that follows every change of them.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    QueueDepth, ReceivedMessage, SqsError,
    attributes::Attributes,
    clock::{self, Millis},
    journal::{Entry, Journal},
    message::{Message, NewMessage},
    queue::{Queue, Receipt},
};

#[derive(Debug)]
pub(super) struct State {
    pub(super) queues: BTreeMap<String, Queue>,
    next_number: u64,
    journal: Journal,
}

/// What one look at a queue gave.
pub(super) struct Taken {
    pub(super) messages: Vec<ReceivedMessage>,
    /// When another look is worth it, even if nothing is sent.
    pub(super) next_change_in: Option<Duration>,
}

impl State {
    pub(super) fn open(data_file: Option<PathBuf>) -> anyhow::Result<Self> {
        let (journal, entries) = Journal::open(data_file)?;
        let mut state = Self {
            queues: BTreeMap::new(),
            next_number: 0,
            journal,
        };
        for entry in entries {
            state.replay(entry)?;
        }
        state.rewrite()?;
        Ok(state)
    }

    pub(super) fn queue(&self, name: &str) -> Result<&Queue, SqsError> {
        self.queues.get(name).ok_or(SqsError::QueueDoesNotExist)
    }

    pub(super) fn put_queue(
        &mut self,
        name: &str,
        attributes: Attributes,
        now: Millis,
    ) -> Result<(), SqsError> {
        check_name(name)?;
        let created_at = self.queues.get(name).map_or(now, |queue| queue.created_at);
        self.journal
            .append(&queue_entry(name, &attributes, created_at, now))
            .map_err(SqsError::Journal)?;
        let queue = self
            .queues
            .entry(name.to_owned())
            .or_insert_with(|| Queue::new(Attributes::default(), now));
        queue.attributes = attributes;
        queue.modified_at = now;
        Ok(())
    }

    pub(super) fn delete_queue(&mut self, name: &str) -> Result<(), SqsError> {
        let queue = self
            .queues
            .remove(name)
            .ok_or(SqsError::QueueDoesNotExist)?;
        // Whoever waits finds that the queue is gone.
        queue.changed.notify_waiters();
        self.note(&Entry::QueueDeleted {
            queue: name.to_owned(),
        });
        Ok(())
    }

    pub(super) fn send(
        &mut self,
        name: &str,
        new: NewMessage,
        now: Millis,
    ) -> Result<String, SqsError> {
        let attributes = &self.queue(name)?.attributes;
        new.check(attributes.maximum_message_bytes)?;
        let delay = new.delay.unwrap_or(attributes.delay);
        let trace_header = new.system_attributes.get("AWSTraceHeader");
        let message = Message {
            id: Uuid::new_v4(),
            body: new.body,
            attributes: new.attributes,
            trace_header: trace_header.and_then(|header| header.string_value.clone()),
            sent_at: now,
            visible_at: clock::after(now, delay),
            receive_count: 0,
            first_received_at: None,
            receipt: None,
            source_queue: None,
        };
        let id = message.id.to_string();
        self.put(name, message).map_err(SqsError::Journal)?;
        Ok(id)
    }

    /// What a receiver waits for, and how long when it does not say.
    pub(super) fn waiting(&self, name: &str) -> Result<(Arc<Notify>, Duration), SqsError> {
        let queue = self.queue(name)?;
        Ok((Arc::clone(&queue.changed), queue.attributes.receive_wait))
    }

    pub(super) fn receive(
        &mut self,
        name: &str,
        max: usize,
        visibility: Option<Duration>,
        now: Millis,
    ) -> Result<Taken, SqsError> {
        let queue = self.queue_at(name, now)?;
        let redrive = queue.attributes.redrive.clone();
        // Without a queue to move them to, dead letters stay where they are.
        let redrive = redrive.filter(|redrive| {
            let target = &redrive.dead_letter_queue;
            target != name && self.queues.contains_key(target)
        });
        let mut messages = Vec::new();
        while messages.len() < max {
            let queue = self
                .queues
                .get_mut(name)
                .ok_or(SqsError::QueueDoesNotExist)?;
            let Some((number, message)) = queue.first_visible() else {
                break;
            };
            if let Some(redrive) = &redrive
                && message.receive_count >= redrive.max_receive_count
            {
                self.relocate(name, number, &redrive.dead_letter_queue, |message| {
                    message.source_queue = Some(name.to_owned());
                })?;
                continue;
            }
            let Some((receipt, message)) = queue.receive(number, visibility, now) else {
                break;
            };
            messages.push(message.received(receipt.handle()));
            let entry = hidden_entry(name, number, message);
            self.note(&entry);
        }
        let next_change = self.queue(name)?.next_change();
        Ok(Taken {
            messages,
            next_change_in: next_change.map(|then| clock::until(now, then)),
        })
    }

    pub(super) fn delete(&mut self, name: &str, handle: &str, now: Millis) -> Result<(), SqsError> {
        let queue = self.queue_at(name, now)?;
        let receipt = Receipt::parse(handle)?;
        if queue.held(receipt).is_some() {
            queue.remove(receipt.number);
            self.note(&Entry::Deleted {
                queue: name.to_owned(),
                number: receipt.number,
            });
        }
        Ok(())
    }

    pub(super) fn change_visibility(
        &mut self,
        name: &str,
        handle: &str,
        visibility: Duration,
        now: Millis,
    ) -> Result<(), SqsError> {
        let queue = self.queue_at(name, now)?;
        let receipt = Receipt::parse(handle)?;
        let message = queue.hide_until(receipt, clock::after(now, visibility))?;
        let entry = hidden_entry(name, receipt.number, message);
        self.note(&entry);
        Ok(())
    }

    pub(super) fn depth(&mut self, name: &str, now: Millis) -> Result<QueueDepth, SqsError> {
        self.queue_at(name, now).map(|queue| queue.depth())
    }

    pub(super) fn purge(&mut self, name: &str) -> Result<(), SqsError> {
        self.queues
            .get_mut(name)
            .ok_or(SqsError::QueueDoesNotExist)?
            .clear();
        self.note(&Entry::Purged {
            queue: name.to_owned(),
        });
        Ok(())
    }

    /// Moves every visible message of a dead-letter queue, each to `destination` or else to the queue it came
    /// from, as new messages. Answers how many were moved.
    pub(super) fn move_messages(
        &mut self,
        name: &str,
        destination: Option<&str>,
        now: Millis,
    ) -> Result<usize, SqsError> {
        let due: Vec<u64> = self.queue_at(name, now)?.visible().collect();
        let mut moved = 0;
        for number in due {
            let source = self.queue(name)?.message(number);
            let target = destination.or(source.and_then(|message| message.source_queue.as_deref()));
            let Some(target) = target.filter(|target| self.queues.contains_key(*target)) else {
                continue;
            };
            let target = target.to_owned();
            self.relocate(name, number, &target, |message| {
                message.id = Uuid::new_v4();
                message.sent_at = now;
                message.visible_at = now;
                message.receive_count = 0;
                message.first_received_at = None;
                message.source_queue = None;
            })?;
            moved += 1;
        }
        Ok(moved)
    }

    /// Writes a message to another queue, and only then takes it from the first: what ends this process in between
    /// leaves two, never none.
    fn relocate(
        &mut self,
        from: &str,
        number: u64,
        to: &str,
        change: impl FnOnce(&mut Message),
    ) -> Result<(), SqsError> {
        let Some(mut message) = self.queue(from)?.message(number).cloned() else {
            return Ok(());
        };
        message.receipt = None;
        change(&mut message);
        self.put(to, message).map_err(SqsError::Journal)?;
        if let Some(queue) = self.queues.get_mut(from) {
            queue.remove(number);
        }
        self.note(&Entry::Deleted {
            queue: from.to_owned(),
            number,
        });
        Ok(())
    }

    fn queue_at(&mut self, name: &str, now: Millis) -> Result<&mut Queue, SqsError> {
        let queue = self
            .queues
            .get_mut(name)
            .ok_or(SqsError::QueueDoesNotExist)?;
        queue.advance(now);
        Ok(queue)
    }

    /// Writes the message down before the queue has it.
    fn put(&mut self, name: &str, message: Message) -> std::io::Result<()> {
        let number = self.next_number;
        self.next_number += 1;
        let entry = Entry::Message {
            queue: name.to_owned(),
            number,
            message: Box::new(message),
        };
        self.journal.append(&entry)?;
        if let Entry::Message { message, .. } = entry
            && let Some(queue) = self.queues.get_mut(name)
        {
            queue.put(number, *message);
        }
        Ok(())
    }

    /// Writes down what may be lost without harm: the message would only come again.
    fn note(&mut self, entry: &Entry) {
        let mut written = self.journal.append(entry);
        let live = self.queues.values().map(|queue| queue.len() + 1).sum();
        if written.is_ok() && self.journal.is_mostly_history(live) {
            written = self.rewrite();
        }
        if let Err(error) = written {
            tracing::error!(%error, "the queues' data file could not be written");
        }
    }

    fn rewrite(&mut self) -> std::io::Result<()> {
        let queues = &self.queues;
        let entries = queues.iter().flat_map(|(name, queue)| {
            let first = queue_entry(name, &queue.attributes, queue.created_at, queue.modified_at);
            let messages = queue.messages().map(|(number, message)| Entry::Message {
                queue: name.clone(),
                number,
                message: Box::new(message.clone()),
            });
            std::iter::once(first).chain(messages)
        });
        self.journal.rewrite(entries)
    }

    fn replay(&mut self, entry: Entry) -> anyhow::Result<()> {
        match entry {
            Entry::Queue {
                queue,
                attributes,
                created_at,
                modified_at,
            } => {
                let attributes = Attributes::from_map(&attributes)?;
                let queue = self
                    .queues
                    .entry(queue)
                    .or_insert_with(|| Queue::new(Attributes::default(), created_at));
                queue.attributes = attributes;
                queue.modified_at = modified_at;
            }
            Entry::QueueDeleted { queue } => {
                self.queues.remove(&queue);
            }
            Entry::Message {
                queue,
                number,
                message,
            } => {
                self.next_number = self.next_number.max(number + 1);
                if let Some(queue) = self.queues.get_mut(&queue) {
                    queue.put(number, *message);
                }
            }
            Entry::Hidden {
                queue,
                number,
                visible_at,
                receive_count,
                first_received_at,
                receipt,
            } => {
                if let Some(queue) = self.queues.get_mut(&queue) {
                    queue.restore(number, |message| {
                        message.visible_at = visible_at;
                        message.receive_count = receive_count;
                        message.first_received_at = first_received_at;
                        message.receipt = receipt;
                    });
                }
            }
            Entry::Deleted { queue, number } => {
                if let Some(queue) = self.queues.get_mut(&queue) {
                    queue.remove(number);
                }
            }
            Entry::Purged { queue } => {
                if let Some(queue) = self.queues.get_mut(&queue) {
                    queue.clear();
                }
            }
        }
        Ok(())
    }
}

fn queue_entry(
    name: &str,
    attributes: &Attributes,
    created_at: Millis,
    modified_at: Millis,
) -> Entry {
    Entry::Queue {
        queue: name.to_owned(),
        attributes: attributes.to_map(),
        created_at,
        modified_at,
    }
}

fn hidden_entry(name: &str, number: u64, message: &Message) -> Entry {
    Entry::Hidden {
        queue: name.to_owned(),
        number,
        visible_at: message.visible_at,
        receive_count: message.receive_count,
        first_received_at: message.first_received_at,
        receipt: message.receipt,
    }
}

fn check_name(name: &str) -> Result<(), SqsError> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    if !(1..=80).contains(&name.len()) || !name.chars().all(allowed) {
        return Err(SqsError::InvalidParameterValue(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length. FIFO queues are not served here."
                .to_owned(),
        ));
    }
    Ok(())
}
