//! The actions on queues: create, find, describe, change, empty, delete, and moving dead letters back.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Sqs, SqsError,
    attributes::{Attributes, name_of_arn},
    clock, queue_arn,
    server::{QueueUrls, name_of_url},
};

type Answer = Result<Value, SqsError>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    #[serde(default)]
    queue_name: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OnQueue {
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    #[serde(default)]
    queue_name_prefix: String,
    max_results: Option<usize>,
    /// The last name of the page before.
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Move {
    source_arn: String,
    destination_arn: Option<String>,
}

/// Creates a queue; one that exists already is answered when the attributes given are those that it has.
pub(super) fn create(sqs: &Sqs, urls: &QueueUrls, request: Named) -> Answer {
    let name = &request.queue_name;
    let mut state = sqs.lock();
    if let Some(queue) = state.queues.get(name) {
        let mut wanted = queue.attributes.clone();
        for (attribute, value) in &request.attributes {
            wanted.set(attribute, value)?;
            if wanted != queue.attributes {
                return Err(SqsError::QueueNameExists(attribute.clone()));
            }
        }
    } else {
        let attributes = Attributes::from_map(&request.attributes)?;
        check_dead_letter_queue(&state.queues, name, &attributes)?;
        state.put_queue(name, attributes, clock::now())?;
    }
    Ok(json!({ "QueueUrl": urls.url(name) }))
}

pub(super) fn delete(sqs: &Sqs, request: OnQueue) -> Answer {
    sqs.lock().delete_queue(name_of_url(&request.queue_url)?)?;
    Ok(json!({}))
}

pub(super) fn purge(sqs: &Sqs, request: OnQueue) -> Answer {
    sqs.purge(name_of_url(&request.queue_url)?)?;
    Ok(json!({}))
}

pub(super) fn url(sqs: &Sqs, urls: &QueueUrls, request: Named) -> Answer {
    sqs.lock().queue(&request.queue_name)?;
    Ok(json!({ "QueueUrl": urls.url(&request.queue_name) }))
}

pub(super) fn list(sqs: &Sqs, urls: &QueueUrls, request: List) -> Value {
    let after = request.next_token.unwrap_or_default();
    let state = sqs.lock();
    let names = state
        .queues
        .keys()
        .filter(|name| name.starts_with(&request.queue_name_prefix) && **name > after);
    page("QueueUrls", urls, names, request.max_results)
}

pub(super) fn dead_letter_sources(
    sqs: &Sqs,
    urls: &QueueUrls,
    request: DeadLetterSources,
) -> Answer {
    let dead_letter_queue = name_of_url(&request.queue_url)?;
    let after = request.next_token.unwrap_or_default();
    let state = sqs.lock();
    state.queue(dead_letter_queue)?;
    let names = state.queues.iter().filter_map(|(name, queue)| {
        let redrive = queue.attributes.redrive.as_ref()?;
        (redrive.dead_letter_queue == dead_letter_queue && *name > after).then_some(name)
    });
    // The one list whose name begins with a small letter.
    Ok(page("queueUrls", urls, names, request.max_results))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeadLetterSources {
    queue_url: String,
    max_results: Option<usize>,
    next_token: Option<String>,
}

pub(super) fn attributes(sqs: &Sqs, request: OnQueue) -> Answer {
    let name = name_of_url(&request.queue_url)?;
    let mut state = sqs.lock();
    let depth = state.depth(name, clock::now())?;
    let queue = state.queue(name)?;
    let mut attributes = queue.attributes.to_map();
    for (attribute, value) in [
        ("ApproximateNumberOfMessages", depth.visible.to_string()),
        (
            "ApproximateNumberOfMessagesNotVisible",
            depth.in_flight.to_string(),
        ),
        (
            "ApproximateNumberOfMessagesDelayed",
            depth.delayed.to_string(),
        ),
        ("CreatedTimestamp", (queue.created_at / 1_000).to_string()),
        (
            "LastModifiedTimestamp",
            (queue.modified_at / 1_000).to_string(),
        ),
        ("QueueArn", queue_arn(name)),
    ] {
        attributes.insert(attribute.to_owned(), value);
    }
    let wanted = &request.attribute_names;
    if !wanted.iter().any(|wanted| wanted == "All") {
        attributes.retain(|attribute, _| wanted.contains(attribute));
    }
    if attributes.is_empty() {
        return Ok(json!({}));
    }
    Ok(json!({ "Attributes": attributes }))
}

pub(super) fn set_attributes(sqs: &Sqs, request: OnQueue) -> Answer {
    let name = name_of_url(&request.queue_url)?;
    let mut state = sqs.lock();
    let mut attributes = state.queue(name)?.attributes.clone();
    for (attribute, value) in &request.attributes {
        attributes.set(attribute, value)?;
    }
    check_dead_letter_queue(&state.queues, name, &attributes)?;
    state.put_queue(name, attributes, clock::now())?;
    Ok(json!({}))
}

/// Done at once: when this answers, the messages have moved.
pub(super) fn move_messages(sqs: &Sqs, request: Move) -> Answer {
    let source = name_of_arn(&request.source_arn);
    let destination = request.destination_arn.as_deref().map(name_of_arn);
    let mut state = sqs.lock();
    let source = source
        .filter(|source| state.queues.contains_key(*source))
        .ok_or(SqsError::ResourceNotFound("SourceArn"))?;
    let destination = match destination {
        None => None,
        Some(destination) => Some(
            destination
                .filter(|destination| state.queues.contains_key(*destination))
                .ok_or(SqsError::ResourceNotFound("DestinationArn"))?,
        ),
    };
    let moved = state.move_messages(source, destination, clock::now())?;
    tracing::info!(source, moved, "moved dead letters");
    Ok(json!({ "TaskHandle": Uuid::new_v4().to_string() }))
}

fn page<'a>(
    list: &str,
    urls: &QueueUrls,
    names: impl Iterator<Item = &'a String>,
    max_results: Option<usize>,
) -> Value {
    // 1,000 is also the most that AWS gives at once.
    let limit = max_results.unwrap_or(1_000).clamp(1, 1_000);
    let mut names: Vec<&String> = names.take(limit + 1).collect();
    let more = names.len() > limit;
    names.truncate(limit);
    let page: Vec<String> = names.iter().map(|name| urls.url(name)).collect();
    let mut answer = json!({ list: page });
    if let (true, Some(last)) = (more, names.last()) {
        answer["NextToken"] = json!(last);
    }
    answer
}

fn check_dead_letter_queue<T>(
    queues: &BTreeMap<String, T>,
    name: &str,
    attributes: &Attributes,
) -> Result<(), SqsError> {
    let Some(redrive) = &attributes.redrive else {
        return Ok(());
    };
    let target = &redrive.dead_letter_queue;
    if target == name || !queues.contains_key(target) {
        return Err(SqsError::InvalidParameterValue(
            "Value for parameter RedrivePolicy is invalid. Reason: Dead letter target does not exist."
                .to_owned(),
        ));
    }
    Ok(())
}
