//! Messages, their attributes, and the MD5 digests that clients check.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ACCOUNT, SqsError, clock::Millis, queue_arn};

/// An attribute that the sender attached, in its wire form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MessageAttribute {
    /// `String`, `Number` or `Binary`, perhaps with a label after a dot.
    pub data_type: String,
    /// The value of a string or number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
    /// The value of a binary attribute, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_value: Option<String>,
}

impl MessageAttribute {
    /// An attribute of type `String`.
    pub fn string(value: impl Into<String>) -> Self {
        Self {
            data_type: "String".to_owned(),
            string_value: Some(value.into()),
            binary_value: None,
        }
    }

    fn transport(&self) -> Option<(u8, Vec<u8>)> {
        let kind = self.data_type.split('.').next().unwrap_or_default();
        match (kind, &self.string_value, &self.binary_value) {
            ("String" | "Number", Some(text), None) if !text.is_empty() => {
                Some((1, text.clone().into_bytes()))
            }
            ("Binary", None, Some(encoded)) => {
                let bytes = BASE64_STANDARD.decode(encoded).ok()?;
                (!bytes.is_empty()).then_some((2, bytes))
            }
            _ => None,
        }
    }
}

/// A message in a receiver's hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// The id that sending it answered.
    pub message_id: String,
    /// What deletes it or changes its visibility.
    pub receipt_handle: String,
    /// The text as it was sent.
    pub body: String,
    /// The queue's own: `SentTimestamp`, `ApproximateReceiveCount`, `ApproximateFirstReceiveTimestamp`,
    /// `SenderId`, and `DeadLetterQueueSourceArn` for dead letters.
    pub attributes: BTreeMap<String, String>,
    /// The sender's.
    pub message_attributes: BTreeMap<String, MessageAttribute>,
    /// MD5 of the body, in hexadecimal.
    pub md5: String,
}

/// A message on its way in.
#[derive(Debug)]
pub(super) struct NewMessage {
    pub(super) body: String,
    pub(super) attributes: BTreeMap<String, MessageAttribute>,
    pub(super) system_attributes: BTreeMap<String, MessageAttribute>,
    pub(super) delay: Option<std::time::Duration>,
}

impl NewMessage {
    /// Body and attributes, as the limit counts them.
    pub(super) fn bytes(&self) -> usize {
        let attribute = |(name, value): (&String, &MessageAttribute)| {
            let value_bytes = value.transport().map_or(0, |(_, bytes)| bytes.len());
            name.len() + value.data_type.len() + value_bytes
        };
        self.body.len() + self.attributes.iter().map(attribute).sum::<usize>()
    }

    /// Refuses what AWS refuses: an empty or too long message, characters outside XML 1.0, odd attributes.
    pub(super) fn check(&self, maximum_bytes: usize) -> Result<(), SqsError> {
        if self.body.is_empty() {
            return Err(SqsError::MissingParameter("MessageBody"));
        }
        if self.bytes() > maximum_bytes {
            return Err(SqsError::InvalidParameterValue(format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {maximum_bytes} bytes."
            )));
        }
        if !self.body.chars().all(is_allowed) {
            return Err(SqsError::InvalidMessageContents);
        }
        if self.attributes.len() > 10 {
            return Err(SqsError::InvalidParameterValue(
                "Number of message attributes exceeds the allowed maximum of 10.".to_owned(),
            ));
        }
        for (name, value) in &self.attributes {
            if name.is_empty() || name.len() > 256 || value.transport().is_none() {
                return Err(SqsError::InvalidParameterValue(format!(
                    "The message attribute '{name}' must have a type of String, Number or Binary and a non-empty value of it."
                )));
            }
        }
        Ok(())
    }
}

/// A message in a queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) id: Uuid,
    pub(super) body: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) attributes: BTreeMap<String, MessageAttribute>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trace_header: Option<String>,
    pub(super) sent_at: Millis,
    /// Hidden until then.
    pub(super) visible_at: Millis,
    pub(super) receive_count: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first_received_at: Option<Millis>,
    /// The newest receipt, the only one that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) receipt: Option<Uuid>,
    /// The queue that gave this dead letter up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source_queue: Option<String>,
}

impl Message {
    pub(super) fn received(&self, receipt_handle: String) -> ReceivedMessage {
        let mut attributes = BTreeMap::from([
            ("SenderId".to_owned(), ACCOUNT.to_owned()),
            ("SentTimestamp".to_owned(), self.sent_at.to_string()),
            (
                "ApproximateReceiveCount".to_owned(),
                self.receive_count.to_string(),
            ),
        ]);
        if let Some(at) = self.first_received_at {
            attributes.insert(
                "ApproximateFirstReceiveTimestamp".to_owned(),
                at.to_string(),
            );
        }
        if let Some(source) = &self.source_queue {
            attributes.insert("DeadLetterQueueSourceArn".to_owned(), queue_arn(source));
        }
        if let Some(header) = &self.trace_header {
            attributes.insert("AWSTraceHeader".to_owned(), header.clone());
        }
        ReceivedMessage {
            message_id: self.id.to_string(),
            receipt_handle,
            md5: md5_of_body(&self.body),
            body: self.body.clone(),
            attributes,
            message_attributes: self.attributes.clone(),
        }
    }
}

pub(super) fn md5_of_body(body: &str) -> String {
    hexadecimal(&Md5::digest(body.as_bytes()))
}

/// The digest over attributes, `None` where there are none. The encoding is that of
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>:
/// sorted by name, every part with its length before it as four bytes, big-endian.
pub(super) fn md5_of_attributes(attributes: &BTreeMap<String, MessageAttribute>) -> Option<String> {
    if attributes.is_empty() {
        return None;
    }
    let mut encoded = Vec::new();
    for (name, attribute) in attributes {
        let (transport, value) = attribute.transport()?;
        append(&mut encoded, name.as_bytes());
        append(&mut encoded, attribute.data_type.as_bytes());
        encoded.push(transport);
        append(&mut encoded, &value);
    }
    Some(hexadecimal(&Md5::digest(&encoded)))
}

fn append(encoded: &mut Vec<u8>, part: &[u8]) {
    encoded.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    encoded.extend(part);
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF`
fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}
