//! Puts fragments of IP packets together (RFC 791 §3.2, RFC 8200 §4.5).

use std::collections::VecDeque;
use std::net::IpAddr;

/// Packets in fragments that are kept at once: with the longest that IP allows, 16 MiB.
const MOST: usize = 256;

/// Fragments of one packet: enough for the longest one on links of the smallest size.
const MOST_PARTS: usize = 128;

/// Longest packet (RFC 791 §3.1).
const MAX_PACKET: usize = 65_535;

/// How long the others are waited for (RFC 1122 §3.3.2).
const WAIT_NS: u64 = 60_000_000_000;

/// What the headers of a fragment say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment {
    pub from: IpAddr,
    pub to: IpAddr,
    pub protocol: u8,
    pub id: u32,
    /// Place in the packet, bytes.
    pub offset: usize,
    /// Others follow.
    pub more: bool,
    pub time_ns: u64,
}

#[derive(Debug)]
struct Partial {
    head: Fragment,
    bytes: Vec<u8>,
    /// Parts that are there: start and end.
    parts: Vec<(usize, usize)>,
    /// Length of the whole, once known.
    len: Option<usize>,
}

/// Packets of which fragments are missing.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    partial: VecDeque<Partial>,
}

impl Fragments {
    /// Adds a fragment, and returns the payload of its packet if that is complete. Bytes that
    /// came before are kept: later ones that overlap them do not replace them.
    pub(super) fn add(&mut self, fragment: &Fragment, payload: &[u8]) -> Option<Vec<u8>> {
        let end = fragment.offset + payload.len();
        if end > MAX_PACKET {
            return None;
        }
        let same = |partial: &Partial| {
            let head = &partial.head;
            (head.id, head.protocol, head.from, head.to)
                == (fragment.id, fragment.protocol, fragment.from, fragment.to)
                && fragment.time_ns.saturating_sub(head.time_ns) < WAIT_NS
        };
        let at = self.partial.iter().position(same).unwrap_or_else(|| {
            if self.partial.len() >= MOST {
                self.partial.pop_front();
            }
            self.partial.push_back(Partial {
                head: *fragment,
                bytes: Vec::new(),
                parts: Vec::new(),
                len: None,
            });
            self.partial.len() - 1
        });
        let partial = self.partial.get_mut(at)?;
        if partial.parts.len() >= MOST_PARTS {
            self.partial.remove(at);
            return None;
        }
        partial.put(fragment, payload, end);
        if !partial.is_whole() {
            return None;
        }
        let Partial { mut bytes, len, .. } = self.partial.remove(at)?;
        bytes.truncate(len?);
        Some(bytes)
    }
}

impl Partial {
    fn put(&mut self, fragment: &Fragment, payload: &[u8], end: usize) {
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let start = fragment.offset;
        let known = self.parts.iter().any(|part| part.0 < end && start < part.1);
        for (at, byte) in payload.iter().enumerate() {
            let at = start + at;
            let there = known && self.parts.iter().any(|part| part.0 <= at && at < part.1);
            if let (false, Some(place)) = (there, self.bytes.get_mut(at)) {
                *place = *byte;
            }
        }
        self.parts.push((start, end));
        if !fragment.more {
            self.len.get_or_insert(end);
        }
    }

    fn is_whole(&mut self) -> bool {
        let Some(len) = self.len else { return false };
        self.parts.sort_unstable();
        let mut reached = 0;
        for &(start, end) in &self.parts {
            if start > reached {
                return false;
            }
            reached = reached.max(end);
        }
        reached >= len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(offset: usize, more: bool) -> Fragment {
        Fragment {
            from: [10, 0, 0, 1].into(),
            to: [10, 0, 0, 2].into(),
            protocol: 6,
            id: 7,
            offset,
            more,
            time_ns: 0,
        }
    }

    #[test]
    fn fragments_in_any_order_make_the_packet() {
        let parts = [
            (0, b"abcdefgh", true),
            (8, b"ijklmnop", true),
            (16, b"qrstuvwx", false),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut fragments = Fragments::default();
            let mut whole = None;
            for index in order {
                let (offset, bytes, more) = parts[index];
                assert_eq!(whole, None);
                whole = fragments.add(&fragment(offset, more), bytes);
            }
            assert_eq!(whole.as_deref(), Some(&b"abcdefghijklmnopqrstuvwx"[..]));
            assert!(fragments.partial.is_empty());
        }
    }

    #[test]
    fn what_came_first_is_kept() {
        let mut fragments = Fragments::default();
        assert_eq!(fragments.add(&fragment(0, true), b"abcdefghijklmnop"), None);
        let whole = fragments.add(&fragment(8, false), b"IJKLMNOPQR");
        assert_eq!(whole.as_deref(), Some(&b"abcdefghijklmnopQR"[..]));
    }

    #[test]
    fn floods_of_fragments_are_bounded() {
        let mut fragments = Fragments::default();
        for id in 0..10_000 {
            let one = Fragment {
                id,
                ..fragment(8, true)
            };
            assert_eq!(fragments.add(&one, b"abcdefgh"), None);
            assert!(fragments.partial.len() <= MOST);
        }
        for _ in 0..10_000 {
            assert_eq!(fragments.add(&fragment(8, true), b"abcdefgh"), None);
        }
        assert!(
            fragments
                .partial
                .iter()
                .all(|partial| partial.parts.len() <= MOST_PARTS)
        );
        assert_eq!(fragments.add(&fragment(65_528, true), b"abcdefghi"), None);
    }
}
