//! Decompresses the first part of a body, within bounds on what comes out.

use std::borrow::Cow;
use std::io::Read;

use crate::protocol::Coding;

/// Most bytes that one byte may become. JSON of one repeated record reaches 100; what is above
/// was made to cost.
const MAX_RATIO: usize = 256;

/// Largest window of zstd that is granted, bytes (RFC 9659 §3: what every HTTP client can do).
const MAX_ZSTD_WINDOW: u64 = 8 << 20;

/// Largest window of Brotli that is granted, as a power of two: what the usual encoders take at
/// most for content of the web.
const MAX_BROTLI_WINDOW: u8 = 22;

/// At most `limit` bytes of the text, as far as it was seen; `None` if it cannot be read.
pub(super) fn decode(coding: Coding, bytes: &[u8], limit: usize) -> Option<Cow<'_, [u8]>> {
    let limit = limit.min(bytes.len().saturating_mul(MAX_RATIO));
    let text = match coding {
        Coding::Identity => return Some(Cow::Borrowed(bytes.get(..limit).unwrap_or(bytes))),
        Coding::Gzip => read(flate2::read::MultiGzDecoder::new(bytes), limit),
        Coding::Deflate => match bytes {
            // A header of zlib (RFC 1950 §2.2); many send the bare stream.
            [cmf, flg, ..]
                if cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flg)) % 31 == 0 =>
            {
                read(flate2::read::ZlibDecoder::new(bytes), limit)
            }
            _ => read(flate2::read::DeflateDecoder::new(bytes), limit),
        },
        Coding::Brotli => {
            if brotli_window(bytes)? > MAX_BROTLI_WINDOW {
                return None;
            }
            read(brotli_decompressor::Decompressor::new(bytes, 4096), limit)
        }
        Coding::Zstd => {
            if zstd_window(bytes)? > MAX_ZSTD_WINDOW {
                return None;
            }
            read(ruzstd::decoding::StreamingDecoder::new(bytes).ok()?, limit)
        }
        Coding::Unknown => return None,
    };
    (!text.is_empty()).then_some(Cow::Owned(text))
}

/// What comes out before the limit, the end of the bytes, or a fault in them.
fn read(mut from: impl Read, limit: usize) -> Vec<u8> {
    let mut text = vec![0; limit];
    let mut len = 0;
    while let Some(room) = text.get_mut(len..)
        && !room.is_empty()
    {
        match from.read(room) {
            Ok(0) | Err(_) => break,
            Ok(more) => len += more,
        }
    }
    text.truncate(len);
    text
}

/// Bits of the window that a Brotli stream asks for (RFC 7932 §9.1).
fn brotli_window(bytes: &[u8]) -> Option<u8> {
    let first = *bytes.first()?;
    Some(match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, ..) => 16,
        (_, 0, 0) => 17,
        // Reserved for windows beyond the specification.
        (_, 0, 1) => u8::MAX,
        (_, 0, low) => 8 + low,
        (_, high, _) => 17 + high,
    })
}

/// The window that the first frame asks for, bytes (RFC 8878 §3.1.1.1).
fn zstd_window(bytes: &[u8]) -> Option<u64> {
    let rest = bytes.strip_prefix(&[0x28, 0xb5, 0x2f, 0xfd])?;
    let (&descriptor, rest) = rest.split_first()?;
    if descriptor & 0x20 == 0 {
        let window = rest.first()?;
        let base = 1u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // One segment: the window is the size of the content.
    let dictionary = [0, 1, 2, 4].get(usize::from(descriptor & 3))?;
    let size = rest.get(*dictionary..)?;
    Some(match descriptor >> 6 {
        0 => u64::from(*size.first()?),
        1 => u64::from(u16::from_le_bytes(*size.first_chunk()?)) + 256,
        2 => u64::from(u32::from_le_bytes(*size.first_chunk()?)),
        _ => u64::from_le_bytes(*size.first_chunk()?),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const TEXT: &[u8] = b"{\"error\":\"invalid_grant\"}";

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(text).unwrap();
        out.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(text).unwrap();
        out.finish().unwrap()
    }

    fn samples() -> Vec<(Coding, Vec<u8>)> {
        let brotli = [&[0x0b, 0x0c, 0x80][..], TEXT, &[0x03]].concat();
        let zstd = ruzstd::encoding::compress_to_vec(
            TEXT,
            ruzstd::encoding::CompressionLevel::Uncompressed,
        );
        let bare = zlib(TEXT);
        vec![
            (Coding::Identity, TEXT.to_vec()),
            (Coding::Gzip, gzip(TEXT)),
            (Coding::Deflate, bare[2..].to_vec()),
            (Coding::Deflate, bare),
            (Coding::Brotli, brotli),
            (Coding::Zstd, zstd),
        ]
    }

    #[test]
    fn every_coding_gives_the_text() {
        for (coding, bytes) in samples() {
            let text = decode(coding, &bytes, 1 << 16);
            assert_eq!(text.as_deref(), Some(TEXT), "{coding:?}");
        }
    }

    #[test]
    fn damaged_and_cut_bytes_are_bounded_and_do_not_panic() {
        for (coding, bytes) in samples() {
            for end in 0..bytes.len() {
                let text = decode(coding, &bytes[..end], 1 << 16);
                assert!(
                    text.is_none_or(|text| TEXT.starts_with(&text)),
                    "{coding:?} {end}"
                );
            }
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    let mut bytes = bytes.clone();
                    bytes[at] ^= 1 << bit;
                    let text = decode(coding, &bytes, 1 << 10);
                    assert!(text.is_none_or(|text| text.len() <= 1 << 10));
                }
            }
        }
    }

    #[test]
    fn a_bomb_gives_no_more_than_the_bounds() {
        let bomb = gzip(&vec![b' '; 10 << 20]);
        assert_eq!(decode(Coding::Gzip, &bomb, 1 << 16).unwrap().len(), 1 << 16);
        let small = gzip(&[b' '; 60_000]);
        let text = decode(Coding::Gzip, &small, 1 << 16).unwrap();
        assert_eq!(text.len(), small.len() * MAX_RATIO);
    }

    #[test]
    fn windows_that_no_client_grants_are_refused() {
        let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0, 0x70, 1, 0, 0];
        assert!(decode(Coding::Zstd, &zstd, 1 << 16).is_none());
        assert!(decode(Coding::Brotli, &[0x11, 0x1e, 0, 0], 1 << 16).is_none());
    }
}
