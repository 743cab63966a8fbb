//! Finds the socket of a TLS object with memory buffers.
//!
//! Such an object (Node, Python's asyncio, .NET) makes no socket call of its own: the program
//! receives ciphertext, feeds it to the library, then reads plaintext, all on one thread; and the
//! other way round when it sends. So the socket operation next to a library call on the same
//! thread is its own if the sizes fit: a TLS record adds a header of 5 bytes and a tag, nonce,
//! MAC or padding to its plaintext (RFC 8446 5.2, RFC 5246 6.2.3).

use crate::stream::Direction;

/// Least and most that records add to the plaintext of one call: 5 + 16 of an AEAD cipher at the
/// least; the most allows for a handshake message or session ticket in the same packet, and CBC
/// padding.
const ADDED: std::ops::RangeInclusive<u64> = 17..=320;
/// What a record adds at the least.
pub(super) const RECORD_ADDS: u64 = *ADDED.start();
/// Plaintext of one record (RFC 8446 5.1).
const RECORD: u64 = 16_384;

/// How long an operation waits for its other half: an event loop handles both in one turn, one
/// right after the other.
const LIFETIME_NS: u64 = 100_000_000;

/// A socket operation or a library call of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Operation {
    /// Socket cookie, or number of the TLS stream.
    id: u64,
    time_ns: u64,
    bytes: u64,
}

/// What one thread did last. Only the newest operation counts: an event loop receives from one
/// socket and decrypts at once, so an older one that happens to fit belongs to another connection.
#[derive(Debug, Default)]
pub(super) struct ThreadMatch {
    received: Option<Operation>,
    wrote: Option<Operation>,
}

impl ThreadMatch {
    /// Ciphertext moved over a socket. Gives the TLS stream it belongs to, if that is clear.
    pub(super) fn socket(
        &mut self,
        cookie: u64,
        direction: Direction,
        bytes: u64,
        now_ns: u64,
    ) -> Option<u64> {
        match direction {
            Direction::Inbound => {
                // A large record may take several calls to receive.
                self.received = Some(Operation::next(self.received, cookie, bytes, now_ns));
                None
            }
            Direction::Outbound => {
                // An answer: what was received before it (a handshake) is dealt with.
                self.received = self.received.filter(|last| last.id != cookie);
                take(&mut self.wrote, now_ns, |written| fits(written, bytes))
            }
        }
    }

    /// Plaintext moved through an unbound TLS stream. Gives the socket it came from, if clear.
    pub(super) fn plaintext(
        &mut self,
        stream: u64,
        direction: Direction,
        bytes: u64,
        now_ns: u64,
    ) -> Option<u64> {
        match direction {
            Direction::Inbound => {
                take(&mut self.received, now_ns, |received| fits(bytes, received))
            }
            Direction::Outbound => {
                // A library may be given a message in pieces before it is sent once.
                self.wrote = Some(Operation::next(self.wrote, stream, bytes, now_ns));
                None
            }
        }
    }

    /// A socket whose TLS object is known moved bytes: what comes next is not of an older one.
    pub(super) fn other_socket(&mut self, direction: Direction) {
        match direction {
            Direction::Inbound => self.received = None,
            Direction::Outbound => self.wrote = None,
        }
    }
}

impl Operation {
    /// An operation that goes on from the last one if that was of the same socket or stream.
    fn next(last: Option<Self>, id: u64, bytes: u64, now_ns: u64) -> Self {
        let before = last
            .filter(|last| last.id == id && last.is_fresh(now_ns))
            .map_or(0, |last| last.bytes);
        Self {
            id,
            time_ns: now_ns,
            bytes: bytes.saturating_add(before),
        }
    }

    const fn is_fresh(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.time_ns) <= LIFETIME_NS
    }
}

/// `ciphertext` bytes may be records that hold `plaintext` bytes.
pub(super) fn fits(plaintext: u64, ciphertext: u64) -> bool {
    let records = plaintext.div_ceil(RECORD).max(1);
    ciphertext.checked_sub(plaintext).is_some_and(|added| {
        (ADDED.start() * records..=ADDED.end() + ADDED.start() * 2 * records).contains(&added)
    })
}

/// Takes the last operation if it fits. One that does not is over either way.
fn take(last: &mut Option<Operation>, now_ns: u64, fits: impl Fn(u64) -> bool) -> Option<u64> {
    let operation = last.take()?;
    (operation.is_fresh(now_ns) && fits(operation.bytes)).then_some(operation.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Inbound, Outbound};

    #[test]
    fn plaintext_is_bound_to_the_socket_just_received_from() {
        let mut thread = ThreadMatch::default();
        assert_eq!(thread.socket(7, Inbound, 122, 10), None);
        assert_eq!(thread.plaintext(1, Inbound, 100, 20), Some(7));
        assert_eq!(thread.plaintext(1, Inbound, 100, 30), None, "taken once");
    }

    #[test]
    fn ciphertext_is_bound_to_the_stream_just_written() {
        let mut thread = ThreadMatch::default();
        assert_eq!(thread.plaintext(1, Outbound, 60, 10), None);
        assert_eq!(thread.plaintext(1, Outbound, 40, 11), None, "in two pieces");
        assert_eq!(thread.socket(7, Outbound, 144, 20), Some(1));
    }

    #[test]
    fn sizes_that_cannot_be_records_are_not_bound() {
        let mut thread = ThreadMatch::default();
        thread.socket(7, Inbound, 100, 10);
        assert_eq!(thread.plaintext(1, Inbound, 100, 20), None, "nothing added");
        thread.socket(8, Inbound, 5000, 30);
        assert_eq!(
            thread.plaintext(1, Inbound, 100, 40),
            None,
            "too much added"
        );
    }

    #[test]
    fn of_two_sockets_that_fit_the_last_one_counts() {
        let mut thread = ThreadMatch::default();
        thread.socket(7, Inbound, 122, 10);
        thread.socket(8, Inbound, 122, 11);
        assert_eq!(thread.plaintext(1, Inbound, 100, 20), Some(8));
        assert_eq!(thread.plaintext(2, Inbound, 100, 21), None);
    }

    #[test]
    fn a_known_socket_in_between_ends_the_wait() {
        let mut thread = ThreadMatch::default();
        thread.socket(7, Inbound, 122, 10);
        thread.other_socket(Inbound);
        assert_eq!(thread.plaintext(1, Inbound, 100, 20), None);
    }

    #[test]
    fn a_record_received_in_two_calls_is_bound() {
        let mut thread = ThreadMatch::default();
        thread.socket(7, Inbound, 5000, 10);
        thread.socket(7, Inbound, 3022, 11);
        assert_eq!(thread.plaintext(1, Inbound, 8000, 20), Some(7));
    }

    #[test]
    fn a_handshake_does_not_count() {
        let mut thread = ThreadMatch::default();
        thread.socket(7, Inbound, 517, 10);
        thread.socket(7, Outbound, 1400, 11);
        thread.socket(7, Inbound, 80, 12);
        thread.socket(7, Inbound, 122, 13);
        assert_eq!(thread.plaintext(1, Inbound, 100, 20), Some(7));
    }

    #[test]
    fn an_old_operation_is_not_taken() {
        let mut thread = ThreadMatch::default();
        thread.socket(7, Inbound, 122, 10);
        assert_eq!(thread.plaintext(1, Inbound, 100, 3_000_000_000), None);
    }

    #[test]
    fn a_long_body_of_many_records_fits() {
        assert!(fits(160_000, 160_000 + 10 * 22));
        assert!(!fits(160_000, 160_000 + 22));
    }
}
