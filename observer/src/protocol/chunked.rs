//! Follows the chunked transfer coding (RFC 9112 §7.1) without keeping any of it.

use memchr::memchr;

/// Longest line with a chunk size and its extensions.
const MAX_SIZE_LINE: u32 = 16 << 10;

/// Longest trailer section.
const MAX_TRAILER: u32 = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Digits of a size.
    Size { digits: bool },
    /// Rest of the line with the size.
    Extension,
    /// LF after the CR that ended a size.
    SizeEnd,
    /// So many bytes of data.
    Data(u64),
    /// Line end after data: CR, then LF.
    DataEnd { cr: bool },
    /// Trailer fields, up to an empty line.
    Trailer { line_empty: bool },
}

/// State of one chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunked {
    phase: Phase,
    size: u64,
    line: u32,
    /// Bytes of data so far.
    pub decoded: u64,
    /// A line ended by a bare LF.
    pub lax: bool,
}

/// What became of the bytes given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All taken, more is needed.
    More,
    /// The body ended after so many bytes of them.
    Done(usize),
    /// Not the chunked coding.
    Invalid,
}

impl Default for Chunked {
    fn default() -> Self {
        Self {
            phase: Phase::Size { digits: false },
            size: 0,
            line: 0,
            decoded: 0,
            lax: false,
        }
    }
}

impl Chunked {
    /// Bytes left in the chunk at hand.
    pub(super) fn left(&self) -> u64 {
        match self.phase {
            Phase::Data(left) => left,
            _ => 0,
        }
    }

    /// Passes over bytes that are missing; `false` if not all of them are data of one chunk.
    pub(super) fn pass(&mut self, len: u64) -> bool {
        let left = self.left();
        if len == 0 || len > left {
            return len == 0;
        }
        self.decoded = self.decoded.saturating_add(len);
        self.phase = if left == len {
            Phase::DataEnd { cr: false }
        } else {
            Phase::Data(left - len)
        };
        true
    }

    /// Takes the next bytes, and hands the data among them on.
    pub(super) fn push(&mut self, bytes: &[u8], data: &mut impl FnMut(&[u8])) -> Progress {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..)
            && let Some(&byte) = rest.first()
        {
            match self.phase {
                Phase::Data(left) => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    self.pass(take as u64);
                    data(rest.get(..take).unwrap_or_default());
                    at += take;
                    continue;
                }
                Phase::Extension => {
                    let end = memchr(b'\n', rest);
                    let len = end.unwrap_or(rest.len());
                    self.line = self
                        .line
                        .saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
                    if self.line > MAX_SIZE_LINE {
                        return Progress::Invalid;
                    }
                    at += len + usize::from(end.is_some());
                    if end.is_some() {
                        self.end_size_line();
                    }
                    continue;
                }
                _ => {}
            }
            at += 1;
            match self.framing_byte(byte) {
                Some(true) => return Progress::Done(at),
                Some(false) => {}
                None => return Progress::Invalid,
            }
        }
        Progress::More
    }

    /// `None`: invalid; `Some(true)`: the body ended with this byte.
    fn framing_byte(&mut self, byte: u8) -> Option<bool> {
        match (self.phase, byte) {
            (Phase::Size { .. }, _) if byte.is_ascii_hexdigit() => {
                if self.size >> 60 != 0 {
                    return None;
                }
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.size = self.size << 4 | u64::from(digit);
                self.line = self.line.saturating_add(1);
                if self.line > MAX_SIZE_LINE {
                    return None;
                }
                self.phase = Phase::Size { digits: true };
            }
            (Phase::Size { digits: true }, b'\r') => self.phase = Phase::SizeEnd,
            (Phase::Size { digits: true }, b'\n') => {
                self.lax = true;
                self.end_size_line();
            }
            (Phase::Size { digits: true }, b';' | b' ' | b'\t') => self.phase = Phase::Extension,
            (Phase::SizeEnd, b'\n') => self.end_size_line(),
            (Phase::DataEnd { cr: false }, b'\r') => self.phase = Phase::DataEnd { cr: true },
            (Phase::DataEnd { cr }, b'\n') => {
                self.lax |= !cr;
                self.phase = Phase::Size { digits: false };
                self.size = 0;
                self.line = 0;
            }
            (Phase::Trailer { line_empty }, _) => {
                self.line = self.line.saturating_add(1);
                if self.line > MAX_TRAILER {
                    return None;
                }
                if byte == b'\n' && line_empty {
                    return Some(true);
                }
                if byte != b'\r' {
                    self.phase = Phase::Trailer {
                        line_empty: byte == b'\n',
                    };
                }
            }
            _ => return None,
        }
        Some(false)
    }

    fn end_size_line(&mut self) {
        self.line = 0;
        self.phase = match self.size {
            0 => Phase::Trailer { line_empty: true },
            size => Phase::Data(size),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] =
        b"4\r\nWiki\r\n5;name=\"v\"\r\npedia\r\n0A \r\n0123456789\r\n0\r\nA: b\r\n\r\n";

    #[test]
    fn every_split_gives_the_same_end_and_size() {
        for first in 0..BODY.len() {
            for second in first..BODY.len() {
                let mut chunked = Chunked::default();
                assert_eq!(chunked.push(&BODY[..first], &mut |_| {}), Progress::More);
                assert_eq!(
                    chunked.push(&BODY[first..second], &mut |_| {}),
                    Progress::More
                );
                let rest = [&BODY[second..], b"GET"].concat();
                assert_eq!(
                    chunked.push(&rest, &mut |_| {}),
                    Progress::Done(BODY.len() - second)
                );
                assert_eq!((chunked.decoded, chunked.lax), (19, false));
            }
        }
    }

    #[test]
    fn what_is_not_chunked_is_invalid() {
        let invalid: [&[u8]; 7] = [
            b"\r\n",
            b"x\r\n",
            b"4\r\nWikiX",
            b"4\rX",
            b"11111111111111111\r\n",
            b"-1\r\n",
            b"GET / HTTP/1.1\r\n",
        ];
        for bytes in invalid {
            assert_eq!(
                Chunked::default().push(bytes, &mut |_| {}),
                Progress::Invalid
            );
        }
        assert_eq!(
            Chunked::default().push(&[&b"1;"[..], &[b'a'; 20_000]].concat(), &mut |_| {}),
            Progress::Invalid
        );
        assert_eq!(
            Chunked::default().push(&[&b"0\r\n"[..], &[b'a'; 70_000]].concat(), &mut |_| {}),
            Progress::Invalid
        );
    }

    #[test]
    fn missing_bytes_inside_a_chunk_are_passed_over() {
        let mut chunked = Chunked::default();
        assert_eq!(chunked.push(b"a\r\n01", &mut |_| {}), Progress::More);
        assert!(chunked.pass(8));
        assert!(!chunked.pass(1));
        assert_eq!(
            chunked.push(b"\r\n0\r\n\r\n", &mut |_| {}),
            Progress::Done(7)
        );
        assert_eq!(chunked.decoded, 10);
    }

    #[test]
    fn a_bare_line_feed_is_marked() {
        let mut chunked = Chunked::default();
        assert_eq!(chunked.push(b"1\na\n0\n\n", &mut |_| {}), Progress::Done(7));
        assert!(chunked.lax);
    }
}
