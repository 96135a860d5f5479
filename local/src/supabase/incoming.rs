//! Bytes on their way in, and out again.

use std::io;
use std::path::Path;

use axum::body::{Body, Bytes};
use futures_util::stream;
use sha2::{Digest, Sha256};
use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

/// Bytes sent at a time.
const STEP: usize = 64 * 1024;

/// A file that is not in its place yet, and goes away when this is dropped.
#[derive(Debug)]
pub(super) struct Incoming {
    file: File,
    path: TempPath,
    digest: Sha256,
    size: u64,
}

impl Incoming {
    pub(super) fn new_in(directory: &Path) -> io::Result<Incoming> {
        let (file, path) = tempfile::NamedTempFile::new_in(directory)?.into_parts();
        Ok(Incoming {
            file: File::from_std(file),
            path,
            digest: Sha256::new(),
            size: 0,
        })
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.size += bytes.len() as u64;
        self.file.write_all(bytes).await
    }

    /// Ends the writing; only then may the file be put in its place.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.file.flush().await
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The whole SHA-256, in hexadecimal.
    pub(super) fn sha256(&self) -> String {
        crate::script::calls::hex(&self.digest.clone().finalize())
    }

    /// Moves the file to its place; one that is there already is replaced at once.
    pub(super) fn persist(self, place: &Path) -> io::Result<()> {
        self.path.persist(place).map_err(|error| error.error)
    }
}

/// A part of a file as a response body: read while it is sent.
pub(super) async fn read(file: &Path, start: u64, length: u64) -> io::Result<Body> {
    let mut file = File::open(file).await?;
    if start > 0 {
        file.seek(io::SeekFrom::Start(start)).await?;
    }
    let parts = stream::try_unfold(file.take(length), |mut rest| async move {
        let mut part = Vec::with_capacity(STEP);
        while part.len() < STEP {
            if rest.read_buf(&mut part).await? == 0 {
                break;
            }
        }
        let next = (!part.is_empty()).then(|| (Bytes::from(part), rest));
        Ok::<_, io::Error>(next)
    });
    Ok(Body::from_stream(parts))
}
