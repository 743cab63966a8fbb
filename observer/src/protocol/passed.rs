//! Bytes of which no other message tells, for those who write a recording.

use crate::stream::Direction;

/// How bytes of a body were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyForm {
    /// As they are.
    Plain,
    /// In the chunked transfer coding (RFC 9112 §7.1). None at all: the end of it.
    Chunk,
    /// In DATA frames of HTTP/2 (RFC 9113 §6.1).
    Frame,
}

/// So many bytes passed.
#[derive(Clone, Copy, Debug)]
pub struct Passed<'a> {
    /// Which way.
    pub direction: Direction,
    /// The request whose body they are of, or whose answer; `None` if that is not known.
    pub id: Option<u64>,
    /// How they were sent; `None` if they are of no body, or could not be read.
    pub form: Option<BodyForm>,
    /// How many, after transfer decoding.
    pub len: u64,
    /// They are missing, and nobody asked for that.
    pub lost: bool,
    /// The same bytes without what was sent in them, if their structure counts: messages of
    /// remote procedure calls as zeros, with the prefixes they have.
    pub outline: Option<&'a [u8]>,
}
