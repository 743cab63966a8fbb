//! Holds back what comes from functions that were found by signature, until it proves itself.
//!
//! In: what is on its way into the pipeline. Out: the same, but that of a library found by signature
//! waits until one of its connections has shown what a connection of HTTP shows: the beginning of a
//! request one way and of a response the other, over a socket that is known to carry TLS, or three
//! times where the socket is not known. So functions that were taken for others never become
//! calls, and no call of the right ones is lost. What waits is bounded.

use std::sync::Arc;

use super::bounded::Bounded;
use super::libraries::Libraries;
use super::likely_http::{Half, half};
use super::proof::Proof;
use crate::discover::Process;
use crate::stream::{Bytes, ConnId, Direction, Flow, Input, Tls, TlsHello};

/// Connections that wait. A library proves itself with its first connections of HTTP; those that
/// speak something else wait as long as they are open.
const MOST_WAITING: usize = 1_024;
/// Bytes that wait of one connection: requests and their answers, not downloads.
const MOST_HELD: usize = 256 << 10;
/// What waits of one connection, bytes or not.
const MOST_ITEMS: usize = 256;
/// Bytes that wait of all of them.
const MOST_HELD_IN_ALL: usize = 16 << 20;

/// One input that waits.
#[derive(Debug)]
enum Item {
    Tls(Arc<Tls>),
    Owner(Arc<Process>),
    Peer(Flow),
    Hello(Arc<TlsHello>),
    Bytes {
        time_ns: u64,
        direction: Direction,
        offset: u64,
        len: u64,
        bytes: Box<[u8]>,
    },
}

/// A connection that waits.
#[derive(Debug)]
struct Waiting {
    proof: Arc<Proof>,
    items: Vec<Item>,
    held: usize,
    /// Its socket is known to carry TLS.
    bound: bool,
    /// It has shown HTTP, and counts.
    counted: bool,
    /// What the bytes that went each way look like, inbound and outbound.
    halves: [Option<Half>; 2],
}

/// See the module.
#[derive(Debug)]
pub(super) struct Proofs {
    /// Says what a library has still to prove.
    libraries: Libraries,
    waiting: Bounded<ConnId, Waiting>,
    held: usize,
    left_out: u64,
}

impl Proofs {
    pub(super) fn new(libraries: Libraries) -> Self {
        Self {
            libraries,
            waiting: Bounded::new(MOST_WAITING),
            held: 0,
            left_out: 0,
        }
    }

    /// Pieces of plaintext that were left out: their library did not prove itself in time.
    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Takes what is on its way.
    pub(super) fn pass(&mut self, input: Input<'_>, out: &mut impl FnMut(Input<'_>)) {
        if let Input::Tls { conn, tls } = &input
            && let Some(proof) = self.libraries.proof_of(tls)
        {
            self.begin(*conn, proof);
        }
        if self.waiting.len() == 0 {
            out(input);
            return;
        }
        let conn = match &input {
            Input::Tls { conn, .. }
            | Input::Owner { conn, .. }
            | Input::Peer { conn, .. }
            | Input::Hello { conn, .. }
            | Input::Closed { conn, .. }
            | Input::Bytes(Bytes { conn, .. }) => *conn,
            Input::Segment(_)
            | Input::LeftOut { .. }
            | Input::OwnerFollows { .. }
            | Input::End { .. } => {
                out(input);
                return;
            }
        };
        let Some(waiting) = self.waiting.get_mut(&conn) else {
            out(input);
            return;
        };
        if matches!(input, Input::Closed { .. }) {
            let is_proved = waiting.proof.is_proved();
            self.end(conn, is_proved, out);
            out(input);
            return;
        }
        if waiting.hold(&input, &mut self.held) {
            waiting.look(&input);
        } else {
            self.left_out += 1;
        }
        if waiting.proof.is_proved() {
            self.end(conn, true, out);
        }
    }

    /// Lets go on what waits for a library that another connection has proved.
    pub(super) fn tick(&mut self, out: &mut impl FnMut(Input<'_>)) {
        if self.waiting.len() == 0 {
            return;
        }
        let proved: Vec<ConnId> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.proof.is_proved())
            .map(|(conn, _)| *conn)
            .collect();
        for conn in proved {
            self.end(conn, true, out);
        }
    }

    fn begin(&mut self, conn: ConnId, proof: Arc<Proof>) {
        let new = Waiting {
            proof,
            items: Vec::new(),
            held: 0,
            bound: false,
            counted: false,
            halves: [None; 2],
        };
        if let Some((_, oldest)) = self.waiting.insert(conn, new) {
            self.held = self.held.saturating_sub(oldest.held);
            self.left_out += oldest.pieces();
        }
    }

    /// The wait is over.
    fn end(&mut self, conn: ConnId, is_proved: bool, out: &mut impl FnMut(Input<'_>)) {
        let Some(waiting) = self.waiting.remove(&conn) else {
            return;
        };
        self.held = self.held.saturating_sub(waiting.held);
        if !is_proved {
            self.left_out += waiting.pieces();
            return;
        }
        for item in waiting.items {
            item.go_on(conn, out);
        }
    }
}

impl Waiting {
    /// Pieces of plaintext that wait.
    fn pieces(&self) -> u64 {
        let bytes = |item: &&Item| matches!(item, Item::Bytes { .. });
        self.items.iter().filter(bytes).count() as u64
    }

    /// Keeps an input; `false` if there is no room.
    fn hold(&mut self, input: &Input<'_>, in_all: &mut usize) -> bool {
        let item = match input {
            Input::Tls { tls, .. } => Item::Tls(Arc::clone(tls)),
            Input::Owner { process, .. } => Item::Owner(Arc::clone(process)),
            Input::Peer { flow, .. } => Item::Peer(*flow),
            Input::Hello { hello, .. } => Item::Hello(Arc::clone(hello)),
            Input::Bytes(bytes) => {
                let size = bytes.bytes.len();
                if self.held + size > MOST_HELD || *in_all + size > MOST_HELD_IN_ALL {
                    return false;
                }
                self.held += size;
                *in_all += size;
                Item::Bytes {
                    time_ns: bytes.time_ns,
                    direction: bytes.direction,
                    offset: bytes.offset,
                    len: bytes.len,
                    bytes: bytes.bytes.into(),
                }
            }
            _ => return true,
        };
        let room = self.items.len() < MOST_ITEMS;
        if room {
            self.items.push(item);
        }
        room
    }

    /// Does it prove anything?
    fn look(&mut self, input: &Input<'_>) {
        match input {
            Input::Peer { .. } => self.bound = true,
            Input::Bytes(bytes) => {
                let way = match bytes.direction {
                    Direction::Inbound => 0,
                    Direction::Outbound => 1,
                };
                if let Some(slot @ None) = self.halves.get_mut(way) {
                    *slot = half(bytes.bytes);
                }
            }
            _ => return,
        }
        if let [Some(inbound), Some(outbound)] = self.halves
            && inbound.answers(outbound)
        {
            if !self.counted {
                self.counted = true;
                self.proof.add(self.bound);
            } else if self.bound {
                self.proof.settle();
            }
        }
    }
}

impl Item {
    fn go_on(self, conn: ConnId, out: &mut impl FnMut(Input<'_>)) {
        match self {
            Self::Tls(tls) => out(Input::Tls { conn, tls }),
            Self::Owner(process) => out(Input::Owner { conn, process }),
            Self::Peer(flow) => out(Input::Peer { conn, flow }),
            Self::Hello(hello) => out(Input::Hello { conn, hello }),
            Self::Bytes {
                time_ns,
                direction,
                offset,
                len,
                bytes,
            } => out(Input::Bytes(Bytes {
                conn,
                time_ns,
                direction,
                offset,
                len,
                bytes: &bytes,
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use Direction::{Inbound, Outbound};

    use super::*;
    use crate::discover::placement::{FoundBy, LibraryPlan};

    struct Bench {
        proofs: Proofs,
        libraries: Libraries,
        number: u32,
        told: Vec<(u64, String)>,
    }

    impl Bench {
        fn new() -> Self {
            let libraries = Libraries::default();
            let plan = LibraryPlan {
                library: "boringssl".to_owned(),
                found_by: FoundBy::Signature,
                points: Vec::new(),
                notes: Vec::new(),
            };
            Self {
                proofs: Proofs::new(libraries.clone()),
                number: libraries.number(&Arc::new(plan)),
                libraries,
                told: Vec::new(),
            }
        }

        fn pass(&mut self, input: Input<'_>) {
            let told = &mut self.told;
            self.proofs.pass(input, &mut |input| tell(told, &input));
        }

        /// Whether it is proved, and by how many connections.
        fn proved(&self) -> (bool, u64) {
            let rows = self.libraries.proved();
            assert_eq!(rows.len(), 1, "{rows:?}");
            (rows[0].proved, rows[0].connections)
        }

        fn open(&mut self, conn: u64) {
            let tls = self.libraries.get(self.number);
            self.pass(Input::Tls {
                conn: ConnId(conn),
                tls,
            });
        }

        fn bind(&mut self, conn: u64) {
            let flow = Flow {
                local: ([10, 0, 0, 1], 443).into(),
                remote: ([10, 0, 0, 2], 5000).into(),
                link: None,
            };
            self.pass(Input::Peer {
                conn: ConnId(conn),
                flow,
            });
        }

        fn bytes(&mut self, conn: u64, direction: Direction, bytes: &[u8]) {
            self.pass(Input::Bytes(Bytes {
                conn: ConnId(conn),
                time_ns: 1,
                direction,
                offset: 0,
                len: bytes.len() as u64,
                bytes,
            }));
        }

        /// What was told since this was asked last.
        fn told(&mut self) -> Vec<(u64, String)> {
            std::mem::take(&mut self.told)
        }
    }

    fn tell(told: &mut Vec<(u64, String)>, input: &Input<'_>) {
        let (conn, what) = match input {
            Input::Tls { conn, .. } => (conn, "tls".to_owned()),
            Input::Peer { conn, .. } => (conn, "peer".to_owned()),
            Input::Closed { conn, .. } => (conn, "closed".to_owned()),
            Input::Bytes(bytes) => {
                let text = String::from_utf8_lossy(bytes.bytes).into_owned();
                (&bytes.conn, text)
            }
            _ => return,
        };
        told.push((conn.0, what));
    }

    fn row(conn: u64, what: &str) -> (u64, String) {
        (conn, what.to_owned())
    }

    const REQUEST: &[u8] = b"GET / HTTP/1.1";
    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK";

    #[test]
    fn nothing_is_told_until_a_connection_has_shown_both_ways_and_then_all_of_it() {
        let mut bench = Bench::new();
        bench.open(1);
        bench.bind(1);
        bench.open(2);
        bench.bytes(1, Inbound, REQUEST);
        bench.bytes(2, Inbound, b"POST /b HTTP/1.1");
        assert_eq!(bench.told(), []);
        bench.bytes(1, Outbound, RESPONSE);
        assert_eq!(
            bench.told(),
            [
                row(1, "tls"),
                row(1, "peer"),
                row(1, "GET / HTTP/1.1"),
                row(1, "HTTP/1.1 200 OK")
            ]
        );
        // What waited for the same library follows, and what comes later does not wait.
        let told = &mut bench.told;
        bench.proofs.tick(&mut |input| tell(told, &input));
        assert_eq!(bench.told(), [row(2, "tls"), row(2, "POST /b HTTP/1.1")]);
        bench.open(3);
        bench.bytes(3, Inbound, b"anything");
        assert_eq!(bench.told(), [row(3, "tls"), row(3, "anything")]);
        assert_eq!((bench.proved(), bench.proofs.held), ((true, 1), 0));
    }

    #[test]
    fn what_does_not_look_like_http_is_never_told() {
        let mut bench = Bench::new();
        for conn in 1..9 {
            bench.open(conn);
            bench.bind(conn);
            bench.bytes(conn, Inbound, REQUEST);
            bench.bytes(conn, Outbound, b"\x17\x03\x03\x00\x20 ciphertext");
            bench.bytes(conn, Outbound, REQUEST);
            bench.pass(Input::Closed {
                conn: ConnId(conn),
                time_ns: 2,
            });
            assert_eq!(bench.told(), [row(conn, "closed")]);
        }
        assert_eq!(bench.proved(), (false, 0));
        assert_eq!((bench.proofs.left_out(), bench.proofs.held), (24, 0));
    }

    #[test]
    fn without_a_socket_three_connections_are_needed() {
        let mut bench = Bench::new();
        for conn in 1..4 {
            assert_eq!(bench.told(), []);
            bench.open(conn);
            bench.bytes(conn, Inbound, REQUEST);
            bench.bytes(conn, Outbound, RESPONSE);
            bench.bytes(conn, Inbound, REQUEST);
        }
        assert_eq!(bench.proved(), (true, 3));
        // The first one's socket would have been enough.
        let mut bench = Bench::new();
        bench.open(1);
        bench.bytes(1, Inbound, REQUEST);
        bench.bytes(1, Outbound, RESPONSE);
        assert_eq!(bench.told(), []);
        bench.bind(1);
        assert_eq!(bench.told().len(), 4);
    }

    #[test]
    fn what_waits_is_bounded_and_counted() {
        let mut bench = Bench::new();
        bench.open(1);
        let large = vec![b'x'; MOST_HELD];
        bench.bytes(1, Inbound, &large);
        bench.bytes(1, Inbound, b"more");
        assert_eq!(bench.proofs.left_out(), 1);
        for conn in 0..2 * MOST_WAITING as u64 {
            bench.open(conn + 10);
            bench.bytes(conn + 10, Inbound, &large);
        }
        assert!(bench.proofs.held <= MOST_HELD_IN_ALL);
        assert!(bench.proofs.left_out() > MOST_WAITING as u64);
        assert!(bench.proofs.waiting.len() <= MOST_WAITING);
        assert_eq!(bench.told(), []);
    }
}
