//! One direction of a stream pair: puts its bytes in order.

use super::counts::add;
use super::held::Held;
use super::pair::StreamShared;
use super::{Chunk, Direction, Piece};

/// How far from the expected place a segment may be and still belong to the stream. Twice the
/// largest receive buffer that Linux grants by default (`net.ipv4.tcp_rmem`, 6 MiB), rounded
/// down: what is farther off was never sent to, or taken by, the local socket.
pub(super) const WINDOW: i64 = 8 << 20;

/// So many segments in a row must agree on another place before the stream moves there: one is
/// easily forged by a third party, and a true loss of that size is followed by many.
pub(super) const AGREEING: u8 = 4;

/// Out-of-order memory of one direction: about the bytes in flight of a fast path.
pub(super) const HELD_PER_DIRECTION: usize = 256 << 10;

/// Out-of-order segments of one direction; bounds the work of inserting one.
pub(super) const HELD_SEGMENTS: usize = 512;

/// How long missing inbound bytes are waited for: they were lost or overtaken on the network,
/// and Linux resends after 200 ms at the least.
pub(super) const WAIT_INBOUND_NS: u64 = 400_000_000;

/// How long missing outbound bytes are waited for: a socket sends in order, so what is missing
/// was lost on the way to the observer.
pub(super) const WAIT_OUTBOUND_NS: u64 = 20_000_000;

/// Sequence numbers count on from here, so that no step back goes below zero.
const EPOCH: u64 = 1 << 32;

/// One direction. The sink's answer is the place up to which bytes are not needed.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// Place of the next byte to pass on.
    next: u64,
    /// Bytes before this place were asked to be left out.
    skip_until: u64,
    /// Place of the end, once known.
    end_at: Option<u64>,
    /// What came ahead of missing bytes; absent while all is in order.
    held: Option<Box<Held>>,
    /// Where the segments that are far off say the stream is.
    elsewhere: u32,
    agreeing: u8,
    started: bool,
    ended: bool,
}

/// What [`Half::place`] makes of a sequence number.
enum Place {
    /// It belongs at this place.
    At(u64),
    /// It is too far off.
    Stray,
    /// Enough segments in a row agree that the stream is there now.
    Moved,
}

impl Half {
    /// Something is held back.
    pub(super) fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// The segment that starts here is the next one.
    pub(super) fn expects(&self, seq: u32) -> bool {
        self.started && (self.next & u64::from(u32::MAX)) as u32 == seq
    }

    /// Missing bytes have been waited for long enough.
    pub(super) fn overdue(&self, direction: Direction, now_ns: u64) -> bool {
        let wait = match direction {
            Direction::Inbound => WAIT_INBOUND_NS,
            Direction::Outbound => WAIT_OUTBOUND_NS,
        };
        let first = self.held.as_ref().and_then(|held| held.first());
        first.is_some_and(|first| now_ns.saturating_sub(first.time_ns) >= wait)
    }

    /// Says where the stream starts, unless it has.
    pub(super) fn start_at_seq(&mut self, seq: u32) -> bool {
        let fresh = !self.started;
        if fresh {
            self.started = true;
            self.next = EPOCH | u64::from(seq);
        }
        fresh
    }

    pub(super) fn start_at_offset(&mut self, offset: u64) {
        if !self.started {
            self.started = true;
            self.next = offset;
        }
    }

    fn place(&mut self, seq: u32, len: u32) -> Place {
        let ahead = seq.wrapping_sub((self.next & u64::from(u32::MAX)) as u32);
        let delta = i64::from(ahead.cast_signed());
        let room = i64::try_from(self.skip_until.saturating_sub(self.next)).unwrap_or(i64::MAX);
        if delta > -WINDOW && delta < room.saturating_add(WINDOW) {
            return Place::At(self.next.saturating_add_signed(delta));
        }
        self.agreeing = if self.agreeing > 0 && self.elsewhere == seq {
            self.agreeing.saturating_add(1)
        } else {
            1
        };
        self.elsewhere = seq.wrapping_add(len);
        if self.agreeing >= AGREEING && len > 0 {
            self.agreeing = 0;
            return Place::Moved;
        }
        Place::Stray
    }

    /// Takes a part of a TCP stream; `seq` is that of its first byte.
    #[expect(
        clippy::too_many_arguments,
        reason = "the fields of one segment, and where it goes"
    )]
    pub(super) fn segment(
        &mut self,
        direction: Direction,
        time_ns: u64,
        seq: u32,
        len: u32,
        bytes: &[u8],
        fin: bool,
        skips: Option<u32>,
        shared: &mut StreamShared,
        sink: &mut impl FnMut(Chunk<'_>) -> Option<u64>,
    ) {
        if self.ended {
            shared.counts.after_end += u64::from(len > 0);
            return;
        }
        let place = self.place(seq, len);
        let mut pass = Pass {
            half: self,
            direction,
            time_ns,
            skips: None,
            shared,
            sink,
        };
        let at = match place {
            Place::At(at) => at,
            Place::Stray => {
                pass.shared.counts.stray_segments += 1;
                return;
            }
            Place::Moved => {
                pass.shared.counts.relocations += 1;
                pass.release_all();
                let low = (pass.half.next & u64::from(u32::MAX)) as u32;
                let to = pass
                    .half
                    .next
                    .saturating_add(u64::from(seq.wrapping_sub(low)));
                pass.advance_to(to);
                to
            }
        };
        if len > 0 {
            pass.half.agreeing = 0;
        }
        let len = u64::from(len);
        if fin && pass.half.end_at.is_none() {
            pass.half.end_at = Some(at.saturating_add(len));
        }
        pass.skips = skips.map(|skips| at.saturating_add(u64::from(skips)));
        pass.put(at, len, bytes, fin);
    }

    /// Takes a part of a stream whose source counts bytes and never reorders.
    #[expect(
        clippy::too_many_arguments,
        reason = "the fields of one piece, and where it goes"
    )]
    pub(super) fn offset(
        &mut self,
        direction: Direction,
        time_ns: u64,
        offset: u64,
        len: u64,
        bytes: &[u8],
        skips: Option<u32>,
        shared: &mut StreamShared,
        sink: &mut impl FnMut(Chunk<'_>) -> Option<u64>,
    ) {
        if self.ended {
            shared.counts.after_end += u64::from(len > 0);
            return;
        }
        let mut pass = Pass {
            half: self,
            direction,
            time_ns,
            skips: None,
            shared,
            sink,
        };
        if offset > pass.half.next {
            pass.advance_to(offset);
        }
        pass.skips = skips.map(|skips| offset.saturating_add(u64::from(skips)));
        pass.put(offset, len, bytes, false);
    }

    /// Passes over bytes that were left out on purpose.
    pub(super) fn left_out(
        &mut self,
        direction: Direction,
        time_ns: u64,
        len: u64,
        shared: &mut StreamShared,
        sink: &mut impl FnMut(Chunk<'_>) -> Option<u64>,
    ) {
        if self.ended {
            shared.counts.after_end += u64::from(len > 0);
            return;
        }
        let to = self.next.saturating_add(len);
        self.skip_until = self.skip_until.max(to);
        let mut pass = Pass {
            half: self,
            direction,
            time_ns,
            skips: None,
            shared,
            sink,
        };
        pass.advance_to(to);
    }

    /// Gives up on the first hole, or on all of them.
    pub(super) fn release(
        &mut self,
        direction: Direction,
        now_ns: u64,
        all: bool,
        shared: &mut StreamShared,
        sink: &mut impl FnMut(Chunk<'_>) -> Option<u64>,
    ) {
        let mut pass = Pass {
            half: self,
            direction,
            time_ns: now_ns,
            skips: None,
            shared,
            sink,
        };
        if all {
            pass.release_all();
        } else {
            pass.release_first();
        }
    }

    /// Nothing follows: passes on what is held, then the end.
    pub(super) fn finish(
        &mut self,
        direction: Direction,
        now_ns: u64,
        shared: &mut StreamShared,
        sink: &mut impl FnMut(Chunk<'_>) -> Option<u64>,
    ) {
        let mut pass = Pass {
            half: self,
            direction,
            time_ns: now_ns,
            skips: None,
            shared,
            sink,
        };
        pass.release_all();
        if !pass.half.ended {
            pass.half.ended = true;
            pass.emit(Piece::End);
        }
    }
}

/// One run through a direction.
struct Pass<'a, F> {
    half: &'a mut Half,
    direction: Direction,
    time_ns: u64,
    /// Of the bytes at hand.
    skips: Option<u64>,
    shared: &'a mut StreamShared,
    sink: &'a mut F,
}

impl<F: FnMut(Chunk<'_>) -> Option<u64>> Pass<'_, F> {
    fn emit(&mut self, piece: Piece<'_>) {
        let chunk = Chunk {
            direction: self.direction,
            time_ns: self.time_ns,
            at: self.half.next,
            piece,
            skips: match piece {
                Piece::Data(_) => self.skips,
                Piece::Gap(_) | Piece::Skipped(_) | Piece::End => None,
            },
        };
        let moved = match piece {
            Piece::Data(bytes) => bytes.len() as u64,
            Piece::Gap(len) | Piece::Skipped(len) => len,
            Piece::End => 0,
        };
        let skip = (self.sink)(chunk);
        self.half.next = self.half.next.saturating_add(moved);
        if let Some(until) = skip {
            self.half.skip_until = self.half.skip_until.max(until);
        }
    }

    /// Passes over missing bytes, telling those that were asked to be left out from the others.
    fn advance_to(&mut self, to: u64) {
        let asked = self.half.skip_until.min(to).saturating_sub(self.half.next);
        if asked > 0 {
            add(&mut self.shared.counts.skipped_bytes, asked);
            self.emit(Piece::Skipped(asked));
        }
        let gap = to.saturating_sub(self.half.next);
        if gap > 0 {
            self.shared.counts.gaps += 1;
            add(&mut self.shared.counts.gap_bytes, gap);
            self.emit(Piece::Gap(gap));
        }
    }

    /// Takes bytes at a place: passes them on, holds them back, or drops what was there before.
    fn put(&mut self, at: u64, len: u64, bytes: &[u8], fin: bool) {
        if at > self.half.next && self.half.next < self.half.skip_until {
            // Nothing to wait for: this is what was asked for.
            self.advance_to(at.min(self.half.skip_until));
        }
        if at > self.half.next {
            self.hold(at, len, bytes, fin);
            return;
        }
        self.deliver(at, len, bytes);
        self.drain();
    }

    fn deliver(&mut self, at: u64, len: u64, bytes: &[u8]) {
        let seen = self.half.next.saturating_sub(at).min(len);
        add(&mut self.shared.counts.duplicate_bytes, seen);
        if seen == len {
            return;
        }
        let fresh = bytes
            .get(usize::try_from(seen).unwrap_or(usize::MAX)..)
            .unwrap_or_default();
        if !fresh.is_empty() {
            self.shared.counts.bytes += fresh.len() as u64;
            self.emit(Piece::Data(fresh));
        }
        self.advance_to(at.saturating_add(len));
    }

    fn hold(&mut self, at: u64, len: u64, bytes: &[u8], fin: bool) {
        if len == 0 && !fin {
            return;
        }
        self.shared.counts.reordered_segments += 1;
        let held = self.half.held.get_or_insert_default();
        let before = held.cost();
        let seen = held.insert(at, len, bytes, self.time_ns, self.skips);
        add(&mut self.shared.counts.duplicate_bytes, seen);
        if fin {
            held.insert(at.saturating_add(len), 0, &[], self.time_ns, None);
        }
        self.shared.held_bytes = self.shared.held_bytes.saturating_sub(before) + held.cost();
        while let Some(held) = &self.half.held {
            let own = held.cost() > HELD_PER_DIRECTION || held.len() > HELD_SEGMENTS;
            if !own && self.shared.held_bytes <= self.shared.held_limit {
                break;
            }
            self.shared.counts.holes_over_limit += 1;
            self.release_first();
        }
    }

    fn release_first(&mut self) {
        let Some(first) = self.half.held.as_ref().and_then(|held| held.first()) else {
            return;
        };
        let (start, now_ns) = (first.start, self.time_ns);
        self.time_ns = first.time_ns;
        self.advance_to(start);
        self.time_ns = now_ns;
        self.drain();
    }

    fn release_all(&mut self) {
        while self.half.held.is_some() {
            self.release_first();
        }
    }

    /// Passes on what is no longer ahead, then the end if it is reached.
    fn drain(&mut self) {
        while let Some(held) = &mut self.half.held {
            match held.first() {
                Some(first) if first.start <= self.half.next => {}
                Some(_) => break,
                None => {
                    self.half.held = None;
                    break;
                }
            }
            let before = held.cost();
            let Some(segment) = held.pop() else { break };
            let freed = before.saturating_sub(held.cost());
            self.shared.held_bytes = self.shared.held_bytes.saturating_sub(freed);
            let (now_ns, skips) = (self.time_ns, self.skips);
            (self.time_ns, self.skips) = (segment.time_ns, segment.skips);
            self.deliver(segment.start, segment.len, &segment.bytes);
            (self.time_ns, self.skips) = (now_ns, skips);
        }
        if !self.half.ended && self.half.end_at.is_some_and(|end| self.half.next >= end) {
            self.half.ended = true;
            self.emit(Piece::End);
        }
    }
}
