//! A queue's settings, and their form on the wire: a map of strings.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ACCOUNT, MAXIMUM_MESSAGE_BYTES, SqsError, queue_arn};

/// What a queue is created with from Rust. The defaults are those of AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// The last part of the queue's URL.
    pub name: String,
    /// How long a received message is hidden.
    pub visibility_timeout: Duration,
    /// How long a message is kept.
    pub retention: Duration,
    /// How long a new message is hidden.
    pub delay: Duration,
    /// Where messages go that were received too often.
    pub redrive: Option<Redrive>,
}

impl QueueSettings {
    /// A queue as AWS makes it when nothing but the name is given: 30 s visibility, four days of retention.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            visibility_timeout: Duration::from_secs(30),
            retention: Duration::from_secs(345_600),
            delay: Duration::ZERO,
            redrive: None,
        }
    }
}

/// A redrive policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// The name of the queue for dead letters.
    pub dead_letter_queue: String,
    /// A message that was received this often and comes up again is moved there instead.
    pub max_receive_count: u32,
}

/// All settings of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) visibility_timeout: Duration,
    pub(super) retention: Duration,
    pub(super) delay: Duration,
    pub(super) receive_wait: Duration,
    pub(super) maximum_message_bytes: usize,
    pub(super) redrive: Option<Redrive>,
    /// Accepted and given back, without any effect here: policies, encryption.
    pub(super) kept: BTreeMap<String, String>,
}

const KEPT: [&str; 5] = [
    "Policy",
    "RedriveAllowPolicy",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "SqsManagedSseEnabled",
];

impl Default for Attributes {
    fn default() -> Self {
        Self::from(QueueSettings::new(String::new()))
    }
}

impl From<QueueSettings> for Attributes {
    fn from(settings: QueueSettings) -> Self {
        Self {
            visibility_timeout: settings.visibility_timeout,
            retention: settings.retention,
            delay: settings.delay,
            receive_wait: Duration::ZERO,
            maximum_message_bytes: MAXIMUM_MESSAGE_BYTES,
            redrive: settings.redrive,
            kept: BTreeMap::new(),
        }
    }
}

impl Attributes {
    /// Sets one attribute from its text. Ranges are those of `SetQueueAttributes`.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), SqsError> {
        let number = |range: std::ops::RangeInclusive<u64>| {
            value
                .parse::<u64>()
                .ok()
                .filter(|number| range.contains(number))
                .ok_or_else(|| SqsError::InvalidAttributeValue(name.to_owned()))
        };
        match name {
            "VisibilityTimeout" => {
                self.visibility_timeout = Duration::from_secs(number(0..=43_200)?)
            }
            "MessageRetentionPeriod" => {
                self.retention = Duration::from_secs(number(60..=1_209_600)?);
            }
            "DelaySeconds" => self.delay = Duration::from_secs(number(0..=900)?),
            "ReceiveMessageWaitTimeSeconds" => {
                self.receive_wait = Duration::from_secs(number(0..=20)?);
            }
            "MaximumMessageSize" => {
                let bytes = number(1_024..=MAXIMUM_MESSAGE_BYTES as u64)?;
                self.maximum_message_bytes =
                    usize::try_from(bytes).unwrap_or(MAXIMUM_MESSAGE_BYTES);
            }
            "RedrivePolicy" if value.is_empty() => self.redrive = None,
            "RedrivePolicy" => self.redrive = Some(parse_redrive(value)?),
            _ if KEPT.contains(&name) => {
                self.kept.insert(name.to_owned(), value.to_owned());
            }
            _ => return Err(SqsError::InvalidAttributeName(name.to_owned())),
        }
        Ok(())
    }

    /// The settings as the wire and the data file have them.
    pub(super) fn to_map(&self) -> BTreeMap<String, String> {
        let mut map = self.kept.clone();
        let mut put = |name: &str, value: String| map.insert(name.to_owned(), value);
        put(
            "VisibilityTimeout",
            self.visibility_timeout.as_secs().to_string(),
        );
        put(
            "MessageRetentionPeriod",
            self.retention.as_secs().to_string(),
        );
        put("DelaySeconds", self.delay.as_secs().to_string());
        put(
            "ReceiveMessageWaitTimeSeconds",
            self.receive_wait.as_secs().to_string(),
        );
        put("MaximumMessageSize", self.maximum_message_bytes.to_string());
        if let Some(redrive) = &self.redrive {
            let policy = json!({
                "deadLetterTargetArn": queue_arn(&redrive.dead_letter_queue),
                "maxReceiveCount": redrive.max_receive_count,
            });
            put("RedrivePolicy", policy.to_string());
        }
        map
    }

    pub(super) fn from_map(map: &BTreeMap<String, String>) -> Result<Self, SqsError> {
        let mut attributes = Self::default();
        for (name, value) in map {
            attributes.set(name, value)?;
        }
        Ok(attributes)
    }
}

/// The name in a queue's ARN, whatever its region.
pub(super) fn name_of_arn(arn: &str) -> Option<&str> {
    let mut parts = arn.split(':');
    let known = parts.next() == Some("arn") && parts.nth(1) == Some("sqs");
    let name = parts.nth(2).filter(|name| !name.is_empty())?;
    (known && parts.next().is_none()).then_some(name)
}

fn parse_redrive(policy: &str) -> Result<Redrive, SqsError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Policy {
        dead_letter_target_arn: String,
        max_receive_count: Value,
    }
    let invalid = |reason: &str| {
        SqsError::InvalidParameterValue(format!(
            "Value {policy} for parameter RedrivePolicy is invalid. Reason: {reason}."
        ))
    };
    let parsed: Policy = serde_json::from_str(policy)
        .map_err(|_| invalid("Redrive policy is not a valid JSON map"))?;
    let dead_letter_queue = name_of_arn(&parsed.dead_letter_target_arn)
        .ok_or_else(|| invalid(&format!("Invalid ARN in account {ACCOUNT}")))?
        .to_owned();
    // CloudFormation sends a number, the console and most scripts a string.
    let count = match &parsed.max_receive_count {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let max_receive_count = count
        .filter(|count| (1..=1_000).contains(count))
        .and_then(|count| u32::try_from(count).ok())
        .ok_or_else(|| invalid("Invalid value for maxReceiveCount: 1 to 1000"))?;
    Ok(Redrive {
        dead_letter_queue,
        max_receive_count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_survive_the_map() {
        let mut attributes = Attributes::default();
        for (name, value) in [
            ("VisibilityTimeout", "5400"),
            ("DelaySeconds", "3"),
            ("ReceiveMessageWaitTimeSeconds", "20"),
            ("MaximumMessageSize", "2048"),
            ("Policy", "{}"),
            (
                "RedrivePolicy",
                r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:1:dead","maxReceiveCount":"5"}"#,
            ),
        ] {
            attributes.set(name, value).unwrap();
        }
        assert_eq!(attributes.redrive.as_ref().unwrap().max_receive_count, 5);
        assert_eq!(
            Attributes::from_map(&attributes.to_map()).unwrap(),
            attributes
        );
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (name, value) in [
            ("VisibilityTimeout", "43201"),
            ("VisibilityTimeout", "-1"),
            ("MessageRetentionPeriod", "59"),
            ("DelaySeconds", "901"),
            ("ReceiveMessageWaitTimeSeconds", "21"),
            ("MaximumMessageSize", "1048577"),
            ("RedrivePolicy", "{}"),
            (
                "RedrivePolicy",
                r#"{"deadLetterTargetArn":"dead","maxReceiveCount":5}"#,
            ),
            (
                "RedrivePolicy",
                r#"{"deadLetterTargetArn":"arn:aws:sqs:r:1:dead","maxReceiveCount":0}"#,
            ),
            ("QueueArn", "x"),
        ] {
            assert!(
                Attributes::default().set(name, value).is_err(),
                "{name}={value}"
            );
        }
    }
}
