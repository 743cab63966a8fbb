//! What is wrong with a frame.

/// The error code an endpoint answers with (RFC 9113 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// `PROTOCOL_ERROR`.
    #[error("the frame breaks the rules of its type")]
    Protocol,
    /// `FRAME_SIZE_ERROR`.
    #[error("the frame has a length that its type does not allow")]
    Size,
}

impl FrameError {
    /// The code on the wire.
    pub const fn code(self) -> u32 {
        match self {
            Self::Protocol => 1,
            Self::Size => 6,
        }
    }
}
