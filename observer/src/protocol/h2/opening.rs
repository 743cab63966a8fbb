//! Tells whether bytes are the start of frames.

use super::frame::{FrameHead, FrameKind, HEAD_LEN};

/// The first frame of a server (RFC 9113 §3.4); `None`: too few bytes to tell.
pub(in crate::protocol) fn server_settings(bytes: &[u8]) -> Option<bool> {
    // No server has more settings than this to tell.
    const LONGEST: u8 = 120;
    let fits = |at: usize, allowed: fn(u8) -> bool| bytes.get(at).is_none_or(|&b| allowed(b));
    let zero = |byte| byte == 0;
    let settings = fits(0, zero)
        && fits(1, zero)
        && fits(2, |len| len <= LONGEST && len.is_multiple_of(6))
        && fits(3, |kind| kind == 4)
        && (4..HEAD_LEN).all(|at| fits(at, zero));
    match settings {
        false => Some(false),
        true if bytes.len() >= HEAD_LEN => Some(true),
        true => None,
    }
}

/// One after the other, frames follow from here to the end of what is there. Where a frame
/// starts is not known, so more than a likeness is asked for: two frames, or one that ends where
/// the bytes end.
pub(in crate::protocol) fn starts_frame(bytes: &[u8]) -> bool {
    let (mut rest, mut frames, mut only_data) = (bytes, 0, true);
    while let Some((head, after)) = rest.split_first_chunk::<HEAD_LEN>() {
        let head = FrameHead::parse(head);
        if !head.is_plausible() {
            return false;
        }
        frames += 1;
        only_data &= head.kind == FrameKind::Data;
        let length = head.length as usize;
        match after.get(length..) {
            Some([]) => return frames > 1 || !only_data || length > 0,
            Some(follows) => rest = follows,
            None => return frames > 1,
        }
    }
    frames > 1
}

/// Heads of frames that follow each other and leave no doubt.
const CERTAIN: usize = 8;

/// Where frames start in bytes after a loss. Inside them, unlike where they start, only frames
/// of streams that are `open`, or of none, two at least, up to where the bytes end: what a body
/// holds must not be taken for more.
pub(super) fn find_frame(bytes: &[u8], mut open: impl FnMut(u32) -> bool) -> Option<usize> {
    if starts_frame(bytes) {
        return Some(0);
    }
    let heads = bytes.windows(HEAD_LEN).enumerate().skip(1);
    for (at, head) in heads {
        // Most are none: the length of a usual frame is below 2^16, its kind is below 10.
        let possible = matches!(head, [0, _, _, kind, ..] if *kind < 10);
        if possible && bytes.get(at..).is_some_and(|rest| follow(rest, &mut open)) {
            return Some(at);
        }
    }
    None
}

fn follow(mut bytes: &[u8], open: &mut impl FnMut(u32) -> bool) -> bool {
    let mut frames = 0;
    while let Some((head, after)) = bytes.split_first_chunk::<HEAD_LEN>() {
        let head = FrameHead::parse(head);
        if !head.is_plausible() || head.stream != 0 && !open(head.stream) {
            return false;
        }
        frames += 1;
        match after.get(head.length as usize..) {
            Some(follows) if frames < CERTAIN => bytes = follows,
            _ => break,
        }
    }
    frames > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_settings_of_a_server_are_recognised() {
        let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
        for end in 0..settings.len() {
            let expected = (end >= HEAD_LEN).then_some(true);
            assert_eq!(server_settings(&settings[..end]), expected, "{end}");
        }
        assert_eq!(server_settings(&[0, 0, 0, 8, 4, 0xd2]), Some(false));
        assert_eq!(server_settings(b"HTTP"), Some(false));
    }

    #[test]
    fn frames_are_recognised_and_messages_inside_them_are_not() {
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        assert!(starts_frame(&ping));
        assert!(starts_frame(&[ping, ping].concat()));
        assert!(starts_frame(&[&ping[..], &ping[..], &[0, 0]].concat()));
        assert!(!starts_frame(&ping[..12]));
        assert!(!starts_frame(&ping[1..]));
        // A gRPC message of 256 bytes, and one of 5.
        assert!(!starts_frame(&[0, 0, 0, 1, 0, 10, 3, b'a', b'b', b'c', 0]));
        assert!(!starts_frame(&[0, 0, 0, 0, 5, 10, 3, b'a', b'b', b'c']));
    }
}
