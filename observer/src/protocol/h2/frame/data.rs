//! DATA (RFC 9113 §6.1).

use super::padding::unpadded;
use super::{FrameError, FrameHead, on_stream};

/// A part of a body.
#[derive(Clone, Copy)]
pub struct Data<'a> {
    /// Its stream.
    pub stream: u32,
    /// Content, without padding.
    pub content: &'a [u8],
    /// The last of its stream in this direction.
    pub end_stream: bool,
}

impl<'a> Data<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// On stream 0, or with more padding than there is payload.
    pub fn parse(head: &FrameHead, payload: &'a [u8]) -> Result<Self, FrameError> {
        Ok(Self {
            stream: on_stream(head)?,
            content: unpadded(head, payload)?,
            end_stream: head.has(FrameHead::END_STREAM),
        })
    }
}

impl std::fmt::Debug for Data<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Data")
            .field("stream", &self.stream)
            .field("len", &self.content.len())
            .field("end_stream", &self.end_stream)
            .finish()
    }
}
