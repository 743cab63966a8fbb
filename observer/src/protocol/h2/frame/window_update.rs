//! WINDOW_UPDATE (RFC 9113 §6.9).

use super::{FrameError, FrameHead, word};

/// The sender takes more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowUpdate {
    /// Of this stream, or of all.
    pub stream: u32,
    /// So many more.
    pub increment: u32,
}

impl WindowUpdate {
    /// Reads a payload.
    ///
    /// # Errors
    /// Not of four bytes, or for no bytes.
    pub fn parse(head: &FrameHead, mut payload: &[u8]) -> Result<Self, FrameError> {
        let increment = word(&mut payload)? & 0x7fff_ffff;
        if !payload.is_empty() {
            return Err(FrameError::Size);
        }
        if increment == 0 {
            return Err(FrameError::Protocol);
        }
        Ok(Self {
            stream: head.stream,
            increment,
        })
    }
}
