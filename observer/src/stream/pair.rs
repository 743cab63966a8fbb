//! Both directions of one stream pair.

use super::half::Half;
use super::{Bytes, Chunk, Direction, Segment, StreamCounts};

/// Out-of-order memory of all connections together, bytes: enough for 64 that each hold their
/// full share.
pub const HELD_LIMIT: usize = 16 << 20;

/// What all stream pairs share: counters and the memory that out-of-order bytes may take.
#[derive(Debug)]
pub struct StreamShared {
    /// Counters.
    pub counts: StreamCounts,
    /// Out-of-order memory in use, bytes.
    pub held_bytes: usize,
    /// Bound of `held_bytes`.
    pub held_limit: usize,
    /// Missing bytes are waited for longer by this than live, nanoseconds.
    pub patience_ns: u64,
}

impl Default for StreamShared {
    fn default() -> Self {
        Self {
            counts: StreamCounts::default(),
            held_bytes: 0,
            held_limit: HELD_LIMIT,
            patience_ns: 0,
        }
    }
}

/// Puts both directions of a stream pair in order.
///
/// Every method takes a sink for chunks. What the sink answers, if anything, is the place up to
/// which bytes of that direction are not needed: when they then do not come, they are passed
/// over as [`super::Piece::Skipped`] with no waiting.
#[derive(Debug, Default)]
pub struct StreamPair {
    inbound: Half,
    outbound: Half,
}

impl StreamPair {
    fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::Inbound => &mut self.inbound,
            Direction::Outbound => &mut self.outbound,
        }
    }

    /// Takes a TCP segment, in whatever order.
    ///
    /// A reset alone ends nothing: a third party can forge one, and whether the socket took it
    /// is told by the connection being closed.
    pub fn segment(
        &mut self,
        segment: &Segment<'_>,
        shared: &mut StreamShared,
        sink: &mut impl FnMut(Chunk<'_>) -> Option<u64>,
    ) {
        let Segment {
            direction,
            time_ns,
            seq,
            syn,
            fin,
            rst,
            len,
            bytes,
            skips,
            ..
        } = *segment;
        let half = self.half(direction);
        if rst {
            shared.counts.resets += 1;
            return;
        }
        let mut first = seq;
        if syn {
            first = seq.wrapping_add(1);
            if !half.start_at_seq(first) && !half.expects(first) {
                // A SYN sent again, or a forged one: bytes with it are duplicates or strays.
                shared.counts.stray_segments += u64::from(len > 0);
                return;
            }
        }
        if len == 0 && !fin {
            return;
        }
        let len = len.max(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        shared.counts.pieces += u64::from(len > 0);
        half.start_at_seq(first);
        half.segment(
            direction, time_ns, first, len, bytes, fin, skips, shared, sink,
        );
    }

    /// Takes a piece of plaintext at a known offset. `joined`: what was before the first piece of
    /// a direction was not to be seen; else it is missing.
    pub fn bytes(
        &mut self,
        bytes: &Bytes<'_>,
        joined: bool,
        shared: &mut StreamShared,
        sink: &mut impl FnMut(Chunk<'_>) -> Option<u64>,
    ) {
        let Bytes {
            direction,
            time_ns,
            offset,
            len,
            bytes,
            skips,
            ..
        } = *bytes;
        let len = len.max(bytes.len() as u64);
        if len == 0 {
            return;
        }
        shared.counts.pieces += 1;
        let half = self.half(direction);
        half.start_at_offset(if joined { offset } else { 0 });
        half.offset(direction, time_ns, offset, len, bytes, skips, shared, sink);
    }

    /// Passes over bytes that were left out on purpose. What was before the first piece of a
    /// direction was not to be seen.
    pub fn left_out(
        &mut self,
        direction: Direction,
        time_ns: u64,
        offset: u64,
        len: u64,
        shared: &mut StreamShared,
        sink: &mut impl FnMut(Chunk<'_>) -> Option<u64>,
    ) {
        let half = self.half(direction);
        half.start_at_offset(offset);
        half.left_out(direction, time_ns, len, shared, sink);
    }

    /// Bytes of this direction wait for others before them.
    pub fn holds(&self, direction: Direction) -> bool {
        match direction {
            Direction::Inbound => self.inbound.holds(),
            Direction::Outbound => self.outbound.holds(),
        }
    }

    /// Bytes of either direction wait for others before them.
    pub fn holds_any(&self) -> bool {
        self.inbound.holds() || self.outbound.holds()
    }

    /// Bytes of this direction have waited too long.
    pub fn overdue(&self, direction: Direction, now_ns: u64) -> bool {
        match direction {
            Direction::Inbound => self.inbound.overdue(direction, now_ns),
            Direction::Outbound => self.outbound.overdue(direction, now_ns),
        }
    }

    /// A segment with this sequence number is next in this direction.
    pub fn expects(&self, direction: Direction, seq: u32) -> bool {
        match direction {
            Direction::Inbound => self.inbound.expects(seq),
            Direction::Outbound => self.outbound.expects(seq),
        }
    }

    /// Gives up on everything missing in one direction.
    pub fn release(
        &mut self,
        direction: Direction,
        now_ns: u64,
        shared: &mut StreamShared,
        sink: &mut impl FnMut(Chunk<'_>) -> Option<u64>,
    ) {
        self.half(direction)
            .release(direction, now_ns, true, shared, sink);
    }

    /// Gives up on what was missing in one direction for too long.
    pub fn release_overdue(
        &mut self,
        direction: Direction,
        now_ns: u64,
        shared: &mut StreamShared,
        sink: &mut impl FnMut(Chunk<'_>) -> Option<u64>,
    ) {
        let half = self.half(direction);
        while half.overdue(direction, now_ns.saturating_sub(shared.patience_ns)) {
            shared.counts.holes_timed_out += 1;
            half.release(direction, now_ns, false, shared, sink);
        }
    }

    /// Nothing more comes in this direction.
    pub fn end(
        &mut self,
        direction: Direction,
        now_ns: u64,
        shared: &mut StreamShared,
        sink: &mut impl FnMut(Chunk<'_>) -> Option<u64>,
    ) {
        self.half(direction).finish(direction, now_ns, shared, sink);
    }
}
