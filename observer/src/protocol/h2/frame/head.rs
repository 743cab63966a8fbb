//! The nine octets before every payload (RFC 9113 §4.1).

/// Length of a frame head, bytes.
pub const HEAD_LEN: usize = 9;

/// Longest payload that every receiver takes (§4.2).
const USUAL_MAX: u32 = 16 << 10;

/// Highest type that is registered (`PRIORITY_UPDATE`, RFC 9218).
const LAST_KIND: u8 = 0x10;

/// Type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// 0.
    Data,
    /// 1.
    Headers,
    /// 2.
    Priority,
    /// 3.
    RstStream,
    /// 4.
    Settings,
    /// 5.
    PushPromise,
    /// 6.
    Ping,
    /// 7.
    GoAway,
    /// 8.
    WindowUpdate,
    /// 9.
    Continuation,
    /// Anything else.
    Unknown(u8),
}

/// A frame head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes of payload.
    pub length: u32,
    /// Type.
    pub kind: FrameKind,
    /// Flags; those that the type does not define mean nothing.
    pub flags: u8,
    /// Stream, 0 for the connection.
    pub stream: u32,
    /// The reserved bit is set.
    pub reserved: bool,
}

impl FrameHead {
    /// Nothing follows on the stream in this direction.
    pub const END_STREAM: u8 = 0x1;
    /// The frame acknowledges one of the other direction.
    pub const ACK: u8 = 0x1;
    /// The header block ends here.
    pub const END_HEADERS: u8 = 0x4;
    /// There is padding.
    pub const PADDED: u8 = 0x8;
    /// There are priority fields.
    pub const PRIORITY: u8 = 0x20;

    /// Reads a head.
    pub fn parse(bytes: &[u8; HEAD_LEN]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        let kind = match kind {
            0 => FrameKind::Data,
            1 => FrameKind::Headers,
            2 => FrameKind::Priority,
            3 => FrameKind::RstStream,
            4 => FrameKind::Settings,
            5 => FrameKind::PushPromise,
            6 => FrameKind::Ping,
            7 => FrameKind::GoAway,
            8 => FrameKind::WindowUpdate,
            9 => FrameKind::Continuation,
            other => FrameKind::Unknown(other),
        };
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
            reserved: s0 & 0x80 != 0,
        }
    }

    /// The flag is set.
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// What an ordinary endpoint might have sent: used where it is not sure that a frame starts
    /// here at all.
    pub fn is_plausible(&self) -> bool {
        let Self {
            length,
            kind,
            flags,
            stream,
            reserved,
        } = *self;
        let (defined, lengths, on_stream) = match kind {
            FrameKind::Data => (0x09, 0..=USUAL_MAX, Some(true)),
            FrameKind::Headers => (0x2d, 1..=USUAL_MAX, Some(true)),
            FrameKind::Priority => (0, 5..=5, Some(true)),
            FrameKind::RstStream => (0, 4..=4, Some(true)),
            FrameKind::Settings => (0x01, 0..=120, Some(false)),
            FrameKind::PushPromise => (0x0c, 5..=USUAL_MAX, Some(true)),
            FrameKind::Ping => (0x01, 8..=8, Some(false)),
            FrameKind::GoAway => (0, 8..=USUAL_MAX, Some(false)),
            FrameKind::WindowUpdate => (0, 4..=4, None),
            FrameKind::Continuation => (0x04, 1..=USUAL_MAX, Some(true)),
            FrameKind::Unknown(kind) if kind <= LAST_KIND => (0xff, 0..=1024, None),
            FrameKind::Unknown(_) => return false,
        };
        let settings = kind != FrameKind::Settings || length.is_multiple_of(6);
        // Streams count from 1: no connection lives to use the highest.
        let streams = stream < 1 << 28 && on_stream.is_none_or(|on| on == (stream != 0));
        !reserved && flags & !defined == 0 && lengths.contains(&length) && settings && streams
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read() {
        let head = FrameHead::parse(&[0x01, 0x02, 0x03, 0x01, 0x25, 0x80, 0, 0, 7]);
        assert_eq!(head.length, 0x0001_0203);
        assert_eq!(head.kind, FrameKind::Headers);
        assert!(head.has(FrameHead::END_HEADERS) && head.has(FrameHead::PRIORITY));
        assert!(!head.has(FrameHead::PADDED));
        assert_eq!((head.stream, head.reserved), (7, true));
    }

    #[test]
    fn text_zeros_and_ones_are_not_plausible() {
        for bytes in [b"GET / HTT", &[0; 9], &[0xff; 9], b"{\"a\":123}"] {
            assert!(!FrameHead::parse(bytes).is_plausible(), "{bytes:?}");
        }
        assert!(FrameHead::parse(&[0, 0, 4, 8, 0, 0, 0, 0, 0]).is_plausible());
    }
}
