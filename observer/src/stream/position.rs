//! A place in a stream, in the terms of its source.

/// A place in one direction of a stream pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// TCP sequence number (RFC 9293 §3.4; wraps).
    Seq(u32),
    /// Bytes moved in that direction before this place.
    Offset(u64),
}
