//! Segments that came ahead of bytes still missing, sorted and without overlap.

use std::collections::VecDeque;

/// What one held segment costs besides its bytes: entry, allocation, bookkeeping.
const SEGMENT_COST: usize = 96;

/// Bytes waiting for those before them.
#[derive(Debug)]
pub(super) struct HeldSegment {
    /// Place of the first byte.
    pub start: u64,
    /// Bytes it stands for; the captured ones are a prefix. Zero for the end of the stream.
    pub len: u64,
    /// When it was seen.
    pub time_ns: u64,
    /// The captured bytes.
    pub bytes: Vec<u8>,
    /// As in [`super::Chunk::skips`].
    pub skips: Option<u64>,
}

impl HeldSegment {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }

    fn cost(&self) -> usize {
        self.bytes.len().saturating_add(SEGMENT_COST)
    }
}

/// All that one direction holds back.
#[derive(Debug, Default)]
pub(super) struct Held {
    segments: VecDeque<HeldSegment>,
    cost: usize,
}

impl Held {
    /// Bytes of memory in use.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    pub(super) fn len(&self) -> usize {
        self.segments.len()
    }

    pub(super) fn first(&self) -> Option<&HeldSegment> {
        self.segments.front()
    }

    pub(super) fn pop(&mut self) -> Option<HeldSegment> {
        let segment = self.segments.pop_front()?;
        self.cost = self.cost.saturating_sub(segment.cost());
        Some(segment)
    }

    /// Keeps what of `[start, start + len)` is not held yet: bytes that came first win, as most
    /// receivers have it. Returns how many bytes were held already.
    pub(super) fn insert(
        &mut self,
        start: u64,
        len: u64,
        bytes: &[u8],
        time_ns: u64,
        skips: Option<u64>,
    ) -> u64 {
        if len == 0 {
            let index = self.segments.partition_point(|held| held.start < start);
            let twin = self
                .segments
                .get(index)
                .is_some_and(|held| held.start == start && held.len == 0);
            if !twin {
                self.put(
                    index,
                    HeldSegment {
                        start,
                        len,
                        time_ns,
                        bytes: Vec::new(),
                        skips: None,
                    },
                );
            }
            return 0;
        }
        let end = start.saturating_add(len);
        let mut duplicate = 0;
        let mut from = start;
        let mut index = self.segments.partition_point(|held| held.end() <= start);
        while from < end {
            let (next_start, next_end) = match self.segments.get(index) {
                Some(held) if held.start < end => (held.start, held.end()),
                _ => (end, end),
            };
            if from < next_start {
                let skip = usize::try_from(from - start).unwrap_or(usize::MAX);
                let take = usize::try_from(next_start - from).unwrap_or(usize::MAX);
                let part = bytes.get(skip..).unwrap_or_default();
                let part = part.get(..take).unwrap_or(part);
                let piece = HeldSegment {
                    start: from,
                    len: next_start - from,
                    time_ns,
                    bytes: part.to_vec(),
                    skips,
                };
                self.put(index, piece);
                index += 1;
            }
            duplicate += next_end.min(end).saturating_sub(next_start.max(from));
            from = next_end.max(from);
            if next_start < end {
                index += 1;
            } else {
                break;
            }
        }
        duplicate
    }

    fn put(&mut self, index: usize, segment: HeldSegment) {
        self.cost = self.cost.saturating_add(segment.cost());
        self.segments.insert(index, segment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(mut held: Held) -> Vec<(u64, Vec<u8>)> {
        std::iter::from_fn(|| held.pop())
            .map(|held| (held.start, held.bytes))
            .collect()
    }

    #[test]
    fn first_bytes_win_where_segments_overlap() {
        let mut held = Held::default();
        assert_eq!(held.insert(10, 4, b"aaaa", 1, None), 0);
        assert_eq!(held.insert(20, 4, b"bbbb", 1, None), 0);
        assert_eq!(held.insert(8, 20, b"cccccccccccccccccccc", 1, None), 8);
        assert_eq!(
            bytes_of(held),
            vec![
                (8, b"cc".to_vec()),
                (10, b"aaaa".to_vec()),
                (14, b"cccccc".to_vec()),
                (20, b"bbbb".to_vec()),
                (24, b"cccc".to_vec()),
            ]
        );
    }

    #[test]
    fn cost_returns_to_zero() {
        let mut held = Held::default();
        held.insert(10, 4, b"aaaa", 1, None);
        held.insert(12, 4, b"bbbb", 1, None);
        held.insert(16, 0, b"", 1, None);
        held.insert(16, 0, b"", 1, None);
        assert_eq!(held.len(), 3);
        while held.pop().is_some() {}
        assert_eq!(held.cost(), 0);
    }

    #[test]
    fn what_was_not_captured_stays_a_gap_of_known_size() {
        let mut held = Held::default();
        held.insert(10, 10, b"ab", 1, None);
        let first = held.pop().unwrap();
        assert_eq!((first.len, first.bytes.len()), (10, 2));
    }
}
