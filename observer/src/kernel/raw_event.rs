//! Events as they come out of a ring, read without trusting a length.

use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use observer_common::counter::ConnBooks;
use observer_common::event::{
    BytesBody, ClosedBody, EventHeader, FLAG_CONNECTED, FLAG_EMBRYO, FLAG_FIN, FLAG_FIRST,
    FLAG_FROM_START, FLAG_PEER_LOCAL, FLAG_RST, FLAG_SKIPS, FLAG_SYN, FLAG_TLS, INBOUND,
    KIND_BYTES, KIND_CLOSED, KIND_OWNER, KIND_PLAINTEXT, KIND_SEGMENT, KIND_TLS_FREED, KIND_TLS_IO,
    OUTBOUND, OwnerBody, PlaintextBody, SegmentBody, TlsFreedBody, TlsIoBody, Tuple,
};

use crate::stream::{Direction, Flow};

/// One event of the kernel half.
#[derive(Clone, Copy, Debug)]
pub enum RawEvent<'a> {
    /// A TCP segment, or a part of one.
    Segment {
        /// Socket cookie.
        cookie: u64,
        /// Monotonic nanoseconds.
        time_ns: u64,
        /// Which way.
        direction: Direction,
        /// What is known of the segment and its connection.
        flags: SegmentFlags,
        /// Sequence number of the first payload byte.
        seq: u32,
        /// Payload bytes it stands for.
        moved: u32,
        /// Addresses.
        flow: Flow,
        /// What comes before so many bytes after the first is left out, as far as it was not
        /// captured here.
        skips: Option<u32>,
        /// The payload captured.
        payload: &'a [u8],
    },
    /// Bytes that a socket function moved.
    Bytes {
        /// Number of the stream.
        stream: u64,
        /// Monotonic nanoseconds.
        time_ns: u64,
        /// Which way.
        direction: Direction,
        /// What is known of the connection.
        flags: SegmentFlags,
        /// One of the `SOCKET_` constants.
        socket: u8,
        /// Sequence number or offset of the first byte.
        offset: u64,
        /// Bytes moved.
        moved: u32,
        /// Addresses; none for Unix sockets.
        flow: Option<Flow>,
        /// As of a segment.
        skips: Option<u32>,
        /// The bytes captured.
        payload: &'a [u8],
    },
    /// Plaintext that a TLS library call moved, or a part of it.
    Plaintext {
        /// Cookie of the socket, if the TLS object is bound to one.
        cookie: Option<u64>,
        /// Monotonic nanoseconds.
        time_ns: u64,
        /// Which way.
        direction: Direction,
        /// What it belongs to.
        body: PlaintextBody,
        /// As of a segment.
        skips: Option<u32>,
        /// The plaintext captured.
        payload: &'a [u8],
    },
    /// A process moved bytes over a socket.
    Owner {
        /// Socket cookie.
        cookie: u64,
        /// The process.
        body: OwnerBody,
    },
    /// A socket closed.
    Closed {
        /// Socket cookie.
        cookie: u64,
        /// Monotonic nanoseconds.
        time_ns: u64,
        /// What became of its payload.
        books: ConnBooks,
    },
    /// Ciphertext moved outside a TLS library call.
    TlsIo {
        /// Socket cookie.
        cookie: u64,
        /// Monotonic nanoseconds.
        time_ns: u64,
        /// Which way.
        direction: Direction,
        /// By whom and how much.
        body: TlsIoBody,
    },
    /// A TLS object ended.
    TlsFreed {
        /// Monotonic nanoseconds.
        time_ns: u64,
        /// Which one.
        stream: u64,
    },
}

/// The `FLAG_` bits of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFlags(u16);

impl SegmentFlags {
    /// FIN is set.
    pub const fn fin(self) -> bool {
        self.0 & FLAG_FIN != 0
    }

    /// RST is set.
    pub const fn rst(self) -> bool {
        self.0 & FLAG_RST != 0
    }

    /// The connection was opened under observation.
    pub const fn from_start(self) -> bool {
        self.0 & FLAG_FROM_START != 0
    }

    /// This host opened the connection.
    pub const fn connected(self) -> bool {
        self.0 & FLAG_CONNECTED != 0
    }

    /// The other end is a socket of this host.
    pub const fn peer_local(self) -> bool {
        self.0 & FLAG_PEER_LOCAL != 0
    }

    /// It was seen under the listener: the socket it belongs to has the same addresses.
    pub const fn embryo(self) -> bool {
        self.0 & FLAG_EMBRYO != 0
    }

    /// The first event of its stream.
    pub const fn first(self) -> bool {
        self.0 & FLAG_FIRST != 0
    }

    /// It came with the SYN itself (TCP fast open).
    pub const fn syn(self) -> bool {
        self.0 & FLAG_SYN != 0
    }

    /// The connection carries TLS.
    pub const fn tls(self) -> bool {
        self.0 & FLAG_TLS != 0
    }
}

/// An event that does not hold what it must: the two halves are not of one build, or the ring is
/// corrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event of kind {kind} with {length} bytes is malformed")]
pub struct Malformed {
    /// The kind it says it is.
    pub kind: u8,
    /// Its length in bytes.
    pub length: usize,
}

/// Plain data of the shared layout: any bit pattern is a value.
trait Plain: Copy {}
impl Plain for u64 {}
impl Plain for EventHeader {}
impl Plain for SegmentBody {}
impl Plain for PlaintextBody {}
impl Plain for BytesBody {}
impl Plain for OwnerBody {}
impl Plain for ClosedBody {}
impl Plain for TlsIoBody {}
impl Plain for TlsFreedBody {}

fn read<T: Plain>(record: &[u8], at: usize) -> Option<T> {
    let bytes = record.get(at..at.checked_add(size_of::<T>())?)?;
    // SAFETY: `bytes` is exactly as long as T, T is repr(C) integers for which any bit pattern
    // is valid, and read_unaligned asks for no alignment.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

impl<'a> RawEvent<'a> {
    /// When the kernel half wrote a record: monotonic nanoseconds.
    pub(super) fn time_ns(record: &[u8]) -> Option<u64> {
        read(record, offset_of!(EventHeader, time_ns))
    }

    /// Reads one record of a ring.
    pub fn decode(record: &'a [u8]) -> Result<Self, Malformed> {
        Self::try_decode(record).ok_or(Malformed {
            kind: record.first().copied().unwrap_or(0),
            length: record.len(),
        })
    }

    fn try_decode(record: &'a [u8]) -> Option<Self> {
        let header: EventHeader = read(record, 0)?;
        let body_at = size_of::<EventHeader>();
        let EventHeader {
            kind,
            direction,
            flags,
            captured,
            time_ns,
            cookie,
        } = header;
        let direction = match direction {
            INBOUND => Direction::Inbound,
            OUTBOUND => Direction::Outbound,
            _ => return None,
        };
        let payload = |body: usize| {
            let from = body_at + body;
            record.get(from..from.checked_add(captured as usize)?)
        };
        let skips = |until: u32, at: u32| {
            let left = until.wrapping_sub(at);
            (flags & FLAG_SKIPS != 0).then_some(left)
        };
        Some(match kind {
            KIND_SEGMENT => {
                let body: SegmentBody = read(record, body_at)?;
                Self::Segment {
                    cookie,
                    time_ns,
                    direction,
                    flags: SegmentFlags(flags),
                    seq: body.seq,
                    moved: body.moved,
                    flow: flow(&body.tuple, body.link)?,
                    skips: skips(body.until, body.seq),
                    payload: payload(size_of::<SegmentBody>())?,
                }
            }
            KIND_PLAINTEXT => {
                let body: PlaintextBody = read(record, body_at)?;
                Self::Plaintext {
                    cookie: (cookie != 0).then_some(cookie),
                    time_ns,
                    direction,
                    body,
                    skips: skips(body.until, low(body.offset)),
                    payload: payload(size_of::<PlaintextBody>())?,
                }
            }
            KIND_BYTES => {
                let body: BytesBody = read(record, body_at)?;
                Self::Bytes {
                    stream: cookie,
                    time_ns,
                    direction,
                    flags: SegmentFlags(flags),
                    socket: body.socket,
                    offset: body.offset,
                    moved: body.moved,
                    flow: flow(&body.tuple, 0),
                    skips: skips(body.until, low(body.offset)),
                    payload: payload(size_of::<BytesBody>())?,
                }
            }
            KIND_OWNER => Self::Owner {
                cookie,
                body: read(record, body_at)?,
            },
            KIND_CLOSED => Self::Closed {
                cookie,
                time_ns,
                books: read::<ClosedBody>(record, body_at)?.books,
            },
            KIND_TLS_IO => Self::TlsIo {
                cookie,
                time_ns,
                direction,
                body: read(record, body_at)?,
            },
            KIND_TLS_FREED => Self::TlsFreed {
                time_ns,
                stream: read::<TlsFreedBody>(record, body_at)?.stream,
            },
            _ => return None,
        })
    }
}

/// The low half of an offset.
const fn low(offset: u64) -> u32 {
    (offset & u32::MAX as u64) as u32
}

fn flow(tuple: &Tuple, link: u64) -> Option<Flow> {
    let Tuple {
        local,
        remote,
        local_port,
        remote_port,
        family,
        pad: _,
    } = *tuple;
    let address = |bytes: [u8; 16]| match family {
        4 => Some(IpAddr::V4(Ipv4Addr::new(
            bytes[0], bytes[1], bytes[2], bytes[3],
        ))),
        6 => Some(IpAddr::V6(Ipv6Addr::from(bytes))),
        _ => None,
    };
    Some(Flow {
        local: SocketAddr::new(address(local)?, local_port),
        remote: SocketAddr::new(address(remote)?, remote_port),
        link: (link != 0).then_some(link),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<T: Plain>(value: &T) -> Vec<u8> {
        // SAFETY: T is repr(C) integers without padding; any byte of it may be read.
        unsafe {
            std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>())
        }
        .to_vec()
    }

    fn segment(captured: u32, payload: &[u8]) -> Vec<u8> {
        let mut tuple = Tuple {
            family: 4,
            local_port: 80,
            remote_port: 4000,
            ..Tuple::default()
        };
        tuple.local[..4].copy_from_slice(&[10, 0, 0, 1]);
        tuple.remote[..4].copy_from_slice(&[10, 0, 0, 2]);
        let mut record = bytes(&EventHeader {
            kind: KIND_SEGMENT,
            flags: FLAG_FIN | FLAG_FROM_START,
            captured,
            time_ns: 5,
            cookie: 9,
            ..EventHeader::default()
        });
        record.extend(bytes(&SegmentBody {
            tuple,
            seq: 7,
            moved: 3,
            until: 11,
            ..SegmentBody::default()
        }));
        record.extend(payload);
        record
    }

    #[test]
    fn a_segment_is_read_as_it_was_written() {
        // The record is as large as its size class; only `captured` bytes count.
        let record = segment(3, b"abcdefgh");
        let Ok(RawEvent::Segment {
            cookie: 9,
            time_ns: 5,
            direction: Direction::Inbound,
            flags,
            seq: 7,
            moved: 3,
            flow,
            skips: None,
            payload: b"abc",
        }) = RawEvent::decode(&record)
        else {
            panic!("not the segment written");
        };
        assert!(flags.fin() && flags.from_start() && !flags.rst() && !flags.tls());
        assert_eq!(flow.local.to_string(), "10.0.0.1:80");
        assert_eq!(flow.remote.to_string(), "10.0.0.2:4000");
        assert_eq!(flow.link, None);
    }

    #[test]
    fn a_record_that_ends_early_is_malformed_at_every_length() {
        let record = segment(8, b"abcdefgh");
        for length in 0..record.len() {
            assert!(
                RawEvent::decode(&record[..length]).is_err(),
                "{length} bytes"
            );
        }
        assert!(RawEvent::decode(&record).is_ok());
    }

    #[test]
    fn unknown_kinds_and_directions_are_malformed() {
        let mut record = segment(0, b"");
        record[0] = 200;
        assert_eq!(
            RawEvent::decode(&record).unwrap_err(),
            Malformed {
                kind: 200,
                length: record.len()
            }
        );
        let mut record = segment(0, b"");
        record[1] = 2;
        assert!(RawEvent::decode(&record).is_err());
    }
}
