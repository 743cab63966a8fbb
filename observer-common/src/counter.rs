//! The ledger: what passed each source and what became of it. Kept per CPU in the kernel and
//! never carried by the ring, so it stays right when the ring is full.

/// Index of the packets' row in the ledger map.
pub const SOURCE_PACKETS: u32 = 0;
/// Index of the TLS libraries' row in the ledger map.
pub const SOURCE_TLS: u32 = 1;
/// Index of the socket functions' row in the ledger map.
pub const SOURCE_FUNCTIONS: u32 = 2;
/// Rows of the ledger map.
pub const SOURCES: u32 = 3;

/// Calls (segments, library calls) and payload bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Segments or library calls.
    pub calls: u64,
    /// Payload bytes.
    pub bytes: u64,
}

/// What became of the payload of one connection: its share of the ledger.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnBooks {
    /// Handed to the user half.
    pub delivered: Tally,
    /// Bodies that nobody needs.
    pub skipped: Tally,
    /// Left out on purpose.
    pub filtered: Tally,
    /// Wanted but not delivered.
    pub lost: Tally,
}

/// One row of the ledger: `seen = delivered + skipped + every filter + every loss`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerRow {
    /// All payload that passed the probe.
    pub seen: Tally,
    /// Handed to the user half.
    pub delivered: Tally,
    /// Bodies that nobody needs.
    pub skipped: Tally,
    /// The observer's own traffic.
    pub own: Tally,
    /// The client's side of a connection whose server's side is observed on this host.
    pub duplicate: Tally,
    /// TLS records; their plaintext is a row of its own.
    pub tls: Tally,
    /// Not HTTP.
    pub other: Tally,
    /// Left out by a setting.
    pub excluded: Tally,
    /// The ring was full.
    pub ring_full: Tally,
    /// Payload that could not be read.
    pub unreadable: Tally,
    /// Moved without passing the memory of a program (sendfile, splice), so not to be read there.
    pub no_memory: Tally,
    /// Part of one call beyond the largest number of events a call may take.
    pub too_large: Tally,
    /// Among `ring_full`: what began with a request of HTTP/1.
    pub lost_requests: Tally,
}

#[cfg(feature = "user")]
mod user {
    // SAFETY: repr(C), 64-bit integers only.
    unsafe impl aya::Pod for super::LedgerRow {}
}
