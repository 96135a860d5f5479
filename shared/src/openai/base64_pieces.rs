//! Base64 that comes in pieces, decoded and hashed at once.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};

/// Standard base64 in pieces. After the first wrong character the rest is ignored.
#[derive(Debug)]
pub(super) struct Base64Pieces {
    bytes: Vec<u8>,
    sha256: Sha256,
    /// Characters of a group of four that is not complete.
    pending: [u8; 4],
    pending_len: usize,
    padded: bool,
    broken: bool,
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Base64Pieces {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
            sha256: Sha256::new(),
            pending: [0; 4],
            pending_len: 0,
            padded: false,
            broken: false,
        }
    }

    /// Bytes decoded so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn push(&mut self, text: &[u8]) {
        if text.is_empty() || self.broken {
            return;
        }
        let mut text = text;
        if self.pending_len > 0 {
            let missing = (4 - self.pending_len).min(text.len());
            let (head, rest) = text.split_at(missing);
            self.pending[self.pending_len..self.pending_len + missing].copy_from_slice(head);
            self.pending_len += missing;
            text = rest;
            if self.pending_len < 4 {
                return;
            }
            self.pending_len = 0;
            let group = self.pending;
            self.decode(&group);
        }
        let (groups, rest) = text.split_at(text.len() / 4 * 4);
        self.decode(groups);
        self.pending[..rest.len()].copy_from_slice(rest);
        self.pending_len = rest.len();
    }

    /// Decodes characters in groups of four; the last group of all may be shorter.
    fn decode(&mut self, groups: &[u8]) {
        if groups.is_empty() || self.broken {
            return;
        }
        if self.padded {
            self.broken = true;
            return;
        }
        let start = self.bytes.len();
        let most = groups.len().div_ceil(4) * 3;
        self.make_room(most);
        self.bytes.resize(start + most, 0);
        match BASE64.decode_slice(groups, &mut self.bytes[start..]) {
            Ok(length) => {
                self.bytes.truncate(start + length);
                self.sha256.update(&self.bytes[start..]);
                self.padded = groups.ends_with(b"=");
            }
            Err(_) => {
                self.bytes.truncate(start);
                self.broken = true;
            }
        }
    }

    /// Grows by a quarter instead of doubling: the answer may be most of the worker's memory.
    fn make_room(&mut self, more: usize) {
        const LEAST: usize = 256 << 10;
        if self.bytes.capacity() - self.bytes.len() < more {
            self.bytes
                .reserve_exact(more.max(self.bytes.len() / 4).max(LEAST));
        }
    }

    /// The bytes, their SHA-256, and whether the text was base64 to its end.
    pub(super) fn finish(mut self) -> (Vec<u8>, [u8; 32], bool) {
        let last = self.pending;
        self.decode(&last[..self.pending_len]);
        (self.bytes, self.sha256.finalize().into(), !self.broken)
    }
}
