//! Padding of DATA, HEADERS and PUSH_PROMISE (RFC 9113 §6.1).

use super::{FrameError, FrameHead};

/// The payload without its padding.
pub(super) fn unpadded<'a>(head: &FrameHead, payload: &'a [u8]) -> Result<&'a [u8], FrameError> {
    if !head.has(FrameHead::PADDED) {
        return Ok(payload);
    }
    let (&padding, rest) = payload.split_first().ok_or(FrameError::Size)?;
    rest.len()
        .checked_sub(usize::from(padding))
        .and_then(|len| rest.get(..len))
        .ok_or(FrameError::Protocol)
}
