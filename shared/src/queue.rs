//! The queue between accepting a run and working on it, and the one for what could not be worked on.
//!
//! The SDK comes without aws-config (in a Lambda the credentials are in the environment) and without an HTTP stack of
//! its own: it speaks through the one that the other vendors use.

mod connector;
mod error;

use std::sync::OnceLock;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, SharedHttpClient};
use aws_sdk_sqs::types::{
    MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use secrecy::{ExposeSecret, SecretString};

pub use error::QueueError;

use connector::Connector;

/// What SQS takes at once.
const LARGEST_BATCH: usize = 10;
/// The longest that SQS lets a receiver wait.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// The longest that SQS holds a message back.
const LONGEST_DELAY: Duration = Duration::from_secs(900);
/// A send that fails twice is left to the sweep; its caller waits meanwhile.
const ATTEMPTS: u32 = 2;
/// Before the second attempt, times a random share; the SDK's own second is long for a waiting caller.
const FIRST_PAUSE: Duration = Duration::from_millis(150);
/// The message attribute that carries the trace: W3C's name.
pub const TRACE_PARENT: &str = "traceparent";

/// Where the queue is, and as whom it is used. In a Lambda all but the first come from AWS's own variables.
#[derive(Debug)]
pub struct QueueOptions {
    /// Where runs are sent.
    pub queue_url: String,
    /// `AWS_REGION`
    pub region: String,
    /// `AWS_ENDPOINT_URL_SQS`: another endpoint than the region's.
    pub endpoint_url: Option<String>,
    /// `AWS_ACCESS_KEY_ID`
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret_access_key: SecretString,
    /// `AWS_SESSION_TOKEN`
    pub session_token: Option<SecretString>,
    /// For one attempt at one call; waiting for messages comes on top.
    pub timeout: Duration,
}

/// A queue. Builds its client when first used.
#[derive(Debug)]
pub struct Queue {
    options: QueueOptions,
    client: OnceLock<Client>,
}

/// A message to be sent with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// What it says.
    pub body: String,
    /// The trace that it belongs to.
    pub trace_parent: Option<String>,
}

/// How sending many went. The order is that of the messages given.
#[derive(Debug, Default)]
pub struct SentMany {
    /// Indices of those that were not sent.
    pub failed: Vec<usize>,
    /// Why not, of the first.
    pub error: Option<QueueError>,
}

/// A message in hand until its visibility ends or it is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// The queue's id of it.
    pub id: String,
    /// As it was sent.
    pub body: String,
    /// What deletes it.
    pub receipt: String,
    /// How many times it has been received, this one included.
    pub receive_count: u32,
}

impl Queue {
    /// Notes the settings; connects to nothing.
    #[must_use]
    pub fn new(options: QueueOptions) -> Self {
        Self {
            options,
            client: OnceLock::new(),
        }
    }

    /// Sends one message.
    ///
    /// # Errors
    /// [`QueueError`]; after `Unavailable` it may have been sent all the same.
    pub async fn send(&self, body: &str, trace_parent: Option<&str>) -> Result<(), QueueError> {
        self.send_later(body, trace_parent, Duration::ZERO).await
    }

    /// Sends one message that no worker sees before a delay has passed; at most the 15 minutes that SQS allows.
    ///
    /// # Errors
    /// [`QueueError`]; after `Unavailable` it may have been sent all the same.
    pub async fn send_later(
        &self,
        body: &str,
        trace_parent: Option<&str>,
        delay: Duration,
    ) -> Result<(), QueueError> {
        let delay = i32::try_from(delay.min(LONGEST_DELAY).as_secs()).unwrap_or(0);
        let mut request = self
            .client()
            .send_message()
            .queue_url(&self.options.queue_url)
            .message_body(body);
        if delay > 0 {
            request = request.delay_seconds(delay);
        }
        if let Some(trace_parent) = trace_parent {
            request = request.message_attributes(TRACE_PARENT, text_attribute(trace_parent)?);
        }
        request.send().await.map_err(error::from_sdk)?;
        Ok(())
    }

    /// Sends many messages, ten a call. The first call that fails as a whole is the last.
    pub async fn send_many(&self, messages: &[Outgoing]) -> SentMany {
        let mut outcome = SentMany::default();
        for (number, batch) in messages.chunks(LARGEST_BATCH).enumerate() {
            let first = number * LARGEST_BATCH;
            match self.send_batch(batch).await {
                Ok(failed) => {
                    for (index, error) in failed {
                        outcome.failed.push(first + index);
                        outcome.error.get_or_insert(error);
                    }
                }
                Err(error) => {
                    outcome.failed.extend(first..messages.len());
                    outcome.error.get_or_insert(error);
                    break;
                }
            }
        }
        outcome
    }

    /// Sends at most ten; gives those that SQS did not take.
    async fn send_batch(
        &self,
        messages: &[Outgoing],
    ) -> Result<Vec<(usize, QueueError)>, QueueError> {
        let entries = messages
            .iter()
            .enumerate()
            .map(|(index, message)| batch_entry(index, message))
            .collect::<Result<Vec<_>, _>>()?;
        let answer = self
            .client()
            .send_message_batch()
            .queue_url(&self.options.queue_url)
            .set_entries(Some(entries))
            .send()
            .await
            .map_err(error::from_sdk)?;
        let mut failed: Vec<(usize, QueueError)> = answer
            .failed
            .iter()
            .filter_map(|entry| Some((entry.id().parse().ok()?, error::from_entry(entry))))
            .collect();
        failed.sort_by_key(|(index, _)| *index);
        Ok(failed)
    }

    /// Takes at most `max` (ten at most) messages from any queue, waiting up to `wait` (20 s at most) for the first.
    ///
    /// # Errors
    /// [`QueueError`]
    pub async fn receive(
        &self,
        queue_url: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<ReceivedMessage>, QueueError> {
        let wait = wait.min(LONGEST_WAIT);
        let patience = TimeoutConfig::builder()
            .operation_attempt_timeout(self.options.timeout + wait)
            .build();
        let answer = self
            .client()
            .receive_message()
            .queue_url(queue_url)
            .max_number_of_messages(i32::try_from(max.clamp(1, LARGEST_BATCH)).unwrap_or(1))
            .wait_time_seconds(i32::try_from(wait.as_secs()).unwrap_or(0))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .customize()
            .config_override(aws_sdk_sqs::Config::builder().timeout_config(patience))
            .send()
            .await
            .map_err(error::from_sdk)?;
        Ok(answer
            .messages
            .unwrap_or_default()
            .into_iter()
            .map(received)
            .collect())
    }

    /// Deletes a received message from any queue.
    ///
    /// # Errors
    /// [`QueueError`]
    pub async fn delete(&self, queue_url: &str, receipt: &str) -> Result<(), QueueError> {
        self.client()
            .delete_message()
            .queue_url(queue_url)
            .receipt_handle(receipt)
            .send()
            .await
            .map_err(error::from_sdk)?;
        Ok(())
    }

    /// About how many messages wait in any queue.
    ///
    /// # Errors
    /// [`QueueError`]
    pub async fn depth(&self, queue_url: &str) -> Result<u64, QueueError> {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let answer = self
            .client()
            .get_queue_attributes()
            .queue_url(queue_url)
            .attribute_names(name.clone())
            .send()
            .await
            .map_err(error::from_sdk)?;
        let depth = answer
            .attributes
            .and_then(|attributes| attributes.get(&name)?.parse().ok());
        Ok(depth.unwrap_or_default())
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| build_client(&self.options))
    }
}

fn build_client(options: &QueueOptions) -> Client {
    let credentials = Credentials::new(
        options.access_key_id.clone(),
        options.secret_access_key.expose_secret(),
        options
            .session_token
            .as_ref()
            .map(|token| token.expose_secret().to_owned()),
        None,
        "env",
    );
    let mut config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(options.region.clone()))
        .credentials_provider(credentials)
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(ATTEMPTS)
                .with_initial_backoff(FIRST_PAUSE),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(options.timeout)
                .build(),
        )
        .http_client(SharedHttpClient::new(Connector::default()));
    config.set_endpoint_url(options.endpoint_url.clone());
    Client::from_conf(config.build())
}

fn batch_entry(
    index: usize,
    message: &Outgoing,
) -> Result<SendMessageBatchRequestEntry, QueueError> {
    let mut entry = SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_body(&message.body);
    if let Some(trace_parent) = &message.trace_parent {
        entry = entry.message_attributes(TRACE_PARENT, text_attribute(trace_parent)?);
    }
    entry.build().map_err(error::unbuildable)
}

fn text_attribute(value: &str) -> Result<MessageAttributeValue, QueueError> {
    MessageAttributeValue::builder()
        .data_type("String")
        .string_value(value)
        .build()
        .map_err(error::unbuildable)
}

fn received(message: aws_sdk_sqs::types::Message) -> ReceivedMessage {
    let receive_count = message
        .attributes
        .as_ref()
        .and_then(|attributes| {
            attributes
                .get(&MessageSystemAttributeName::ApproximateReceiveCount)?
                .parse()
                .ok()
        })
        .unwrap_or(1);
    ReceivedMessage {
        id: message.message_id.unwrap_or_default(),
        body: message.body.unwrap_or_default(),
        receipt: message.receipt_handle.unwrap_or_default(),
        receive_count,
    }
}

#[cfg(test)]
mod tests;
