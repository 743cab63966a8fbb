//! What enters the pipeline, whatever its source: probes, a capture file or a transcript.

use std::net::SocketAddr;
use std::sync::Arc;

use super::TlsHello;
use crate::discover::Process;

/// Names one observed byte stream pair: a socket (its cookie), a TLS object, or a line of a
/// transcript. Unique for the life of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// Which way bytes went through the end that was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// They came in.
    Inbound,
    /// They went out.
    Outbound,
}

/// The two ends of a connection, as the end observed sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The same number at both ends of one connection if both are on this host; `None` if the
    /// opening was not seen.
    pub link: Option<u64>,
}

/// The TLS library that plaintext was taken from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Library and its version as far as known, such as `openssl 3.0.19`.
    pub library: String,
    /// Protocol version, such as `TLSv1.3`, if known.
    pub version: Option<String>,
}

/// A TCP segment (or a part of one) in the order it was seen, which need not be stream order.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The socket.
    pub conn: ConnId,
    /// Monotonic nanoseconds.
    pub time_ns: u64,
    /// Which way.
    pub direction: Direction,
    /// Sequence number of the first payload byte (for a SYN: of the SYN itself, RFC 9293).
    pub seq: u32,
    /// SYN is set.
    pub syn: bool,
    /// FIN is set: the stream ends after this segment.
    pub fin: bool,
    /// RST is set.
    pub rst: bool,
    /// Payload bytes the segment stands for; at least `bytes.len()`. What `bytes` lacks at the
    /// end is a gap of known size.
    pub len: u32,
    /// The payload bytes that were captured: always a prefix.
    pub bytes: &'a [u8],
    /// Addresses.
    pub flow: Flow,
    /// The connection was opened under observation: a first segment of each direction starts
    /// its stream.
    pub from_start: bool,
    /// The source has read how long the body at hand is, and leaves out what comes before this
    /// many bytes after the first, as far as it was not captured here.
    pub skips: Option<u32>,
}

/// Bytes at a known offset of a stream: TLS plaintext, transcripts.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    /// The stream pair.
    pub conn: ConnId,
    /// Monotonic nanoseconds.
    pub time_ns: u64,
    /// Which way.
    pub direction: Direction,
    /// Bytes moved in this direction before these. A jump forward is a gap of known size.
    pub offset: u64,
    /// Bytes these stand for; at least `bytes.len()`; the rest is a gap at the end.
    pub len: u64,
    /// The bytes that were captured: always a prefix.
    pub bytes: &'a [u8],
    /// As [`Segment::skips`].
    pub skips: Option<u32>,
}

/// One step of the pipeline.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Bytes ordered by TCP sequence number.
    Segment(Segment<'a>),
    /// Bytes ordered by stream offset.
    Bytes(Bytes<'a>),
    /// The next bytes of a direction were left out on purpose, by who recorded them: nothing is
    /// lost.
    LeftOut {
        /// The stream pair.
        conn: ConnId,
        /// Monotonic nanoseconds.
        time_ns: u64,
        /// Which direction.
        direction: Direction,
        /// Bytes moved in this direction before these.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// The addresses of a stream pair became known (a TLS object was bound to its socket).
    Peer {
        /// The stream pair.
        conn: ConnId,
        /// Its addresses.
        flow: Flow,
    },
    /// The bytes of this stream pair are plaintext of TLS.
    Tls {
        /// The stream pair.
        conn: ConnId,
        /// Where the plaintext was taken from.
        tls: Arc<Tls>,
    },
    /// What the hellos of its TLS connection said, all that is known until now.
    Hello {
        /// The stream pair.
        conn: ConnId,
        /// What they said.
        hello: Arc<TlsHello>,
    },
    /// The process that owns this end became known.
    Owner {
        /// The stream pair.
        conn: ConnId,
        /// Its process.
        process: Arc<Process>,
    },
    /// The process that owns this end will be known within a moment, and calls are better told
    /// with it.
    OwnerFollows {
        /// The stream pair.
        conn: ConnId,
    },
    /// One direction ended: no bytes follow.
    End {
        /// The stream pair.
        conn: ConnId,
        /// Monotonic nanoseconds.
        time_ns: u64,
        /// Which direction.
        direction: Direction,
    },
    /// The connection is gone. Whatever is open is finished or marked as cut short.
    Closed {
        /// The stream pair.
        conn: ConnId,
        /// Monotonic nanoseconds.
        time_ns: u64,
    },
}
