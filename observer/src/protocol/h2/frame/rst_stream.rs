//! RST_STREAM (RFC 9113 §6.4).

use super::{FrameError, FrameHead, on_stream, word};

/// The end of a stream in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RstStream {
    /// The stream.
    pub stream: u32,
    /// Why (§7).
    pub code: u32,
}

impl RstStream {
    /// Reads a payload.
    ///
    /// # Errors
    /// On stream 0, or not of four bytes.
    pub fn parse(head: &FrameHead, mut payload: &[u8]) -> Result<Self, FrameError> {
        let stream = on_stream(head)?;
        let code = word(&mut payload)?;
        if !payload.is_empty() {
            return Err(FrameError::Size);
        }
        Ok(Self { stream, code })
    }
}
