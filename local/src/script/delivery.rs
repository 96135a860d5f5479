//! An answer on its way out: whole, slow, or cut off.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;

use super::{Drop, Entry};

/// Bytes of a picture that are encoded at a time; a multiple of 3, so that the pieces of base64 fit together.
const BASE64_STEP: usize = 48 * 1024;

/// How often something is sent when a body is slowed down.
const SLOW_STEP: Duration = Duration::from_millis(50);

/// How long a connection stays open after the last byte that shall still arrive: the server flushes what it has while
/// the body makes it wait.
const FLUSH_TIME: Duration = Duration::from_millis(30);

/// A body in pieces. A picture is kept as it is and encoded while it is sent.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    pieces: VecDeque<Piece>,
    cut_at: Option<usize>,
}

#[derive(Clone, Debug)]
enum Piece {
    Plain(Bytes),
    Base64(Bytes),
}

/// Put into a response's extensions to have the connection closed in place of the response.
#[derive(Clone, Copy, Debug)]
pub(super) struct CloseBeforeHeaders;

impl Payload {
    /// Adds bytes as they are.
    pub fn push(&mut self, bytes: impl Into<Bytes>) {
        self.pieces.push_back(Piece::Plain(bytes.into()));
    }

    /// Adds bytes that will be sent as base64.
    pub fn push_base64(&mut self, bytes: impl Into<Bytes>) {
        self.pieces.push_back(Piece::Base64(bytes.into()));
    }

    /// Leaves out all that comes after so many bytes.
    pub fn truncate(&mut self, length: usize) {
        self.cut_at = Some(length);
    }

    /// The length of what will be sent.
    pub fn len(&self) -> usize {
        let whole = self.pieces.iter().map(Piece::len).sum::<usize>();
        self.cut_at.map_or(whole, |cut_at| whole.min(cut_at))
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next part to send, of at most 64 KiB.
    fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.pieces.front_mut()? {
                Piece::Plain(bytes) | Piece::Base64(bytes) if bytes.is_empty() => {
                    self.pieces.pop_front();
                }
                Piece::Plain(bytes) => return Some(bytes.split_to(bytes.len().min(64 * 1024))),
                Piece::Base64(bytes) => {
                    return Some(
                        STANDARD
                            .encode(bytes.split_to(bytes.len().min(BASE64_STEP)))
                            .into(),
                    );
                }
            }
        }
    }
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Piece::Plain(bytes) => bytes.len(),
            Piece::Base64(bytes) => bytes.len().div_ceil(3) * 4,
        }
    }
}

impl<T: Into<Bytes>> From<T> for Payload {
    fn from(bytes: T) -> Payload {
        let mut payload = Payload::default();
        payload.push(bytes);
        payload
    }
}

/// Makes the HTTP response of an answer, with the entry's headers, its speed and its way to end. The response must be
/// sent by [`super::serve`], which alone can close a connection without a word.
pub fn deliver(
    entry: &Entry,
    status: StatusCode,
    headers: HeaderMap,
    payload: Payload,
) -> Response {
    let whole = payload.len();
    let sent = match entry.drop {
        None => whole,
        Some(Drop::MidBody) => whole / 2,
        Some(Drop::BeforeHeaders | Drop::AfterHeaders) => 0,
    };
    let mut response = Response::new(body(
        payload,
        sent,
        entry.drop.is_some(),
        entry.slow_bytes_per_s,
    ));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, whole.into());
    for (name, value) in &entry.headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    if entry.drop == Some(Drop::BeforeHeaders) {
        response.extensions_mut().insert(CloseBeforeHeaders);
    }
    response
}

/// Headers from pairs known when the program is built.
pub fn headers<const N: usize>(pairs: [(HeaderName, &'static str); N]) -> HeaderMap {
    pairs
        .into_iter()
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
        .collect()
}

struct Sending {
    payload: Payload,
    rest: Bytes,
    left: usize,
    then_break: bool,
    slow_bytes_per_s: Option<u64>,
}

fn body(payload: Payload, left: usize, then_break: bool, slow_bytes_per_s: Option<u64>) -> Body {
    let sending = Sending {
        payload,
        rest: Bytes::new(),
        left,
        then_break,
        slow_bytes_per_s,
    };
    Body::from_stream(stream::unfold(sending, |mut sending| async move {
        if sending.left == 0 {
            if !sending.then_break {
                return None;
            }
            sending.then_break = false;
            tokio::time::sleep(FLUSH_TIME).await;
            return Some((
                Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
                sending,
            ));
        }
        if sending.rest.is_empty() {
            sending.rest = sending.payload.next()?;
        }
        let mut size = sending.rest.len().min(sending.left);
        if let Some(rate) = sending.slow_bytes_per_s {
            let (step, pause) = slow_step(rate);
            size = size.min(step);
            tokio::time::sleep(pause).await;
        }
        let part = sending.rest.split_to(size);
        sending.left -= part.len();
        Some((Ok(part), sending))
    }))
}

/// How many bytes to send after which pause.
fn slow_step(bytes_per_s: u64) -> (usize, Duration) {
    let steps_per_s = 1000 / u64::try_from(SLOW_STEP.as_millis()).unwrap_or(1);
    if bytes_per_s < steps_per_s {
        return (
            1,
            Duration::from_secs(1) / u32::try_from(bytes_per_s.max(1)).unwrap_or(1),
        );
    }
    (
        usize::try_from(bytes_per_s / steps_per_s).unwrap_or(usize::MAX),
        SLOW_STEP,
    )
}
