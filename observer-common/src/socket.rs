//! What the kernel half keeps for each socket whose bytes are taken at socket functions.

use crate::event::Tuple;

/// Plain TCP.
pub const SOCKET_TCP: u8 = 0;
/// A Unix stream socket.
pub const SOCKET_UNIX: u8 = 1;
/// TCP whose TLS the kernel does: plaintext passes the socket functions.
pub const SOCKET_KTLS: u8 = 2;

/// TCP is captured by packets: socket functions take Unix sockets and kernel TLS only.
pub const TCP_BY_PACKETS: u8 = 0;
/// TCP is captured by socket functions too.
pub const TCP_BY_FUNCTIONS: u8 = 1;

/// The number that the count of a connection begins with if its opening was not seen, so that its
/// offsets are never 0, which is a beginning.
pub const JOINED_AT: u64 = 1 << 32;

/// State of one socket, by its address in the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketStream {
    /// Number its events carry; never used for another connection.
    pub id: u64,
    /// Its address in the kernel, as a number.
    pub address: u64,
    /// Address of the TLS object this socket was last bound to; 0 if none.
    pub tls_object: u64,
    /// Bytes that came in, from 0 or [`JOINED_AT`] on.
    pub bytes_in: u64,
    /// Bytes that went out.
    pub bytes_out: u64,
    /// Addresses; family 0 until they were looked at.
    pub tuple: Tuple,
    /// Process that was last reported as the owner.
    pub owner: u32,
    /// TLS operations reported outside library calls, to bound their number.
    pub tls_io: u32,
    /// One of the `VERDICT_` constants.
    pub verdict: u8,
    /// 1: opened while the probes were attached.
    pub from_start: u8,
    /// 1: this end opened the connection.
    pub connected: u8,
    /// 1: the other end is observed on this host.
    pub duplicate: u8,
    /// 1: events were sent for it, so its end must be reported.
    pub emitted: u8,
    /// One of the `SOCKET_` constants.
    pub kind: u8,
    /// 1: what was moved last are records of a handshake, not yet plaintext.
    pub records: u8,
    /// One of the `EXCLUDED_` constants of [`crate::conn`].
    pub excluded: u8,
    /// One of the `REQUEST_` constants of [`crate::conn`].
    pub request: u8,
    /// Explicit padding, always 0.
    pub pad: [u8; 7],
    /// The part of the body coming in that is left out, as [`crate::conn::span`] packs it.
    pub skip_in: u64,
    /// The same of the body going out.
    pub skip_out: u64,
    /// Threads whose call the first of two programs has taken and the second has not passed yet;
    /// their places are [`taken_place`]s.
    pub taken: [u32; TAKEN],
}

/// Places in [`SocketStream::taken`].
pub const TAKEN: usize = 8;

/// The place of a thread that moves bytes in a direction. Several threads may use a socket at a
/// time; those that share a place seldom do.
#[inline(always)]
pub const fn taken_place(thread: u32, direction: u8) -> usize {
    (thread & 3) as usize | ((direction & 1) as usize) << 2
}

/// Arguments of a socket function, kept from its beginning to its end.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionCall {
    /// First argument, an address in the kernel.
    pub first: u64,
    /// Second argument, likewise.
    pub second: u64,
    /// Fourth argument: the flags of a receive.
    pub fourth: u32,
    /// Explicit padding, always 0.
    pub pad: u32,
}

impl FunctionCall {
    /// The first argument.
    pub const fn first(&self) -> *const u8 {
        self.first as *const u8
    }

    /// The second argument.
    pub const fn second(&self) -> *const u8 {
        self.second as *const u8
    }
}

const _: () = assert!(size_of::<FunctionCall>() == 24);
const _: () = assert!(size_of::<SocketStream>() == 152);
