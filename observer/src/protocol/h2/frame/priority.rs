//! PRIORITY (RFC 9113 §6.3): deprecated, but sent.

use super::{FrameError, FrameHead, on_stream, word};

/// What a stream depends on (RFC 7540 §5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// No other stream shares the dependency.
    pub exclusive: bool,
    /// The other stream.
    pub stream: u32,
    /// 1 to 256.
    pub weight: u16,
}

impl Dependency {
    pub(super) fn parse(bytes: &mut &[u8]) -> Result<Self, FrameError> {
        let word = word(bytes)?;
        let (&weight, rest) = bytes.split_first().ok_or(FrameError::Size)?;
        *bytes = rest;
        Ok(Self {
            exclusive: word >> 31 != 0,
            stream: word & 0x7fff_ffff,
            weight: u16::from(weight) + 1,
        })
    }
}

/// Priority of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// The stream.
    pub stream: u32,
    /// What it depends on.
    pub dependency: Dependency,
}

impl Priority {
    /// Reads a payload.
    ///
    /// # Errors
    /// On stream 0, or not of five bytes.
    pub fn parse(head: &FrameHead, mut payload: &[u8]) -> Result<Self, FrameError> {
        let stream = on_stream(head)?;
        let dependency = Dependency::parse(&mut payload)?;
        if !payload.is_empty() {
            return Err(FrameError::Size);
        }
        Ok(Self { stream, dependency })
    }
}
