//! How an invocation ended.

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::Failure;

/// How an invocation ended, or, for a stream, began to end.
#[derive(Debug)]
pub enum Outcome {
    /// The function answered this.
    Payload(Bytes),
    /// The function is answering.
    Stream(ResponseStream),
    /// It did not answer.
    Failure(Failure),
}

/// An answer that is still being made.
#[derive(Debug)]
pub struct ResponseStream {
    pub(super) chunks: mpsc::Receiver<Result<Bytes, StreamBroken>>,
}

/// The function, or its process, broke off in the middle of its answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the function broke off its answer: {0}")]
pub struct StreamBroken(pub(super) String);

impl ResponseStream {
    /// The next piece of the answer, `None` at its end.
    pub async fn next(&mut self) -> Option<Result<Bytes, StreamBroken>> {
        self.chunks.recv().await
    }

    /// The pieces as a channel.
    #[must_use]
    pub fn into_chunks(self) -> mpsc::Receiver<Result<Bytes, StreamBroken>> {
        self.chunks
    }

    /// The whole answer.
    ///
    /// # Errors
    /// The function broke off.
    pub async fn collect(mut self) -> Result<Bytes, StreamBroken> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.next().await {
            whole.extend_from_slice(&chunk?);
        }
        Ok(whole.freeze())
    }
}
