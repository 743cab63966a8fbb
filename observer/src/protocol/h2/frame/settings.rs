//! SETTINGS (RFC 9113 §6.5).

use super::{FrameError, FrameHead, on_connection};

/// `SETTINGS_HEADER_TABLE_SIZE`.
const HEADER_TABLE_SIZE: u16 = 1;

/// What the sender is ready for, or the acknowledgement of that.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// It acknowledges the settings of the other side.
    pub ack: bool,
    entries: &'a [u8],
}

impl<'a> Settings<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// Not on stream 0, not whole entries, or an acknowledgement with any.
    pub fn parse(head: &FrameHead, payload: &'a [u8]) -> Result<Self, FrameError> {
        on_connection(head)?;
        let ack = head.has(FrameHead::ACK);
        if !payload.len().is_multiple_of(6) || ack && !payload.is_empty() {
            return Err(FrameError::Size);
        }
        Ok(Self {
            ack,
            entries: payload,
        })
    }

    /// Identifiers and values, in order.
    pub fn entries(&self) -> impl Iterator<Item = (u16, u32)> + use<'a> {
        let (entries, _) = self.entries.as_chunks::<6>();
        entries.iter().map(|&[i0, i1, v0, v1, v2, v3]| {
            (
                u16::from_be_bytes([i0, i1]),
                u32::from_be_bytes([v0, v1, v2, v3]),
            )
        })
    }

    /// Largest HPACK tables that the sender allowed, in order.
    pub fn table_sizes(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.entries()
            .filter(|(id, _)| *id == HEADER_TABLE_SIZE)
            .map(|(_, value)| value)
    }
}
