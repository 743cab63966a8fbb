//! The events that travel through the ring, kernel half to user half.
//!
//! Every record begins with [`EventHeader`]; `kind` says which body follows it. Only the first
//! `captured` bytes of a payload are initialised: readers must never look past them.

use crate::counter::ConnBooks;

/// A TCP segment as it passed a socket. Body: [`SegmentBody`], then `captured` payload bytes.
pub const KIND_SEGMENT: u8 = 1;
/// Plaintext of a TLS library call. Body: [`PlaintextBody`], then `captured` payload bytes.
pub const KIND_PLAINTEXT: u8 = 2;
/// A process moved bytes over a socket whose owner was not known. Body: [`OwnerBody`].
pub const KIND_OWNER: u8 = 3;
/// A socket was closed. Body: [`ClosedBody`].
pub const KIND_CLOSED: u8 = 4;
/// A thread moved bytes of a TLS connection outside a TLS library call. Body: [`TlsIoBody`].
pub const KIND_TLS_IO: u8 = 5;
/// A TLS object was freed. Body: [`TlsFreedBody`].
pub const KIND_TLS_FREED: u8 = 6;
/// Bytes that a socket function moved. Body: [`BytesBody`], then `captured` payload bytes.
pub const KIND_BYTES: u8 = 7;

/// Bytes that came in through the socket observed.
pub const INBOUND: u8 = 0;
/// Bytes that went out through the socket observed.
pub const OUTBOUND: u8 = 1;

/// The segment carries SYN.
pub const FLAG_SYN: u16 = 1;
/// The segment carries FIN: no bytes follow in this direction.
pub const FLAG_FIN: u16 = 2;
/// The segment carries RST.
pub const FLAG_RST: u16 = 4;
/// The connection was opened while the probes were attached, so its first byte was seen.
pub const FLAG_FROM_START: u16 = 8;
/// This host opened the connection (it sent the SYN).
pub const FLAG_CONNECTED: u16 = 16;
/// The other end of the connection is a socket of this host.
pub const FLAG_PEER_LOCAL: u16 = 32;
/// The connection carries TLS records; payload is not captured from its packets.
pub const FLAG_TLS: u16 = 64;

/// The segment completed the handshake and was seen under the listener: the socket it belongs to
/// has the same addresses and shows with its next segment.
pub const FLAG_EMBRYO: u16 = 128;
/// The first event of a stream whose bytes are taken at socket functions.
pub const FLAG_FIRST: u16 = 256;

/// The kernel half has read how long the body is and leaves out what comes before `until`, as far
/// as it was not captured here.
pub const FLAG_SKIPS: u16 = 512;

/// Most rings that events are spread over: a host of 64 processors gets as many by itself, and its
/// probes hardly wait for each other.
pub const MOST_RINGS: u32 = 16;

/// What every event begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventHeader {
    /// One of the `KIND_` constants.
    pub kind: u8,
    /// [`INBOUND`] or [`OUTBOUND`].
    pub direction: u8,
    /// `FLAG_` bits.
    pub flags: u16,
    /// Payload bytes that follow the body.
    pub captured: u32,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// Socket cookie; 0 if the event is not bound to a socket.
    pub cookie: u64,
}

/// Addresses of a connection as the socket observed sees them. Network byte order in `local` and
/// `remote`; an IPv4 address takes the first four bytes. Ports are in host byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuple {
    /// Address of this end.
    pub local: [u8; 16],
    /// Address of the other end.
    pub remote: [u8; 16],
    /// Port of this end.
    pub local_port: u16,
    /// Port of the other end.
    pub remote_port: u16,
    /// 4 or 6; 0 if the addresses are not known.
    pub family: u8,
    /// Explicit padding, always 0.
    pub pad: [u8; 3],
}

/// A TCP segment, or a part of a large one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentBody {
    /// Addresses.
    pub tuple: Tuple,
    /// TCP sequence number of the first payload byte of this part.
    pub seq: u32,
    /// Payload bytes this part stands for; those not captured are a gap of known size.
    pub moved: u32,
    /// The same number at both ends of one connection, made of its two initial sequence numbers;
    /// 0 if the opening was not seen.
    pub link: u64,
    /// With [`FLAG_SKIPS`]: sequence number of the first byte that is not left out.
    pub until: u32,
    /// Explicit padding, always 0.
    pub pad: u32,
}

/// Plaintext that one TLS library call moved, or a part of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaintextBody {
    /// Unique number of this TLS object's life, given at its first use.
    pub stream: u64,
    /// Address of the TLS object in its process.
    pub object: u64,
    /// Plaintext bytes moved in this direction before this part.
    pub offset: u64,
    /// Plaintext bytes this part stands for.
    pub moved: u32,
    /// Process (thread group).
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// Number of the probed library, as given when the probe was attached.
    pub library: u32,
    /// With [`FLAG_SKIPS`]: low half of the offset of the first byte that is not left out.
    pub until: u32,
    /// Explicit padding, always 0.
    pub pad: u32,
}

/// Bytes that one call of a socket function moved.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BytesBody {
    /// Addresses; family 0 for Unix sockets.
    pub tuple: Tuple,
    /// TCP: sequence number of the first byte. Else the bytes moved in this direction before.
    pub offset: u64,
    /// Bytes moved; those not captured are a gap of known size.
    pub moved: u32,
    /// One of the `SOCKET_` constants.
    pub socket: u8,
    /// Explicit padding, always 0.
    pub pad: [u8; 3],
    /// With [`FLAG_SKIPS`]: low half of the place of the first byte that is not left out.
    pub until: u32,
    /// Explicit padding, always 0.
    pub pad_end: u32,
}

/// Which process moves the bytes of a socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnerBody {
    /// Process (thread group).
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// Its name, as in `/proc/TGID/comm`.
    pub comm: [u8; 16],
}

/// The end of a socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClosedBody {
    /// What became of its payload; all zero where the kernel half cannot reach that.
    pub books: ConnBooks,
}

/// Ciphertext moved over a TLS connection by a thread that was not inside a TLS library call:
/// what binds a TLS object with memory buffers to its socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsIoBody {
    /// Process (thread group).
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// Ciphertext bytes moved by the call.
    pub moved: u32,
    /// Explicit padding, always 0.
    pub pad: u32,
}

/// The end of a TLS object.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsFreedBody {
    /// The number its events carried.
    pub stream: u64,
}

const _: () = assert!(size_of::<EventHeader>() == 24);
const _: () = assert!(size_of::<Tuple>() == 40);
const _: () = assert!(size_of::<SegmentBody>() == 64);
const _: () = assert!(size_of::<PlaintextBody>() == 48);
const _: () = assert!(size_of::<BytesBody>() == 64);
const _: () = assert!(size_of::<OwnerBody>() == 24);
const _: () = assert!(size_of::<TlsIoBody>() == 16);
const _: () = assert!(size_of::<ClosedBody>() == 64);
