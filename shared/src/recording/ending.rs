//! The end of a run, with its image or without.

use serde_json::{Value, json};
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

use super::{RecordingError, lease::Lease, transition::transition};
use crate::{
    domain::{
        cost::CostUsd,
        event::{self, Event},
        id::ImageId,
        model::PRICE_VERSION,
        run::Run,
        step::Ending,
    },
    postgres::Database,
};

/// An image that lies in storage, about to be recorded.
#[derive(Clone, Debug)]
pub struct StoredImage {
    /// Its public URL.
    pub url: String,
    /// Its path in the bucket.
    pub path: String,
    /// Width in pixels, as decoded.
    pub width: u32,
    /// Height in pixels, as decoded.
    pub height: u32,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes, in hex.
    pub sha256: String,
    /// The model that made it.
    pub model: String,
    /// What the call that made it cost; none where the price is not known.
    pub cost: Option<CostUsd>,
    /// What the vendor said beside the image.
    pub response_metadata: Value,
    /// How many reference images went with the request.
    pub reference_images: i32,
}

/// The version of the price table, on runs that were or may have been charged.
fn price_version(run: &Run) -> Option<&'static str> {
    run.may_be_billed().then_some(PRICE_VERSION)
}

/// What the run's attempts cost together; none when any charged one has no known price.
fn total_cost(run: &Run) -> Option<CostUsd> {
    let billed = || {
        run.attempts
            .iter()
            .filter(|attempt| attempt.billed != crate::domain::failure::Billed::No)
    };
    if billed().next().is_none() {
        return Some(CostUsd::ZERO);
    }
    billed()
        .map(|attempt| attempt.cost_usd.map(CostUsd::nanos))
        .sum::<Option<u64>>()
        .map(CostUsd::from_nanos)
}

/// Ends a run with its image: the row, the record of the image and the event, all or nothing. `run.attempts` must hold the outcome.
///
/// # Errors
/// [`RecordingError`]: the image stays in storage, from where the next worker records it.
pub async fn succeed(
    database: &Database,
    lease: &mut Lease,
    run: &mut Run,
    image: &StoredImage,
) -> Result<Event, RecordingError> {
    let image_id = ImageId(Uuid::new_v4());
    let draft = event::succeeded(run.id, image_id, &image.url);
    let (width, height) = (
        i32::try_from(image.width).ok(),
        i32::try_from(image.height).ok(),
    );
    let bytes = i64::try_from(image.bytes).ok();
    let image_cost = image.cost.map(|cost| cost.to_string());
    let run_cost = total_cost(run).map(|cost| cost.to_string());
    let rest: crate::postgres::Params<'_> = &[
        (&image_id.0, Type::UUID),
        (&image.url, Type::TEXT),
        (&image.path, Type::TEXT),
        (&width, Type::INT4),
        (&height, Type::INT4),
        (&bytes, Type::INT8),
        (&image.sha256, Type::TEXT),
        (&image_cost, Type::TEXT),
        (&run_cost, Type::TEXT),
        (&price_version(run), Type::TEXT),
        (&image.response_metadata, Type::JSONB),
        (&image.model, Type::TEXT),
        (&run.options.unique_visual_elements, Type::JSONB),
        (&image.reference_images, Type::INT4),
        (&Json(&run.attempts), Type::JSONB),
    ];
    let event = transition(database, lease, include_str!("succeed.sql"), &draft, rest).await?;
    run.image_id = Some(image_id);
    run.image_url = Some(image.url.clone());
    Ok(event)
}

/// Ends a run without an image. Where nothing was, or may have been, charged, its place in the quota and its idempotency key are freed.
///
/// # Errors
/// [`RecordingError`]: the run then stays as it is for the next worker or the sweep.
pub async fn fail(
    database: &Database,
    lease: &mut Lease,
    run: &Run,
    ending: &Ending,
) -> Result<Event, RecordingError> {
    let draft = event::failed(run.id, &ending.code, &ending.message);
    let status = if ending.canceled {
        "canceled"
    } else {
        "failed"
    };
    let mut meta =
        json!({"class": ending.class.as_str(), "retryable": ending.class.may_help_later()});
    if let (Some(fields), Some(last)) = (
        meta.as_object_mut(),
        run.attempts.last().and_then(|last| last.meta.as_ref()),
    ) {
        for (name, value) in last {
            fields.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    let free = !run.may_be_billed();
    let run_cost = total_cost(run).map(|cost| cost.to_string());
    let rest: crate::postgres::Params<'_> = &[
        (&status, Type::TEXT),
        (&ending.code, Type::TEXT),
        (&ending.message, Type::TEXT),
        (&meta, Type::JSONB),
        (&free, Type::BOOL),
        (&run_cost, Type::TEXT),
        (&price_version(run), Type::TEXT),
        (&Json(&run.attempts), Type::JSONB),
    ];
    transition(database, lease, include_str!("fail.sql"), &draft, rest).await
}
