//! One direction of a TLS connection.

use super::key_log::Secret;
use super::protection::Protection;

/// Keys that may come into use, beside the one in use: early data, the handshake, what follows,
/// and a key update.
const MAX_CANDIDATES: usize = 4;

/// One direction.
#[derive(Default)]
pub(super) struct Side {
    /// Bytes of records that are not whole yet.
    pub buffer: Vec<u8>,
    /// Place of the first of them, as long as nothing is opened.
    pub start: u64,
    /// Bytes that are left of a record of which some are missing.
    pub pass: usize,
    /// The key in use, and those that may follow.
    pub candidates: Vec<Candidate>,
    /// The key that comes into use when its sender says so (up to TLS 1.2).
    pub pending: Option<Protection>,
    /// Handshake messages in the clear that are not whole yet.
    pub messages: Vec<u8>,
    /// Place of the next byte inside TLS.
    pub at: u64,
    /// A record was opened.
    pub opened: bool,
    /// Records in a row that were not opened.
    pub failed: u32,
    /// Where the next record starts is not known.
    pub lost: bool,
}

/// A key.
pub(super) struct Candidate {
    pub protection: Protection,
    /// What the next key is made from (TLS 1.3).
    pub secret: Option<Secret>,
}

impl Side {
    /// What a record holds, by the first key that opens it.
    pub(super) fn open(&mut self, head: [u8; 5], payload: &[u8]) -> Option<Vec<u8>> {
        let mut opened = None;
        let used = self.candidates.iter_mut().position(|candidate| {
            opened = candidate.protection.open(head, payload);
            opened.is_some()
        })?;
        // Keys before it are not used again.
        self.candidates.drain(..used);
        opened
    }

    /// Adds a key that may follow.
    pub(super) fn expect(&mut self, candidate: Candidate) {
        if self.candidates.len() < MAX_CANDIDATES {
            self.candidates.push(candidate);
        }
    }

    /// Forgets what is kept; nothing more is read.
    pub(super) fn give_up(&mut self) {
        self.lost = true;
        self.buffer = Vec::new();
        self.messages = Vec::new();
        self.candidates = Vec::new();
        self.pending = None;
    }

    pub(super) fn memory(&self) -> usize {
        self.buffer.capacity() + self.messages.capacity()
    }
}
