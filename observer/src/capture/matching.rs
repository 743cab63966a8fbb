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
/// Plaintext of one record (RFC 8446 5.1).
const RECORD: u64 = 16_384;

/// How long a socket operation waits for its library call: an event loop handles both in one turn.
const LIFETIME_NS: u64 = 2_000_000_000;
/// Operations remembered for one thread. An event loop may receive from several sockets before it
/// decrypts; more than this in one turn are not matched until a later call.
const OPERATIONS: usize = 16;

/// A socket operation or a library call of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Operation {
    /// Socket cookie, or number of the TLS stream.
    id: u64,
    time_ns: u64,
    bytes: u64,
}

/// What one thread did lately.
#[derive(Debug, Default)]
pub(super) struct ThreadMatch {
    received: Vec<Operation>,
    wrote: Vec<Operation>,
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
                remember(&mut self.received, cookie, bytes, now_ns);
                None
            }
            Direction::Outbound => take(&mut self.wrote, now_ns, |written| fits(written, bytes)),
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
                if let Some(last) = self.wrote.last_mut()
                    && last.id == stream
                {
                    last.bytes += bytes;
                    last.time_ns = now_ns;
                } else {
                    remember(&mut self.wrote, stream, bytes, now_ns);
                }
                None
            }
        }
    }
}

/// `ciphertext` bytes may be records that hold `plaintext` bytes.
fn fits(plaintext: u64, ciphertext: u64) -> bool {
    let records = plaintext.div_ceil(RECORD).max(1);
    ciphertext.checked_sub(plaintext).is_some_and(|added| {
        (ADDED.start() * records..=ADDED.end() + ADDED.start() * 2 * records).contains(&added)
    })
}

fn remember(operations: &mut Vec<Operation>, id: u64, bytes: u64, time_ns: u64) {
    if operations.len() >= OPERATIONS {
        operations.remove(0);
    }
    operations.push(Operation { id, time_ns, bytes });
}

/// Takes the one operation that fits. If several of different ids do, none is taken: a wrong
/// binding would give a call a stranger's address.
fn take(operations: &mut Vec<Operation>, now_ns: u64, fits: impl Fn(u64) -> bool) -> Option<u64> {
    operations.retain(|operation| now_ns.saturating_sub(operation.time_ns) <= LIFETIME_NS);
    let mut found = operations
        .iter()
        .filter(|operation| fits(operation.bytes))
        .map(|operation| operation.id);
    let id = found.next()?;
    if found.any(|other| other != id) {
        return None;
    }
    operations.retain(|operation| operation.id != id);
    Some(id)
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
    fn two_sockets_that_fit_are_left_open() {
        let mut thread = ThreadMatch::default();
        thread.socket(7, Inbound, 122, 10);
        thread.socket(8, Inbound, 122, 11);
        assert_eq!(thread.plaintext(1, Inbound, 100, 20), None);
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
