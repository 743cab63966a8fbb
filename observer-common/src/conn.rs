//! What the kernel half keeps for each socket, and what the user half may tell it about one.

use crate::counter::ConnBooks;

/// Nothing decided yet: payload goes to the user half, which will say.
pub const VERDICT_OPEN: u8 = 0;
/// HTTP/1: payload goes to the user half.
pub const VERDICT_HTTP: u8 = 1;
/// TLS records (the probes rely on its bits: second set, first not): payload stays; plaintext comes from the TLS library.
pub const VERDICT_TLS: u8 = 2;
/// Something else: nothing but counters.
pub const VERDICT_OTHER: u8 = 3;

/// Not HTTP, and not one of these.
pub const PROTOCOL_UNKNOWN: u8 = 0;
/// Its name is in [`PROTOCOL_NAMES`].
pub const PROTOCOL_SSH: u8 = 1;
/// Its name is in [`PROTOCOL_NAMES`].
pub const PROTOCOL_POSTGRESQL: u8 = 2;
/// Its name is in [`PROTOCOL_NAMES`].
pub const PROTOCOL_MYSQL: u8 = 3;
/// Its name is in [`PROTOCOL_NAMES`].
pub const PROTOCOL_REDIS: u8 = 4;
/// Its name is in [`PROTOCOL_NAMES`].
pub const PROTOCOL_SMTP_OR_FTP: u8 = 5;
/// Its name is in [`PROTOCOL_NAMES`].
pub const PROTOCOL_AMQP: u8 = 6;
/// Its name is in [`PROTOCOL_NAMES`].
pub const PROTOCOL_MONGODB: u8 = 7;
/// Its name is in [`PROTOCOL_NAMES`].
pub const PROTOCOL_MQTT: u8 = 8;
/// Its name is in [`PROTOCOL_NAMES`].
pub const PROTOCOL_NATS: u8 = 9;
/// Its name is in [`PROTOCOL_NAMES`].
pub const PROTOCOL_BITTORRENT: u8 = 10;
/// Its name is in [`PROTOCOL_NAMES`].
pub const PROTOCOL_SMB: u8 = 11;
/// Protocols told apart.
pub const PROTOCOLS: u32 = 12;
/// The words for them in metrics, by number.
pub const PROTOCOL_NAMES: [&str; PROTOCOLS as usize] = [
    "unknown",
    "ssh",
    "postgresql",
    "mysql",
    "redis",
    "smtp_or_ftp",
    "amqp",
    "mongodb",
    "mqtt",
    "nats",
    "bittorrent",
    "smb",
];

/// State of one socket, in socket-local storage: it lives and dies with the socket, and sockets
/// accepted from a listener begin with a copy of the listener's.
///
/// Every field is its own byte or word because packets of both directions and system calls on
/// other processors write here without a lock: a store must never carry a neighbour's old value.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnState {
    /// The same number at both ends of one connection; 0 if the opening was not seen.
    pub link: u64,
    /// Address of the TLS object this socket was last bound to; 0 if none.
    pub tls_object: u64,
    /// Process that was last reported as the owner.
    pub owner: u32,
    /// TLS operations reported outside library calls, to bound their number.
    pub tls_io: u32,
    /// Packets with payload that came in (wraps).
    pub packets_in: u32,
    /// Packets with payload that went out (wraps).
    pub packets_out: u32,
    /// One of the `VERDICT_` constants.
    pub verdict: u8,
    /// 1: opened while the probes were attached.
    pub from_start: u8,
    /// 1: this host sent the SYN.
    pub connected: u8,
    /// 1: the other end is a socket of this host, which is observed too.
    pub peer_local: u8,
    /// 1: belongs to the observer itself.
    pub own: u8,
    /// 1: events were sent for it, so its end must be reported.
    pub emitted: u8,
    /// One of the `EXCLUDED_` constants.
    pub excluded: u8,
    /// One of the `REQUEST_` constants.
    pub request: u8,
    /// The part of the body coming in that is left out, as [`span`] packs it; 0 if none is.
    pub skip_in: u64,
    /// The same of the body going out.
    pub skip_out: u64,
    /// What became of its payload.
    pub books: ConnBooks,
}

/// No request was seen yet.
pub const REQUEST_UNKNOWN: u8 = 0;
/// The request seen last has no body that could name an operation.
pub const REQUEST_PLAIN: u8 = 1;
/// The request seen last may name an operation in its body.
pub const REQUEST_BODY: u8 = 2;
/// The request seen last is a HEAD: the length its answer states is that of no body.
pub const REQUEST_HEAD: u8 = 3;
/// The user half reads this connection in another way: nothing is left out of it any more.
pub const REQUEST_WHOLE: u8 = 4;

/// Packs a part of a direction, from the first byte that is left out to the first that is not, as
/// the low halves of their places.
pub const fn span(from: u32, until: u32) -> u64 {
    from as u64 | (until as u64) << 32
}

/// No filter was asked about the socket yet.
pub const EXCLUDED_UNKNOWN: u8 = 0;
/// No filter leaves the socket out.
pub const EXCLUDED_NOT: u8 = 1;
/// A filter leaves the socket out.
pub const EXCLUDED_YES: u8 = 2;

/// Only connections with one of the ports given are wanted.
pub const FILTER_ONLY_PORTS: u32 = 1;
/// Connections with one of the ports given are not wanted.
pub const FILTER_PORTS: u32 = 2;
/// Connections with an end in one of the networks given are not wanted.
pub const FILTER_NETWORKS: u32 = 4;
/// Connections of the control groups given, and of those below them, are not wanted.
pub const FILTER_CGROUPS: u32 = 8;
/// Connections of processes with one of the names given are not wanted.
pub const FILTER_NAMES: u32 = 16;

/// Most entries of one filter.
pub const FILTER_ENTRIES: u32 = 256;
/// Levels below the root at which a control group can be left out.
pub const FILTER_CGROUP_LEVELS: i32 = 8;

/// Value of a port that is wanted.
pub const PORT_ONLY: u8 = 1;
/// Value of a port that is not wanted.
pub const PORT_EXCLUDED: u8 = 2;

/// An address in the filter of networks: the family (4 or 6), three zeros, and the address as in
/// [`crate::event::Tuple`].
pub type FilterAddress = [u8; 20];

/// What the user half tells the kernel half about one socket, by cookie.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Nothing that came in below this sequence number is needed.
    pub skip_in: u32,
    /// Nothing that went out below this sequence number is needed.
    pub skip_out: u32,
    /// 1: `skip_in` holds. The kernel half sets it back to 0 once it is passed.
    pub skip_in_set: u8,
    /// 1: `skip_out` holds.
    pub skip_out_set: u8,
    /// One of the `VERDICT_` constants; [`VERDICT_OPEN`] changes nothing.
    pub verdict: u8,
    /// 1: the kernel half must not leave out bodies by itself.
    pub whole: u8,
}

/// Who moves the bytes of a socket, where tracing programs cannot reach its [`ConnState`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mover {
    /// Address of the TLS object the socket was last bound to; 0 if none.
    pub tls_object: u64,
    /// Process that was last reported as the owner.
    pub owner: u32,
    /// Explicit padding, always 0.
    pub pad: u32,
}

const _: () = assert!(size_of::<Mover>() == 16);
const _: () = assert!(size_of::<ConnState>() == 120);
const _: () = assert!(size_of::<Control>() == 12);

#[cfg(feature = "user")]
mod user {
    // SAFETY: repr(C), integers only, no implicit padding (sizes are asserted above).
    unsafe impl aya::Pod for super::ConnState {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Control {}
}
