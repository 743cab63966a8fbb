//! What all connections share.

use super::ProtocolCounts;
use super::h2::FieldList;
use super::h2::hpack::Scratch;

/// Memory for incomplete heads and for lists of requests under way, of all connections together,
/// bytes: enough for 64 heads as large as can be, or for 16,000 of usual size that all stop in
/// the middle.
pub const HEAD_LIMIT: usize = 16 << 20;

/// Memory that HTTP/2 connections may take together, bytes: 8,000 whose tables are both full at
/// the size that nobody raised.
pub const H2_LIMIT: usize = 64 << 20;

/// First bytes of a body that are told, unless set otherwise: names of operations and codes of
/// errors stand in the first few KiB, after the security header of a SOAP envelope at the latest.
pub const BODY_PEEK: u32 = 64 << 10;

/// What all connections share: counters and the memory that messages under way may take.
#[derive(Debug)]
pub struct ProtocolShared {
    /// Counters.
    pub counts: ProtocolCounts,
    /// Memory of incomplete heads and lists of requests in use, bytes.
    pub head_bytes: usize,
    /// Bound of `head_bytes`.
    pub head_limit: usize,
    /// Memory of HTTP/2 connections in use, most of it HPACK tables, bytes.
    pub h2_bytes: usize,
    /// Bound of `h2_bytes`.
    pub h2_limit: usize,
    /// The source can leave out bytes that are not needed.
    pub skip_bodies: bool,
    /// First bytes of a body that are told, if they may name an operation or an error.
    pub body_peek: u32,
    /// [`Message::Passed`] is wanted.
    pub tell_passed: bool,
    /// The fields of the header block at hand.
    pub(super) fields: FieldList,
    pub(super) scratch: Scratch,
}

impl Default for ProtocolShared {
    fn default() -> Self {
        Self {
            counts: ProtocolCounts::default(),
            head_bytes: 0,
            head_limit: HEAD_LIMIT,
            h2_bytes: 0,
            h2_limit: H2_LIMIT,
            skip_bodies: true,
            body_peek: BODY_PEEK,
            tell_passed: false,
            fields: FieldList::default(),
            scratch: Scratch::default(),
        }
    }
}

impl ProtocolShared {
    pub(super) fn account(&mut self, before: usize, after: usize) {
        self.head_bytes = self.head_bytes.saturating_sub(before).saturating_add(after);
    }

    pub(super) fn account_h2(&mut self, before: usize, after: usize) {
        self.h2_bytes = self.h2_bytes.saturating_sub(before).saturating_add(after);
    }
}
