//! The image's way into storage, and out of it again for a worker that takes over.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Clients, Deadline, WorkSettings};
use crate::{
    domain::{
        attempt::{Attempt, AttemptStatus},
        cost::{CostUsd, Usage},
        failure::Billed,
        run::Run,
    },
    openai::answer::ImageAnswer,
    postgres::DatabaseError,
    recording::{RecordingError, ending::StoredImage},
    supabase::storage::StorageError,
    telemetry,
};

/// Waits between tries of an upload, in milliseconds; the last is repeated.
const PAUSES_MS: [u64; 7] = [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000];

/// What travels with the object, so that the run can be recorded from storage alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectNotes {
    run_id: String,
    attempt: u32,
    model: String,
    width: u32,
    height: u32,
    bytes: u64,
    sha256: String,
    usage: Option<Usage>,
    cost_usd: Option<CostUsd>,
    request_id: Option<String>,
    http_status: Option<u16>,
    response: Value,
    #[serde(default)]
    reference_images: i32,
}

/// Notes for the object of an answer.
pub(super) fn metadata(run: &Run, made: &Attempt, answer: &ImageAnswer) -> ObjectNotes {
    ObjectNotes {
        run_id: run.id.to_string(),
        attempt: made.attempt,
        model: made.model.clone(),
        width: answer.inspected.width,
        height: answer.inspected.height,
        bytes: answer.image.len() as u64,
        sha256: answer.sha256_hex(),
        usage: made.usage,
        cost_usd: made.cost_usd,
        request_id: made.request_id.clone(),
        http_status: made.http_status,
        response: answer.metadata(),
        reference_images: i32::try_from(run.options.references.len()).unwrap_or(i32::MAX),
    }
}

/// Where a run's image goes: its path in the bucket and its public URL.
pub(super) fn place(clients: &Clients, run: &Run) -> (String, String) {
    let path = run.storage_path();
    let url = clients.storage.public_url(&path);
    (path, url)
}

/// The stored image that notes tell of.
pub fn stored_image(notes: &ObjectNotes, path: String, url: String) -> StoredImage {
    StoredImage {
        url,
        path,
        width: notes.width,
        height: notes.height,
        bytes: notes.bytes,
        sha256: notes.sha256.clone(),
        model: notes.model.clone(),
        cost: notes.cost_usd,
        response_metadata: notes.response.clone(),
        reference_images: notes.reference_images,
    }
}

/// Uploads an image, again and again while storage fails in a way that may pass: the bytes are paid for and nowhere else.
pub(super) async fn upload(
    clients: &Clients,
    settings: &WorkSettings,
    deadline: Deadline,
    path: &str,
    answer: &ImageAnswer,
    notes: &ObjectNotes,
) -> Result<(), StorageError> {
    let notes = serde_json::to_value(notes).unwrap_or(Value::Null);
    let give_up = Instant::now() + deadline.left(settings.upload_patience);
    let mut pauses = PAUSES_MS
        .iter()
        .copied()
        .chain(std::iter::repeat(15_000))
        .map(Duration::from_millis);
    loop {
        let error = match clients
            .storage
            .upload(
                path,
                answer.image.clone(),
                answer.inspected.format.content_type(),
                &notes,
            )
            .await
        {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        tracing::warn!(path, error = %telemetry::chain(&error), "an upload failed");
        if matches!(error, StorageError::MissingBucket)
            && let Err(error) = clients.storage.create_bucket().await
        {
            tracing::warn!(error = %telemetry::chain(&error), "the bucket is missing and could not be created");
        }
        let pause = pauses.next().unwrap_or_default();
        if !error.may_pass() || Instant::now() + pause >= give_up {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
    }
}

/// An image found in storage.
pub(super) struct Found {
    pub(super) image: StoredImage,
    notes: ObjectNotes,
}

impl Found {
    /// The attempt that made it, as it would have ended.
    pub(super) fn attempt(&self, attempt: Attempt, now: Timestamp) -> Attempt {
        Attempt {
            status: AttemptStatus::Succeeded,
            completed_at: attempt.completed_at.or(Some(now)),
            model: self.notes.model.clone(),
            http_status: self.notes.http_status,
            request_id: self.notes.request_id.clone(),
            billed: Billed::Yes,
            usage: self.notes.usage,
            cost_usd: self.notes.cost_usd,
            meta: self.notes.response.as_object().cloned(),
            ..attempt
        }
    }
}

/// Looks whether the run's image lies in storage.
///
/// # Errors
/// When storage cannot be asked: then nothing may be concluded, and the message must come again.
pub(super) async fn find(
    clients: &Clients,
    settings: &WorkSettings,
    deadline: Deadline,
    run: &Run,
) -> Result<Option<Found>, RecordingError> {
    let (path, url) = place(clients, run);
    let give_up = Instant::now() + deadline.left(settings.upload_patience);
    let mut pauses = PAUSES_MS
        .iter()
        .copied()
        .chain(std::iter::repeat(15_000))
        .map(Duration::from_millis);
    let info = loop {
        match clients.storage.info(&path).await {
            Ok(info) => break info,
            // A bucket that is not there holds no image.
            Err(StorageError::MissingBucket) => break None,
            Err(error) => {
                let pause = pauses.next().unwrap_or_default();
                if !error.may_pass() || Instant::now() + pause >= give_up {
                    return Err(RecordingError::Database(DatabaseError::Unavailable {
                        reason: "storage cannot be asked for the run's image",
                        source: Some(error.into()),
                    }));
                }
                tokio::time::sleep(pause).await;
            }
        }
    };
    let Some(info) = info else { return Ok(None) };
    match serde_json::from_value::<ObjectNotes>(info.metadata) {
        Ok(notes) if notes.run_id == run.id.to_string() => {
            let image = stored_image(&notes, path, url);
            Ok(Some(Found { image, notes }))
        }
        // Not an object of ours: the path is the run's own, so somebody put it there by hand.
        _ => Ok(None),
    }
}
