//! HEADERS (RFC 9113 §6.2).

use super::padding::unpadded;
use super::priority::Dependency;
use super::{FrameError, FrameHead, on_stream};

/// Start of a header block, or all of it.
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    /// Its stream.
    pub stream: u32,
    /// Part of the header block.
    pub fragment: &'a [u8],
    /// Nothing follows on the stream in this direction but CONTINUATION.
    pub end_stream: bool,
    /// No CONTINUATION follows.
    pub end_headers: bool,
    /// Priority fields; deprecated.
    pub dependency: Option<Dependency>,
}

impl<'a> Headers<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// On stream 0, too short, or with more padding than there is payload.
    pub fn parse(head: &FrameHead, payload: &'a [u8]) -> Result<Self, FrameError> {
        let stream = on_stream(head)?;
        let mut fragment = unpadded(head, payload)?;
        let dependency = if head.has(FrameHead::PRIORITY) {
            Some(Dependency::parse(&mut fragment)?)
        } else {
            None
        };
        Ok(Self {
            stream,
            fragment,
            end_stream: head.has(FrameHead::END_STREAM),
            end_headers: head.has(FrameHead::END_HEADERS),
            dependency,
        })
    }
}

impl std::fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Headers")
            .field("stream", &self.stream)
            .field("len", &self.fragment.len())
            .field("end_stream", &self.end_stream)
            .field("end_headers", &self.end_headers)
            .finish_non_exhaustive()
    }
}
