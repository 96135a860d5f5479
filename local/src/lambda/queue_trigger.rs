//! The event source mapping: takes messages out of a queue and invokes a function with them, batch by batch.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{Lambda, Outcome, REGION};
use crate::sqs::{ReceivedMessage, Sqs, queue_arn};

/// Invocations at once where the template sets no limit. AWS goes to a thousand.
const DEFAULT_CONCURRENCY: usize = 100;

/// How long one look into the queue waits.
const POLL_WAIT: Duration = Duration::from_secs(5);

/// What goes from where to whom.
#[derive(Clone, Debug)]
pub struct QueueTriggerOptions {
    /// The queue's name.
    pub queue: String,
    /// The function's name.
    pub function: String,
    /// At most so many messages an invocation.
    pub batch_size: usize,
    /// How long to wait for a batch to fill.
    pub batching_window: Duration,
    /// At most so many invocations at once.
    pub maximum_concurrency: Option<usize>,
    /// The function says which messages failed; else one failure fails the batch.
    pub reports_failures: bool,
}

/// A running event source mapping.
#[derive(Debug)]
pub struct QueueTrigger {
    shared: Arc<Shared>,
    polling: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    lambda: Lambda,
    sqs: Sqs,
    options: QueueTriggerOptions,
    /// Receipts of the messages that invocations have in hand.
    in_hand: Mutex<BTreeSet<String>>,
}

impl QueueTrigger {
    /// Begins to take messages, until [`stop`](Self::stop) or the handle's end.
    #[must_use]
    pub fn start(lambda: Lambda, sqs: Sqs, options: QueueTriggerOptions) -> Self {
        let shared = Arc::new(Shared {
            lambda,
            sqs,
            options,
            in_hand: Mutex::default(),
        });
        let polling = tokio::spawn(poll(Arc::clone(&shared)));
        Self { shared, polling }
    }

    /// Takes no more messages, and makes those in hand visible at once: nobody works on them from now on.
    pub fn stop(&self) {
        self.polling.abort();
        let receipts = std::mem::take(&mut *self.shared.in_hand());
        for receipt in receipts {
            let queue = &self.shared.options.queue;
            let given_back = self
                .shared
                .sqs
                .change_visibility(queue, &receipt, Duration::ZERO);
            if let Err(error) = given_back {
                tracing::debug!(%error, "a message was gone before it could be given back");
            }
        }
    }
}

impl Drop for QueueTrigger {
    fn drop(&mut self) {
        self.polling.abort();
    }
}

impl Shared {
    fn in_hand(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn poll(shared: Arc<Shared>) {
    let concurrency = shared.options.maximum_concurrency;
    let slots = Arc::new(Semaphore::new(concurrency.unwrap_or(DEFAULT_CONCURRENCY)));
    loop {
        // Messages are taken only when an invocation may have them: meanwhile they stay visible.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let batch = receive_batch(&shared).await;
        if batch.is_empty() {
            continue;
        }
        shared
            .in_hand()
            .extend(batch.iter().map(|message| message.receipt_handle.clone()));
        tokio::spawn(work_on(Arc::clone(&shared), batch, slot));
    }
}

async fn receive_batch(shared: &Shared) -> Vec<ReceivedMessage> {
    let options = &shared.options;
    let size = options.batch_size.max(1);
    let receive = |max, wait| shared.sqs.receive(&options.queue, max, wait, None);
    let mut batch = receive(size, POLL_WAIT).await;
    if batch.is_empty() || options.batching_window.is_zero() {
        return batch;
    }
    let deadline = Instant::now() + options.batching_window;
    while batch.len() < size {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        batch.extend(receive(size - batch.len(), left).await);
    }
    batch
}

async fn work_on(shared: Arc<Shared>, batch: Vec<ReceivedMessage>, slot: OwnedSemaphorePermit) {
    let options = &shared.options;
    let event = event(&options.queue, &batch).to_string();
    let invoked = shared.lambda.invoke(&options.function, event.into()).await;
    let done = match invoked {
        Ok(Outcome::Payload(payload)) => succeeded(&batch, &payload, options.reports_failures),
        Ok(Outcome::Stream(stream)) => match stream.collect().await {
            Ok(payload) => succeeded(&batch, &payload, options.reports_failures),
            Err(_) => Vec::new(),
        },
        Ok(Outcome::Failure(failure)) => {
            tracing::warn!(
                function = options.function,
                error = failure.message(),
                "a batch failed; its messages come back when their visibility ends"
            );
            Vec::new()
        }
        Err(error) => {
            tracing::error!(%error, "a queue feeds a function that is not there");
            Vec::new()
        }
    };
    for message in done {
        let deleted = shared.sqs.delete(&options.queue, &message.receipt_handle);
        if let Err(error) = deleted {
            tracing::warn!(%error, "a message that was worked on could not be deleted");
        }
    }
    let mut in_hand = shared.in_hand();
    for message in &batch {
        in_hand.remove(&message.receipt_handle);
    }
    drop(slot);
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchResponse {
    batch_item_failures: Option<Vec<BatchItemFailure>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchItemFailure {
    item_identifier: Option<String>,
}

/// The messages that may be deleted. An answer that cannot be understood, or that names a message of no batch, fails
/// them all.
/// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting>
fn succeeded<'a>(
    batch: &'a [ReceivedMessage],
    payload: &Bytes,
    reports_failures: bool,
) -> Vec<&'a ReceivedMessage> {
    if !reports_failures {
        return batch.iter().collect();
    }
    let answer: Option<BatchResponse> = match payload.as_ref() {
        b"" => None,
        payload => match serde_json::from_slice(payload) {
            Ok(answer) => answer,
            Err(_) => return Vec::new(),
        },
    };
    let failures = answer.unwrap_or_default().batch_item_failures;
    let mut failed = BTreeSet::new();
    for failure in failures.unwrap_or_default() {
        let known = failure
            .item_identifier
            .filter(|id| batch.iter().any(|message| message.message_id == *id));
        let Some(known) = known else {
            return Vec::new();
        };
        failed.insert(known);
    }
    batch
        .iter()
        .filter(|message| !failed.contains(&message.message_id))
        .collect()
}

fn event(queue: &str, batch: &[ReceivedMessage]) -> Value {
    let record = |message: &ReceivedMessage| {
        json!({
            "messageId": message.message_id,
            "receiptHandle": message.receipt_handle,
            "body": message.body,
            "attributes": message.attributes,
            "messageAttributes": message_attributes(message),
            "md5OfBody": message.md5,
            "eventSource": "aws:sqs",
            "eventSourceARN": queue_arn(queue),
            "awsRegion": REGION,
        })
    };
    json!({"Records": batch.iter().map(record).collect::<Vec<_>>()})
}

/// In an event the names begin in lower case, other than on SQS' own wire.
fn message_attributes(message: &ReceivedMessage) -> BTreeMap<&str, Value> {
    let attributes = message.message_attributes.iter();
    attributes
        .map(|(name, attribute)| {
            let mut value = json!({
                "dataType": attribute.data_type,
                "stringListValues": [],
                "binaryListValues": [],
            });
            if let Some(text) = &attribute.string_value {
                value["stringValue"] = text.as_str().into();
            }
            if let Some(encoded) = &attribute.binary_value {
                value["binaryValue"] = encoded.as_str().into();
            }
            (name.as_str(), value)
        })
        .collect()
}
