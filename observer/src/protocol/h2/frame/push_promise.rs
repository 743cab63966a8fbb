//! PUSH_PROMISE (RFC 9113 §6.6).

use super::padding::unpadded;
use super::{FrameError, FrameHead, on_stream, word};

/// A request that a server makes up for what it is about to push.
#[derive(Clone, Copy)]
pub struct PushPromise<'a> {
    /// The stream of the request that led to it.
    pub stream: u32,
    /// The stream that is pushed.
    pub promised: u32,
    /// Part of the header block.
    pub fragment: &'a [u8],
    /// No CONTINUATION follows.
    pub end_headers: bool,
}

impl<'a> PushPromise<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// On stream 0, too short, promising stream 0, or with too much padding.
    pub fn parse(head: &FrameHead, payload: &'a [u8]) -> Result<Self, FrameError> {
        let stream = on_stream(head)?;
        let mut fragment = unpadded(head, payload)?;
        let promised = word(&mut fragment)? & 0x7fff_ffff;
        if promised == 0 {
            return Err(FrameError::Protocol);
        }
        Ok(Self {
            stream,
            promised,
            fragment,
            end_headers: head.has(FrameHead::END_HEADERS),
        })
    }
}

impl std::fmt::Debug for PushPromise<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushPromise")
            .field("stream", &self.stream)
            .field("promised", &self.promised)
            .field("len", &self.fragment.len())
            .field("end_headers", &self.end_headers)
            .finish()
    }
}
