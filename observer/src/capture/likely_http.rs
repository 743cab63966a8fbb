//! Does a piece of plaintext look like HTTP?
//!
//! In: the beginning of what went one way. Out: which half of HTTP it may be. It decides nothing but
//! whether a place for a probe was well chosen; what is said is read elsewhere.

/// What goes one way of a connection of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// `GET / HTTP/1.1`
    Request,
    /// `HTTP/1.1 200`
    Response,
    /// Of HTTP/2: the client's preface (RFC 9113 3.4).
    Preface,
    /// Of HTTP/2: frames, of either end.
    Frames,
}

/// Longest method that is looked for: `UPDATEREDIRECTREF`, as registered, has 17 letters.
const LONGEST_METHOD: usize = 20;
/// Bytes of a frame's head (RFC 9113 4.1).
const FRAME_HEAD: usize = 9;
/// Largest frame unless a peer asks for larger ones, which hardly any does (RFC 9113 4.2).
const LARGEST_FRAME: usize = 16_384;
/// Frames of a piece that are looked at.
const MOST_FRAMES: usize = 64;

impl Half {
    /// Are these the two ways of one connection?
    pub(super) const fn answers(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Request, Self::Response)
                | (Self::Response, Self::Request)
                | (Self::Preface | Self::Frames, Self::Frames)
                | (Self::Frames, Self::Preface)
        )
    }
}

/// What `bytes` may be the beginning of.
pub(super) fn half(bytes: &[u8]) -> Option<Half> {
    if bytes.starts_with(b"HTTP/1.") {
        return Some(Half::Response);
    }
    if bytes.starts_with(b"PRI * HTTP/2.0") {
        return Some(Half::Preface);
    }
    if is_request(bytes) {
        return Some(Half::Request);
    }
    are_frames(bytes).then_some(Half::Frames)
}

/// A method, a space and the beginning of a target (RFC 9112 3).
fn is_request(bytes: &[u8]) -> bool {
    let head = bytes.get(..LONGEST_METHOD + 1).unwrap_or(bytes);
    let Some(end) = head.iter().position(|byte| *byte == b' ') else {
        return false;
    };
    let method = head.get(..end).unwrap_or_default();
    let is_method = end >= 3
        && method
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || *byte == b'-');
    is_method && bytes.get(end + 1).is_some_and(u8::is_ascii_graphic)
}

/// Heads of frames, each where the one before ends; the last frame may be cut.
fn are_frames(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    for count in 0..MOST_FRAMES {
        if rest.is_empty() {
            return count > 0;
        }
        let Some((head, after)) = rest.split_first_chunk::<FRAME_HEAD>() else {
            return false;
        };
        let [a, b, c, kind, _, d, e, f, g] = *head;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
        let stream = u32::from_be_bytes([d, e, f, g]);
        // RFC 9113 6: which frames belong to a stream, and the sizes of those that have one.
        let fits = match kind {
            0 | 1 | 5 | 9 => stream != 0,
            2 => stream != 0 && length == 5,
            3 => stream != 0 && length == 4,
            4 => stream == 0 && length.is_multiple_of(6),
            6 => stream == 0 && length == 8,
            7 => stream == 0 && length >= 8,
            8 => length == 4,
            _ => false,
        };
        if !fits || length > LARGEST_FRAME || stream >> 31 != 0 {
            return false;
        }
        let Some(next) = after.get(length..) else {
            return true;
        };
        rest = next;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_responses_and_frames_are_told_apart() {
        let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
        let ack_and_headers = [
            0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 2, 1, 5, 0, 0, 0, 1, 0x88, 0x84,
        ];
        for (bytes, is) in [
            (&b"GET /a HTTP/1.1\r\n"[..], Some(Half::Request)),
            (b"M-SEARCH * HTTP/1.1\r\n", Some(Half::Request)),
            (b"HTTP/1.0 404 no\r\n", Some(Half::Response)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Half::Preface)),
            (&settings, Some(Half::Frames)),
            (&ack_and_headers, Some(Half::Frames)),
            // Cut in its payload, but not in its head.
            (&ack_and_headers[..19], Some(Half::Frames)),
            (&ack_and_headers[..15], None),
            (b"get / http", None),
            (b"GET", None),
            (b"A  ", None),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03", None),
            (b"\x17\x03\x03\x00\x20abcdefgh", None),
            (b"*3\r\n$3\r\nSET\r\n", None),
            (&[0; 32], None),
            (b"", None),
        ] {
            assert_eq!(half(bytes), is, "{bytes:?}");
        }
    }

    #[test]
    fn a_connection_has_two_different_ends() {
        use Half::{Frames, Preface, Request, Response};
        for (a, b, is) in [
            (Request, Response, true),
            (Preface, Frames, true),
            (Frames, Frames, true),
            (Request, Request, false),
            (Response, Response, false),
            (Preface, Preface, false),
            (Request, Frames, false),
            (Preface, Response, false),
        ] {
            assert_eq!((a.answers(b), b.answers(a)), (is, is), "{a:?} {b:?}");
        }
    }
}
