//! PING (RFC 9113 §6.7).

use super::{FrameError, FrameHead, on_connection};

/// A sign of life, or the answer to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// It is the answer.
    pub ack: bool,
    /// What the answer has to repeat.
    pub opaque: [u8; 8],
}

impl Ping {
    /// Reads a payload.
    ///
    /// # Errors
    /// Not on stream 0, or not of eight bytes.
    pub fn parse(head: &FrameHead, payload: &[u8]) -> Result<Self, FrameError> {
        on_connection(head)?;
        Ok(Self {
            ack: head.has(FrameHead::ACK),
            opaque: payload.try_into().map_err(|_| FrameError::Size)?,
        })
    }
}
