//! One queue: which messages it holds and which of them can be received. No clock and no I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    SqsError,
    attributes::Attributes,
    clock::{self, Millis},
    message::Message,
};

/// How many messages a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// Can be received.
    pub visible: usize,
    /// Received, and neither deleted nor visible again.
    pub in_flight: usize,
    /// Sent with a delay that has not passed.
    pub delayed: usize,
}

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) attributes: Attributes,
    pub(super) created_at: Millis,
    pub(super) modified_at: Millis,
    /// Told whenever a message may have become visible.
    pub(super) changed: Arc<Notify>,
    messages: BTreeMap<u64, Message>,
    /// Every message by age, for retention.
    ages: BTreeSet<(Millis, u64)>,
    /// What can be received, oldest first.
    visible: BTreeSet<(Millis, u64)>,
    /// The others, by the time when they become visible.
    hidden: BTreeSet<(Millis, u64)>,
}

/// What identifies one receipt of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) number: u64,
    nonce: Uuid,
}

impl Receipt {
    pub(super) fn parse(handle: &str) -> Result<Self, SqsError> {
        let read = || {
            let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(handle).ok()?).ok()?;
            let (number, nonce) = text.split_once('/')?;
            Some(Self {
                number: number.parse().ok()?,
                nonce: nonce.parse().ok()?,
            })
        };
        read().ok_or_else(|| SqsError::ReceiptHandleIsInvalid(handle.to_owned()))
    }

    pub(super) fn handle(self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(format!("{}/{}", self.number, self.nonce))
    }
}

impl Queue {
    pub(super) fn new(attributes: Attributes, now: Millis) -> Self {
        Self {
            attributes,
            created_at: now,
            modified_at: now,
            changed: Arc::default(),
            messages: BTreeMap::new(),
            ages: BTreeSet::new(),
            visible: BTreeSet::new(),
            hidden: BTreeSet::new(),
        }
    }

    /// Adds a message as it is; the next [`advance`](Self::advance) makes it visible when its time has come.
    pub(super) fn put(&mut self, number: u64, message: Message) {
        self.ages.insert((message.sent_at, number));
        self.hidden.insert((message.visible_at, number));
        self.messages.insert(number, message);
        self.changed.notify_waiters();
    }

    /// Forgets what is past its retention and shows what is due.
    pub(super) fn advance(&mut self, now: Millis) {
        while let Some(&(sent_at, number)) = self.ages.first()
            && clock::after(sent_at, self.attributes.retention) <= now
        {
            self.remove(number);
        }
        while let Some(&(visible_at, number)) = self.hidden.first()
            && visible_at <= now
        {
            self.hidden.pop_first();
            if let Some(message) = self.messages.get(&number) {
                self.visible.insert((message.sent_at, number));
            }
        }
    }

    /// What can be received, oldest first.
    pub(super) fn visible(&self) -> impl Iterator<Item = u64> {
        self.visible.iter().map(|&(_, number)| number)
    }

    pub(super) fn message(&self, number: u64) -> Option<&Message> {
        self.messages.get(&number)
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// The oldest message that can be received.
    pub(super) fn first_visible(&self) -> Option<(u64, &Message)> {
        let (_, number) = self.visible.first()?;
        self.messages.get(number).map(|message| (*number, message))
    }

    /// Hides a visible message and hands out a receipt for it.
    pub(super) fn receive(
        &mut self,
        number: u64,
        visibility: Option<Duration>,
        now: Millis,
    ) -> Option<(Receipt, &Message)> {
        let message = self.messages.get_mut(&number)?;
        let nonce = Uuid::new_v4();
        message.receive_count += 1;
        message.first_received_at.get_or_insert(now);
        message.receipt = Some(nonce);
        message.visible_at = clock::after(
            now,
            visibility.unwrap_or(self.attributes.visibility_timeout),
        );
        self.visible.remove(&(message.sent_at, number));
        self.hidden.insert((message.visible_at, number));
        Some((Receipt { number, nonce }, message))
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Message> {
        let message = self.messages.remove(&number)?;
        self.ages.remove(&(message.sent_at, number));
        self.visible.remove(&(message.sent_at, number));
        self.hidden.remove(&(message.visible_at, number));
        Some(message)
    }

    /// The message that this receipt is the newest of.
    pub(super) fn held(&self, receipt: Receipt) -> Option<&Message> {
        let message = self.messages.get(&receipt.number)?;
        (message.receipt == Some(receipt.nonce)).then_some(message)
    }

    /// Hides a message in flight until `visible_at`, and answers the message.
    pub(super) fn hide_until(
        &mut self,
        receipt: Receipt,
        visible_at: Millis,
    ) -> Result<&Message, SqsError> {
        let number = receipt.number;
        let in_flight = self
            .messages
            .get_mut(&number)
            .filter(|message| message.receipt == Some(receipt.nonce))
            .filter(|message| self.hidden.contains(&(message.visible_at, number)));
        let Some(message) = in_flight else {
            return Err(SqsError::MessageNotInflight);
        };
        self.hidden.remove(&(message.visible_at, number));
        message.visible_at = visible_at;
        self.hidden.insert((visible_at, number));
        self.changed.notify_waiters();
        Ok(message)
    }

    /// When a message next becomes visible by itself.
    pub(super) fn next_change(&self) -> Option<Millis> {
        self.hidden.first().map(|&(visible_at, _)| visible_at)
    }

    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.ages.clear();
        self.visible.clear();
        self.hidden.clear();
    }

    pub(super) fn depth(&self) -> QueueDepth {
        let received = |&&(_, number): &&(Millis, u64)| {
            self.messages
                .get(&number)
                .is_some_and(|message| message.receipt.is_some())
        };
        let in_flight = self.hidden.iter().filter(received).count();
        QueueDepth {
            visible: self.visible.len(),
            in_flight,
            delayed: self.hidden.len() - in_flight,
        }
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = (u64, &Message)> {
        self.messages
            .iter()
            .map(|(number, message)| (*number, message))
    }

    /// Puts a stored message's receive state back.
    pub(super) fn restore(&mut self, number: u64, change: impl FnOnce(&mut Message)) {
        if let Some(mut message) = self.remove(number) {
            change(&mut message);
            self.put(number, message);
        }
    }
}
