//! First segments that were seen under a listener, until the socket made from them shows.
//!
//! With `TCP_DEFER_ACCEPT` (Apache sets it), or when the client's first acknowledgement is lost,
//! the packet that completes the handshake carries data, and the kernel shows it under the
//! listener's cookie. The same goes for data in a SYN (TCP fast open). The socket it becomes shows with its first answer, under the same addresses.

use std::collections::VecDeque;
use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::hashing::Keyed;
use crate::stream::{Flow, Input, Segment};

/// Bytes held in all of packets that complete a handshake: 64 requests of the largest segment,
/// thousands of usual ones.
const MOST_BYTES: usize = 4 << 20;
/// Such segments held in all; one that cannot be held costs one call.
const MOST_SEGMENTS: usize = 8_192;
/// Bytes held in all of SYNs. Anybody can send those, so they have a place of their own.
const MOST_SYN_BYTES: usize = 1 << 20;
/// SYNs held in all.
const MOST_SYNS: usize = 1_024;
/// How long a socket may stay silent: longer than servers let a client wait.
const LIFETIME_NS: u64 = 300_000_000_000;

type Ends = (SocketAddr, SocketAddr);

/// A segment with bytes of its own.
#[derive(Debug)]
struct Held {
    segment: Segment<'static>,
    bytes: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Embryos {
    most_segments: usize,
    most_bytes: usize,
    held: HashMap<Ends, Held, Keyed>,
    /// In the order they came; those released meanwhile are passed over.
    order: VecDeque<(u64, Ends)>,
    bytes: usize,
    lost: u64,
}

impl Embryos {
    /// For packets that complete a handshake.
    pub(super) fn of_handshakes() -> Self {
        Self::new(MOST_SEGMENTS, MOST_BYTES)
    }

    /// For SYNs.
    pub(super) fn of_syns() -> Self {
        Self::new(MOST_SYNS, MOST_SYN_BYTES)
    }

    fn new(most_segments: usize, most_bytes: usize) -> Self {
        Self {
            most_segments,
            most_bytes,
            held: HashMap::default(),
            order: VecDeque::new(),
            bytes: 0,
            lost: 0,
        }
    }

    /// Keeps a segment; the same one that is there already was sent again, another one of the same
    /// addresses was of an older connection.
    pub(super) fn hold(&mut self, segment: &Segment<'_>) {
        let ends = ends(&segment.flow);
        if let Some(held) = self.held.get(&ends) {
            if held.segment.seq == segment.seq {
                return;
            }
            self.lose(&ends);
            self.order.retain(|(_, other)| *other != ends);
        }
        while self.held.len() >= self.most_segments
            || self.bytes + segment.bytes.len() > self.most_bytes
        {
            let Some((_, oldest)) = self.order.pop_front() else {
                break;
            };
            self.lose(&oldest);
        }
        self.bytes += segment.bytes.len();
        let bytes = segment.bytes.to_vec();
        let segment = Segment {
            bytes: &[],
            ..*segment
        };
        self.order.push_back((segment.time_ns, ends));
        self.held.insert(ends, Held { segment, bytes });
    }

    /// A segment of a socket: what was held for its addresses comes first, under its cookie. Was
    /// there any?
    pub(super) fn release(&mut self, next: &Segment<'_>, out: &mut impl FnMut(Input<'_>)) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let Some(Held { segment, bytes }) = self.held.remove(&ends(&next.flow)) else {
            return false;
        };
        self.bytes -= bytes.len();
        out(Input::Segment(Segment {
            conn: next.conn,
            bytes: &bytes,
            from_start: true,
            ..segment
        }));
        true
    }

    /// Gives up on what waited too long.
    pub(super) fn expire(&mut self, now_ns: u64) {
        while let Some(&(time_ns, ends)) = self.order.front()
            && now_ns.saturating_sub(time_ns) > LIFETIME_NS
        {
            self.order.pop_front();
            self.lose(&ends);
        }
        if self.held.is_empty() {
            self.order.clear();
        }
    }

    /// Segments that were given up.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    fn lose(&mut self, ends: &Ends) {
        if let Some(held) = self.held.remove(ends) {
            self.bytes -= held.bytes.len();
            self.lost += 1;
        }
    }
}

/// As the server sees them, which is the side that has a listener.
const fn ends(flow: &Flow) -> Ends {
    (flow.local, flow.remote)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{ConnId, Direction};

    fn segment(conn: u64, port: u16, time_ns: u64, bytes: &[u8]) -> Segment<'_> {
        Segment {
            conn: ConnId(conn),
            time_ns,
            direction: Direction::Inbound,
            seq: 1,
            syn: false,
            fin: false,
            rst: false,
            len: bytes.len() as u32,
            bytes,
            flow: Flow {
                local: SocketAddr::from(([127, 0, 0, 1], 80)),
                remote: SocketAddr::from(([127, 0, 0, 1], port)),
                link: Some(u64::from(port)),
            },
            from_start: false,
            skips: None,
        }
    }

    fn released(embryos: &mut Embryos, next: &Segment<'_>) -> Vec<(u64, Vec<u8>)> {
        let mut out = Vec::new();
        embryos.release(next, &mut |input| {
            if let Input::Segment(segment) = input {
                out.push((segment.conn.0, segment.bytes.to_vec()));
            }
        });
        out
    }

    #[test]
    fn a_first_segment_goes_to_the_socket_with_its_addresses() {
        let mut embryos = Embryos::of_handshakes();
        embryos.hold(&segment(1, 5000, 10, b"GET"));
        embryos.hold(&segment(1, 5000, 11, b"GET"));
        assert_eq!(released(&mut embryos, &segment(7, 5001, 20, b"")), []);
        assert_eq!(
            released(&mut embryos, &segment(8, 5000, 20, b"")),
            [(8, b"GET".to_vec())]
        );
        assert_eq!(released(&mut embryos, &segment(8, 5000, 21, b"")), []);
        assert_eq!((embryos.bytes, embryos.lost()), (0, 0));
    }

    #[test]
    fn addresses_used_again_give_the_newer_connection_its_own_bytes() {
        let mut embryos = Embryos::of_syns();
        embryos.hold(&segment(1, 5000, 10, b"old"));
        let mut newer = segment(1, 5000, 20, b"new");
        newer.seq = 77;
        embryos.hold(&newer);
        assert_eq!(embryos.lost(), 1);
        assert_eq!(
            released(&mut embryos, &segment(8, 5000, 30, b"")),
            [(8, b"new".to_vec())]
        );
    }

    #[test]
    fn what_is_held_is_bounded_and_what_is_lost_is_counted() {
        let mut embryos = Embryos::of_handshakes();
        let bytes = vec![0; 65_536];
        for port in 0..100 {
            embryos.hold(&segment(1, port, 10, &bytes));
        }
        assert_eq!((embryos.held.len(), embryos.lost()), (64, 36));
        embryos.expire(11 + LIFETIME_NS);
        assert_eq!(
            (embryos.held.len(), embryos.bytes, embryos.lost()),
            (0, 0, 100)
        );
        assert!(embryos.order.is_empty());
    }
}
