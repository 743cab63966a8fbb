//! GOAWAY (RFC 9113 §6.8).

use super::{FrameError, FrameHead, on_connection, word};

/// The sender takes no new streams.
#[derive(Clone, Copy)]
pub struct GoAway<'a> {
    /// Streams of the other side above this one were not, and will not be, processed.
    pub last_stream: u32,
    /// Why (§7).
    pub code: u32,
    /// For people.
    pub debug: &'a [u8],
}

impl<'a> GoAway<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// Not on stream 0, or shorter than eight bytes.
    pub fn parse(head: &FrameHead, mut payload: &'a [u8]) -> Result<Self, FrameError> {
        on_connection(head)?;
        Ok(Self {
            last_stream: word(&mut payload)? & 0x7fff_ffff,
            code: word(&mut payload)?,
            debug: payload,
        })
    }
}

impl std::fmt::Debug for GoAway<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GoAway")
            .field("last_stream", &self.last_stream)
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}
