//! The images that go with a run's calls: loaded before the first attempt is written down, so that what cannot be loaded costs nothing.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, future};

use super::{Clients, Maker};
use crate::{
    domain::{
        failure::FailureClass,
        prompt::with_fewer_references,
        run::{Run, RunOptions},
        sniff::{self, NotAnImage},
        source::{ImageSource, LeftOut, Reference},
        step::Ending,
    },
    fetching::{self, FetchError},
    openai::request::{MASK_LIMIT, MOST_SOURCE_IMAGES, SOURCE_IMAGE_LIMIT, SourceImage},
    supabase::storage::StorageError,
    telemetry,
};

/// All images of one run together, in bytes: a worker holds several runs at once.
const ALL_IMAGES_LIMIT: usize = 64_000_000;
/// Images that are loaded at once.
const AT_ONCE: usize = 4;
/// Waits before further tries of something that may pass, in milliseconds.
const PAUSES_MS: [u64; 2] = [400, 1_500];
/// Waits before further tries of our own storage, in milliseconds; the last is repeated as long as there is patience.
const STORAGE_PAUSES_MS: [u64; 5] = [250, 500, 1_000, 2_000, 4_000];

/// What was loaded.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// The images to edit, then the references.
    pub(super) images: Vec<SourceImage>,
    /// The mask.
    pub(super) mask: Option<Bytes>,
    /// References that could not be loaded.
    pub(super) left_out: Vec<LeftOut>,
}

/// Loads what the run names.
///
/// # Errors
/// How the run is to end where an image to edit, or the mask, cannot be loaded. References are left out instead.
pub(super) async fn load(maker: &Maker<'_>, run: &Run) -> Result<Loaded, Ending> {
    let RunOptions {
        sources,
        mask,
        references,
        ..
    } = &run.options;
    let mut loaded = Loaded::default();
    for (at, group) in sources.chunks(AT_ONCE).enumerate() {
        let loading = group.iter().map(|source| own(maker, Place::of(source)));
        for (index, image) in future::join_all(loading).await.into_iter().enumerate() {
            let number = at * AT_ONCE + index;
            let image = image.map_err(|error| error.ending(&name_of(sources, number)))?;
            loaded.images.push(image);
        }
        if loaded.bytes() > ALL_IMAGES_LIMIT {
            return Err(Unloadable::TooLarge.ending("images"));
        }
    }
    if let Some(mask) = mask {
        let name = if mask.image_id.is_some() {
            "mask_id"
        } else {
            "mask_url"
        };
        let image = own(maker, Place::of(mask)).await;
        let image = image.map_err(|error| error.ending(name))?;
        if image.bytes.len() >= MASK_LIMIT {
            return Err(Unloadable::TooLarge.ending(name));
        }
        loaded.mask = Some(image.bytes);
    }
    for group in references.chunks(AT_ONCE) {
        let loading = group.iter().map(|reference| {
            let place = Place {
                url: &reference.image_url,
                storage_path: reference.storage_path.as_deref(),
            };
            async move { (reference, try_again(maker.clients, &place).await) }
        });
        for (reference, image) in future::join_all(loading).await {
            loaded.take_reference(run, reference, image);
        }
    }
    Ok(loaded)
}

/// What a run with references is after some of them were left out: the row says what is sent.
pub(super) fn leave_out(run: &mut Run, left_out: &[LeftOut]) {
    let promised = run.options.references.len();
    let is_left_out =
        |reference: &Reference| left_out.iter().any(|out| out.reference == *reference);
    run.options
        .references
        .retain(|reference| !is_left_out(reference));
    run.options.references_left_out.extend_from_slice(left_out);
    let attached = run.options.references.len();
    run.resolved_prompt = with_fewer_references(&run.resolved_prompt, promised, attached);
}

impl Loaded {
    fn bytes(&self) -> usize {
        let mask = self.mask.as_ref().map_or(0, Bytes::len);
        mask + self
            .images
            .iter()
            .map(|image| image.bytes.len())
            .sum::<usize>()
    }

    fn take_reference(
        &mut self,
        run: &Run,
        reference: &Reference,
        image: Result<SourceImage, Unloadable>,
    ) {
        let image = image.and_then(|image| {
            let too_many = self.images.len() >= MOST_SOURCE_IMAGES;
            if too_many || self.bytes() + image.bytes.len() > ALL_IMAGES_LIMIT {
                return Err(Unloadable::NoRoom);
            }
            Ok(image)
        });
        match image {
            Ok(image) => self.images.push(image),
            Err(error) => {
                tracing::warn!(run_id = %run.id, reference = reference.id, error = %telemetry::chain(&error), "a reference image is left out");
                self.left_out.push(LeftOut {
                    reference: reference.clone(),
                    reason: error.to_string(),
                });
            }
        }
    }
}

/// How the request named an image.
fn name_of(sources: &[ImageSource], index: usize) -> String {
    match sources {
        [only] if only.image_id.is_some() => "image_id".to_owned(),
        [_] => "image_url".to_owned(),
        _ => format!("images[{index}]"),
    }
}

/// Where an image is.
#[derive(Clone, Copy)]
struct Place<'a> {
    url: &'a str,
    storage_path: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of(source: &'a ImageSource) -> Self {
        Self {
            url: &source.image_url,
            storage_path: source.storage_path.as_deref(),
        }
    }
}

/// Why an image was not loaded.
#[derive(Debug, thiserror::Error)]
enum Unloadable {
    #[error("{}", told(.0))]
    Fetch(#[source] FetchError),
    #[error("it is not in storage any more")]
    Gone,
    #[error("storage does not give it out")]
    Storage(#[source] StorageError),
    #[error("it is not a whole PNG, JPEG or WebP image")]
    NotAnImage(#[source] NotAnImage),
    #[error("it is too large")]
    TooLarge,
    #[error("there is no room for it beside the other images")]
    NoRoom,
}

/// A failed fetch for whoever wrote the URL.
fn told(error: &FetchError) -> String {
    match error {
        FetchError::Refused(refused) => format!("its URL is not followed: {refused}"),
        FetchError::NotAnImage(_) => "it is not a whole PNG, JPEG or WebP image".to_owned(),
        FetchError::TooLarge => format!("it is larger than {} bytes", fetching::FETCH_LIMIT),
        FetchError::Answered { status } => format!("its server answers with status {status}"),
        FetchError::NoAnswer(_) => "its server does not answer".to_owned(),
        FetchError::TooSlow => "its server does not answer in time".to_owned(),
    }
}

impl Unloadable {
    fn may_pass(&self) -> bool {
        match self {
            Self::Fetch(error) => error.may_pass(),
            Self::Storage(error) => error.may_pass(),
            Self::Gone | Self::NotAnImage(_) | Self::TooLarge | Self::NoRoom => false,
        }
    }

    /// How a run ends that cannot be made without this image. Only our own storage's trouble is not the request's fault.
    fn ending(&self, name: &str) -> Ending {
        let (code, class) = match self {
            Self::Fetch(FetchError::Refused(_)) => ("source_url_refused", FailureClass::Refused),
            Self::Fetch(FetchError::NoAnswer(_) | FetchError::TooSlow) => {
                ("source_unreachable", FailureClass::Refused)
            }
            Self::Fetch(FetchError::Answered { .. }) | Self::Gone => {
                ("source_not_found", FailureClass::Refused)
            }
            Self::Fetch(FetchError::NotAnImage(_)) | Self::NotAnImage(_) => {
                ("source_not_an_image", FailureClass::Refused)
            }
            Self::Fetch(FetchError::TooLarge) | Self::TooLarge | Self::NoRoom => {
                ("source_too_large", FailureClass::Refused)
            }
            Self::Storage(_) => ("source_storage_failed", FailureClass::NotAccepted),
        };
        Ending {
            canceled: false,
            code: code.to_owned(),
            message: format!("{name} cannot be used: {self}."),
            class,
        }
    }
}

/// Loads an image that the run cannot do without: our own storage is waited for as long as for an upload.
async fn own(maker: &Maker<'_>, place: Place<'_>) -> Result<SourceImage, Unloadable> {
    let patience = maker.deadline.left(maker.settings.upload_patience);
    let give_up = Instant::now() + patience;
    let mut pauses = STORAGE_PAUSES_MS
        .iter()
        .copied()
        .chain(std::iter::repeat(4_000));
    loop {
        let error = match try_again(maker.clients, &place).await {
            Ok(image) => return Ok(image),
            Err(error) => error,
        };
        let pause = Duration::from_millis(pauses.next().unwrap_or(4_000));
        let is_ours = matches!(&error, Unloadable::Storage(error) if error.may_pass());
        if !is_ours || Instant::now() + pause >= give_up {
            return Err(error);
        }
        tracing::warn!(error = %telemetry::chain(&error), "an image to edit cannot be read from storage, trying again");
        tokio::time::sleep(pause).await;
    }
}

/// Loads an image, with a few tries.
async fn try_again(clients: &Clients, place: &Place<'_>) -> Result<SourceImage, Unloadable> {
    for pause in PAUSES_MS {
        match once(clients, place).await {
            Err(error) if error.may_pass() => {
                tokio::time::sleep(Duration::from_millis(pause)).await
            }
            outcome => return outcome,
        }
    }
    once(clients, place).await
}

/// An image of our own bucket comes from storage itself, whatever its public URL leads through; any other is fetched.
async fn once(clients: &Clients, place: &Place<'_>) -> Result<SourceImage, Unloadable> {
    let path = match place.storage_path {
        Some(path) => Some(path.to_owned()),
        None => clients.storage.path_of_public_url(place.url),
    };
    let Some(path) = path else {
        let fetched = fetching::fetch(clients.reach, place.url).await;
        let fetched = fetched.map_err(Unloadable::Fetch)?;
        return Ok(SourceImage {
            bytes: fetched.bytes,
            format: fetched.inspected.format,
        });
    };
    let bytes = stored(clients, &path).await?;
    let inspected = sniff::inspect(&bytes).map_err(Unloadable::NotAnImage)?;
    Ok(SourceImage {
        bytes: bytes.into(),
        format: inspected.format,
    })
}

async fn stored(clients: &Clients, path: &str) -> Result<Vec<u8>, Unloadable> {
    let not_read = |error| match error {
        StorageError::NotFound | StorageError::Rejected(_) => Unloadable::Gone,
        error => Unloadable::Storage(error),
    };
    let stream = clients.storage.download(path).await.map_err(not_read)?;
    let mut stream = std::pin::pin!(stream);
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(not_read)?;
        if bytes.len() + piece.len() >= SOURCE_IMAGE_LIMIT {
            return Err(Unloadable::TooLarge);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}
