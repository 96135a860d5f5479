//! The actions on messages: send, receive, delete, change visibility, one at a time and in batches.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    MAXIMUM_MESSAGE_BYTES, MessageAttribute, ReceivedMessage, Sqs, SqsError, clock,
    message::{NewMessage, md5_of_attributes, md5_of_body},
    server::name_of_url,
};

type Answer = Result<Value, SqsError>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Send {
    queue_url: String,
    #[serde(flatten)]
    message: Outgoing,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outgoing {
    #[serde(default)]
    message_body: String,
    delay_seconds: Option<i64>,
    #[serde(default)]
    message_attributes: BTreeMap<String, MessageAttribute>,
    #[serde(default)]
    message_system_attributes: BTreeMap<String, MessageAttribute>,
}

/// The entries of any batch.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Batch<T> {
    queue_url: String,
    #[serde(default = "Vec::new")]
    entries: Vec<Entry<T>>,
}

#[derive(Deserialize)]
struct Entry<T> {
    #[serde(rename = "Id")]
    id: String,
    #[serde(flatten)]
    content: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Receive {
    queue_url: String,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    /// The older name of `message_system_attribute_names`.
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    #[serde(default)]
    message_attribute_names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Held {
    receipt_handle: String,
    visibility_timeout: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OnHeld {
    queue_url: String,
    #[serde(flatten)]
    held: Held,
}

pub(super) fn send(sqs: &Sqs, request: Send) -> Answer {
    send_one(sqs, name_of_url(&request.queue_url)?, request.message)
}

pub(super) fn send_batch(sqs: &Sqs, request: Batch<SendEntry>) -> Answer {
    let sent = request
        .entries
        .iter()
        .map(|entry| entry.content.0.bytes())
        .sum();
    if sent > MAXIMUM_MESSAGE_BYTES {
        return Err(SqsError::BatchRequestTooLong { sent });
    }
    batch(sqs, request, |queue, SendEntry(message)| {
        send_one(sqs, queue, message)
    })
}

/// A message of a batch.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct SendEntry(Outgoing);

impl Outgoing {
    fn bytes(&self) -> usize {
        self.message_body.len()
    }
}

fn send_one(sqs: &Sqs, queue: &str, message: Outgoing) -> Answer {
    let delay = seconds("DelaySeconds", message.delay_seconds, 0..=900)?;
    let body_digest = md5_of_body(&message.message_body);
    let attributes_digest = md5_of_attributes(&message.message_attributes);
    let system_digest = md5_of_attributes(&message.message_system_attributes);
    let new = NewMessage {
        body: message.message_body,
        attributes: message.message_attributes,
        system_attributes: message.message_system_attributes,
        delay,
    };
    let id = sqs.lock().send(queue, new, clock::now())?;
    let mut answer = json!({ "MessageId": id, "MD5OfMessageBody": body_digest });
    if let Some(digest) = attributes_digest {
        answer["MD5OfMessageAttributes"] = json!(digest);
    }
    if let Some(digest) = system_digest {
        answer["MD5OfMessageSystemAttributes"] = json!(digest);
    }
    Ok(answer)
}

pub(super) async fn receive(sqs: &Sqs, request: Receive) -> Answer {
    let queue = name_of_url(&request.queue_url)?;
    let max = within(
        "MaxNumberOfMessages",
        request.max_number_of_messages,
        1..=10,
    )?;
    let wait = seconds("WaitTimeSeconds", request.wait_time_seconds, 0..=20)?;
    let visibility = seconds("VisibilityTimeout", request.visibility_timeout, 0..=43_200)?;
    let max = max.and_then(|max| usize::try_from(max).ok()).unwrap_or(1);
    let messages = sqs.try_receive(queue, max, wait, visibility).await?;
    let messages: Vec<Value> = messages
        .into_iter()
        .map(|message| render(message, &request))
        .collect();
    if messages.is_empty() {
        return Ok(json!({}));
    }
    Ok(json!({ "Messages": messages }))
}

fn render(message: ReceivedMessage, request: &Receive) -> Value {
    let mut rendered = json!({
        "MessageId": message.message_id,
        "ReceiptHandle": message.receipt_handle,
        "MD5OfBody": message.md5,
        "Body": message.body,
    });
    let system_names = [
        &request.attribute_names,
        &request.message_system_attribute_names,
    ];
    let system_wanted = |name: &str| {
        let mut names = system_names.into_iter().flatten();
        names.any(|wanted| wanted == "All" || wanted == name)
    };
    let mut system = message.attributes;
    system.retain(|name, _| system_wanted(name));
    if !system.is_empty() {
        rendered["Attributes"] = json!(system);
    }
    let wanted = |name: &str| {
        request.message_attribute_names.iter().any(|wanted| {
            wanted == "All"
                || wanted == name
                || wanted
                    .strip_suffix(".*")
                    .is_some_and(|prefix| name.starts_with(prefix))
        })
    };
    let mut attributes = message.message_attributes;
    attributes.retain(|name, _| wanted(name));
    if let Some(digest) = md5_of_attributes(&attributes) {
        rendered["MessageAttributes"] = json!(attributes);
        rendered["MD5OfMessageAttributes"] = json!(digest);
    }
    rendered
}

pub(super) fn delete(sqs: &Sqs, request: OnHeld) -> Answer {
    let queue = name_of_url(&request.queue_url)?;
    sqs.delete(queue, &request.held.receipt_handle)?;
    Ok(json!({}))
}

pub(super) fn delete_batch(sqs: &Sqs, request: Batch<Held>) -> Answer {
    batch(sqs, request, |queue, held| {
        sqs.delete(queue, &held.receipt_handle)?;
        Ok(json!({}))
    })
}

pub(super) fn change_visibility(sqs: &Sqs, request: OnHeld) -> Answer {
    change_one(sqs, name_of_url(&request.queue_url)?, &request.held)
}

pub(super) fn change_visibility_batch(sqs: &Sqs, request: Batch<Held>) -> Answer {
    batch(sqs, request, |queue, held| change_one(sqs, queue, &held))
}

fn change_one(sqs: &Sqs, queue: &str, held: &Held) -> Answer {
    let visibility = seconds("VisibilityTimeout", held.visibility_timeout, 0..=43_200)?
        .ok_or(SqsError::MissingParameter("VisibilityTimeout"))?;
    sqs.change_visibility(queue, &held.receipt_handle, visibility)?;
    Ok(json!({}))
}

/// Does each entry by itself: one that fails does not keep the others from being done.
fn batch<T>(sqs: &Sqs, request: Batch<T>, mut act: impl FnMut(&str, T) -> Answer) -> Answer {
    let queue = name_of_url(&request.queue_url)?;
    sqs.lock().queue(queue)?;
    check_entries(request.entries.iter().map(|entry| entry.id.as_str()))?;
    let mut successful = Vec::new();
    let mut failed = Vec::new();
    for Entry { id, content } in request.entries {
        match act(queue, content) {
            Ok(mut answer) => {
                answer["Id"] = json!(id);
                successful.push(answer);
            }
            Err(error) => {
                let name = error.wire_name();
                failed.push(json!({
                    "Id": id,
                    "Code": name.query,
                    "Message": error.to_string(),
                    "SenderFault": name.sender_fault,
                }));
            }
        }
    }
    let mut answer = json!({ "Successful": successful });
    if !failed.is_empty() {
        answer["Failed"] = json!(failed);
    }
    Ok(answer)
}

fn check_entries<'a>(ids: impl ExactSizeIterator<Item = &'a str>) -> Result<(), SqsError> {
    match ids.len() {
        0 => return Err(SqsError::EmptyBatchRequest),
        1..=10 => {}
        count => return Err(SqsError::TooManyEntriesInBatchRequest(count)),
    }
    let mut seen = BTreeSet::new();
    for id in ids {
        let allowed =
            |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
        if !(1..=80).contains(&id.len()) || !id.chars().all(allowed) {
            return Err(SqsError::InvalidBatchEntryId);
        }
        if !seen.insert(id) {
            return Err(SqsError::BatchEntryIdsNotDistinct(id.to_owned()));
        }
    }
    Ok(())
}

fn within(
    name: &str,
    value: Option<i64>,
    range: RangeInclusive<i64>,
) -> Result<Option<i64>, SqsError> {
    match value {
        Some(value) if !range.contains(&value) => Err(SqsError::InvalidParameterValue(format!(
            "Value {value} for parameter {name} is invalid. Reason: Must be between {} and {}, if provided.",
            range.start(),
            range.end(),
        ))),
        value => Ok(value),
    }
}

fn seconds(
    name: &str,
    value: Option<i64>,
    range: RangeInclusive<i64>,
) -> Result<Option<Duration>, SqsError> {
    let value = within(name, value, range)?;
    Ok(value.map(|value| Duration::from_secs(value.unsigned_abs())))
}
