//! Counts the frames and messages of a WebSocket connection (RFC 6455 §5). Their content is never
//! looked at, but for the code of a close.

use super::SKIP_AT_LEAST;

/// Longest head of a frame: two bytes, a length of eight, a mask of four.
const MAX_HEAD: usize = 14;

/// What one end has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WebSocketSide {
    /// Frames, control frames among them.
    pub frames: u64,
    /// Messages of text or binary data (§5.6), which take one frame or more.
    pub messages: u64,
    /// Bytes of payload, control frames included.
    pub bytes: u64,
    /// Code of its close frame (§7.4).
    pub close_code: Option<u16>,
    /// Bytes were lost where a frame begins: what came later is not counted.
    pub lost: bool,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Half {
    pub side: WebSocketSide,
    head: [u8; MAX_HEAD],
    /// Bytes of the head at hand.
    seen: usize,
    /// Bytes left of the payload at hand.
    left: u64,
    /// Of a close frame: bytes of the code seen so far.
    code: Option<usize>,
    pub ended: bool,
}

impl Half {
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.side.lost {
            if self.left > 0 {
                let taken = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                self.close_code(bytes.get(..taken).unwrap_or_default());
                self.advance(taken as u64);
                bytes = bytes.get(taken..).unwrap_or_default();
                continue;
            }
            let Some((&byte, rest)) = bytes.split_first() else {
                return;
            };
            bytes = rest;
            if let Some(place) = self.head.get_mut(self.seen) {
                *place = byte;
            }
            self.seen += 1;
            if let Some(length) = self.length() {
                self.frame(length);
            }
        }
    }

    /// So many bytes are missing.
    pub(super) fn pass(&mut self, len: u64) {
        self.code = None;
        if len <= self.left {
            self.advance(len);
        } else if len > 0 {
            self.side.lost = true;
        }
    }

    /// The rest of a payload that is worth leaving out, bytes.
    pub(super) fn skippable(&self) -> Option<u64> {
        (self.left > SKIP_AT_LEAST && !self.side.lost).then_some(self.left)
    }

    fn advance(&mut self, len: u64) {
        self.side.bytes = self.side.bytes.saturating_add(len);
        self.left = self.left.saturating_sub(len);
    }

    /// Length of the payload, once the head is complete (§5.2).
    fn length(&self) -> Option<u64> {
        let [_, second, e0, e1, e2, e3, e4, e5, e6, e7, ..] = self.head;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (extended, length) = match second & 0x7f {
            126 => (2, u64::from(u16::from_be_bytes([e0, e1]))),
            127 => (8, u64::from_be_bytes([e0, e1, e2, e3, e4, e5, e6, e7])),
            length => (0, u64::from(length)),
        };
        (self.seen == 2 + extended + mask).then_some(length)
    }

    /// A frame begins.
    fn frame(&mut self, length: u64) {
        let [first, second, ..] = self.head;
        let (last, opcode) = (first & 0x80 != 0, first & 0x0f);
        let control = opcode & 8 != 0;
        // Reserved opcodes, and control frames that are long or in parts, are no WebSocket (§5.5).
        let known = matches!(opcode, 0..=2 | 8..=10);
        if !known || control && (length > 125 || !last) || length >> 63 != 0 {
            self.side.lost = true;
            return;
        }
        self.side.frames += 1;
        self.side.messages += u64::from(last && !control);
        self.code = (opcode == 8 && length >= 2).then_some(0);
        if second & 0x80 == 0 {
            // Not masked: as if with zeros.
            self.head = [0; MAX_HEAD];
            self.seen = MAX_HEAD;
        }
        self.left = length;
        if let Some(mask) = self.seen.checked_sub(4).and_then(|at| self.head.get(at..))
            && let Some(&[a, b, ..]) = mask.first_chunk::<4>()
        {
            // Kept in front, where the next head does not need it yet.
            self.head = [a, b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        }
        self.seen = 0;
    }

    fn close_code(&mut self, payload: &[u8]) {
        let Some(seen) = self.code else { return };
        let [mask_high, mask_low, ..] = self.head;
        for (at, byte) in (seen..2).zip(payload) {
            let so_far = self.side.close_code.unwrap_or_default();
            self.side.close_code = Some(if at == 0 {
                u16::from(byte ^ mask_high) << 8
            } else {
                so_far | u16::from(byte ^ mask_low)
            });
            self.code = if at == 0 { Some(1) } else { None };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let bit = if mask.is_some() { 0x80 } else { 0 };
        let mut out = vec![first];
        match payload.len() {
            len @ ..126 => out.push(bit | len as u8),
            len @ 126..0x1_0000 => {
                out.push(bit | 126);
                out.extend((len as u16).to_be_bytes());
            }
            len => {
                out.push(bit | 127);
                out.extend((len as u64).to_be_bytes());
            }
        }
        if let Some(mask) = mask {
            out.extend(mask);
        }
        let masked = payload
            .iter()
            .enumerate()
            .map(|(at, byte)| byte ^ mask.map_or(0, |mask| mask[at % 4]));
        out.extend(masked);
        out
    }

    fn stream(mask: Option<[u8; 4]>) -> Vec<u8> {
        [
            frame(0x81, mask, b"hello"),
            frame(0x01, mask, b"he"),
            frame(0x89, mask, b"ping"),
            frame(0x80, mask, b"llo"),
            frame(0x82, mask, &[7; 300]),
            frame(0x82, mask, &vec![7; 70_000]),
            frame(0x82, mask, b""),
            frame(0x88, mask, &[0x03, 0xe9, b'b']),
        ]
        .concat()
    }

    const SIDE: WebSocketSide = WebSocketSide {
        frames: 8,
        messages: 5,
        bytes: 5 + 2 + 4 + 3 + 300 + 70_000 + 3,
        close_code: Some(1001),
        lost: false,
    };

    #[test]
    fn frames_and_messages_are_counted_whatever_the_split() {
        for mask in [None, Some([1, 2, 3, 4])] {
            let stream = stream(mask);
            for size in [1, 2, 3, 7, 100, 66_000, usize::MAX] {
                let mut half = Half::default();
                for part in stream.chunks(size.min(stream.len())) {
                    half.push(part);
                }
                assert_eq!(half.side, SIDE, "{mask:?} {size}");
            }
        }
    }

    #[test]
    fn payload_that_is_missing_is_passed_over_and_a_lost_head_is_told() {
        let stream = frame(0x82, None, &vec![7; 70_000]);
        let mut half = Half::default();
        half.push(&stream[..1000]);
        assert_eq!(half.skippable(), Some(70_000 - 990));
        half.pass(70_000 - 990);
        half.push(&frame(0x88, None, &[0x03, 0xe8]));
        assert_eq!((half.side.frames, half.side.close_code), (2, Some(1000)));
        half.pass(1);
        half.push(&stream);
        assert!(half.side.lost);
        assert_eq!(half.side.frames, 2);
    }

    proptest! {
        #[test]
        fn any_bytes_are_counted_within_bounds(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20)) {
            let mut half = Half::default();
            let mut len = 0;
            for part in &parts {
                half.push(part);
                len += part.len() as u64;
                prop_assert!(half.side.bytes <= len && half.side.frames <= len);
                prop_assert!(half.side.messages <= half.side.frames);
            }
        }
    }
}
