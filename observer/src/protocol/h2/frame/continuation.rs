//! CONTINUATION (RFC 9113 §6.10).

use super::{FrameError, FrameHead, on_stream};

/// More of a header block.
#[derive(Clone, Copy)]
pub struct Continuation<'a> {
    /// The stream of the HEADERS or PUSH_PROMISE before it.
    pub stream: u32,
    /// Part of the header block.
    pub fragment: &'a [u8],
    /// The last of the block.
    pub end_headers: bool,
}

impl<'a> Continuation<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// On stream 0.
    pub fn parse(head: &FrameHead, payload: &'a [u8]) -> Result<Self, FrameError> {
        Ok(Self {
            stream: on_stream(head)?,
            fragment: payload,
            end_headers: head.has(FrameHead::END_HEADERS),
        })
    }
}

impl std::fmt::Debug for Continuation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Continuation")
            .field("stream", &self.stream)
            .field("len", &self.fragment.len())
            .field("end_headers", &self.end_headers)
            .finish()
    }
}
