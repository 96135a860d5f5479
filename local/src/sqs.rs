//! SQS on one machine: standard queues with visibility, receive counts, delays, retention and redrive.
//!
//! [`Sqs`] is what the rest of the stack holds; [`router`] and [`serve`] offer the same queues over the wire
//! protocol that the AWS SDKs and the AWS CLI speak.

mod attributes;
mod clock;
mod error;
mod journal;
mod message;
mod message_actions;
mod queue;
mod queue_actions;
mod server;
mod state;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use self::{attributes::Attributes, message::NewMessage, state::State};
pub use self::{
    attributes::{QueueSettings, Redrive},
    error::SqsError,
    message::{MessageAttribute, ReceivedMessage},
    queue::QueueDepth,
    server::{router, serve},
};

/// The account that every queue belongs to; it is part of queue URLs and ARNs.
pub const ACCOUNT: &str = "000000000000";

/// The region in queue ARNs. Clients may sign for any region.
pub const REGION: &str = "us-east-1";

/// The longest message, body and attributes together: 1 MiB.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>
pub const MAXIMUM_MESSAGE_BYTES: usize = 1_048_576;

/// The ARN of a queue here.
pub fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

/// The URL of a queue on a server at `base_url`, as `GENERATION_QUEUE_URL` wants it.
pub fn queue_url(base_url: &str, name: &str) -> String {
    format!("{}/{ACCOUNT}/{name}", base_url.trim_end_matches('/'))
}

/// A handle to all queues. Clones share them.
#[derive(Clone, Debug)]
pub struct Sqs {
    state: Arc<Mutex<State>>,
}

impl Sqs {
    /// Queues without a file are forgotten at the end; with one, they and their messages are as they were left.
    ///
    /// # Errors
    /// The file cannot be read or written, or is not one of ours.
    pub fn new(data_file: Option<PathBuf>) -> anyhow::Result<Self> {
        let state = State::open(data_file)?;
        Ok(Self {
            state: Arc::new(Mutex::new(state)),
        })
    }

    /// Creates the queue, or gives an existing one these settings; its messages stay.
    pub fn create_queue(&self, settings: QueueSettings) -> Result<(), SqsError> {
        let name = settings.name.clone();
        let attributes = Attributes::from(settings);
        self.lock().put_queue(&name, attributes, clock::now())
    }

    /// Puts a message in the queue and answers its id. When this returns the message is in the data file.
    pub fn send(
        &self,
        queue: &str,
        body: impl Into<String>,
        attributes: BTreeMap<String, MessageAttribute>,
    ) -> Result<String, SqsError> {
        let message = NewMessage {
            body: body.into(),
            attributes,
            system_attributes: BTreeMap::new(),
            delay: None,
        };
        self.lock().send(queue, message, clock::now())
    }

    /// Up to `max` messages, as soon as there is one, waiting at most `wait`. Each is hidden for `visibility`, or
    /// for the queue's own timeout. A queue that does not exist gives none after `wait`, so that a poller need
    /// not care which is created first.
    pub async fn receive(
        &self,
        queue: &str,
        max: usize,
        wait: Duration,
        visibility: Option<Duration>,
    ) -> Vec<ReceivedMessage> {
        match self.try_receive(queue, max, Some(wait), visibility).await {
            Ok(messages) => messages,
            Err(error) => {
                tracing::debug!(queue, %error, "nothing to receive");
                tokio::time::sleep(wait).await;
                Vec::new()
            }
        }
    }

    /// As [`receive`](Self::receive); `wait: None` is the queue's own waiting time.
    ///
    /// # Errors
    /// There is no such queue, or it was deleted while this waited.
    pub async fn try_receive(
        &self,
        queue: &str,
        max: usize,
        wait: Option<Duration>,
        visibility: Option<Duration>,
    ) -> Result<Vec<ReceivedMessage>, SqsError> {
        let (changed, own_wait) = self.lock().waiting(queue)?;
        let deadline = Instant::now() + wait.unwrap_or(own_wait);
        loop {
            // Registered before looking, so that a message sent in between is not missed.
            let mut notified = std::pin::pin!(changed.notified());
            notified.as_mut().enable();
            let taken = self.lock().receive(queue, max, visibility, clock::now())?;
            if !taken.messages.is_empty() || Instant::now() >= deadline {
                return Ok(taken.messages);
            }
            let wake = taken
                .next_change_in
                .map_or(deadline, |next| deadline.min(Instant::now() + next));
            // Whichever comes first, the next look decides.
            let _ = tokio::time::timeout_at(wake, notified).await;
        }
    }

    /// Deletes a message that was received. A receipt that a later receive has replaced deletes nothing, as in AWS.
    pub fn delete(&self, queue: &str, receipt_handle: &str) -> Result<(), SqsError> {
        self.lock().delete(queue, receipt_handle, clock::now())
    }

    /// Hides a message in flight for this long from now; zero gives it back at once.
    pub fn change_visibility(
        &self,
        queue: &str,
        receipt_handle: &str,
        visibility: Duration,
    ) -> Result<(), SqsError> {
        self.lock()
            .change_visibility(queue, receipt_handle, visibility, clock::now())
    }

    /// How many messages the queue holds. All zero where there is no such queue.
    pub fn depth(&self, queue: &str) -> QueueDepth {
        self.lock().depth(queue, clock::now()).unwrap_or_default()
    }

    /// Deletes every message of the queue.
    pub fn purge(&self, queue: &str) -> Result<(), SqsError> {
        self.lock().purge(queue)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before anything can panic, so a poisoned lock holds a good state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
