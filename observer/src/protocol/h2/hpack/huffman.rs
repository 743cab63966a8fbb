//! The Huffman code (RFC 7541 Appendix B), decoded by table.
//!
//! The code is canonical: codes of one length follow each other in the order of their symbols,
//! and longer ones follow shorter ones. So the lengths say all.

use super::HpackError;

/// Length of the code of each octet, bits. EOS, the last of 30 bits, never occurs.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
     6, 10, 10, 12, 13,  6,  8, 11, 10, 10,  8, 11,  8,  6,  6,  6,
     5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8, 15,  6, 12, 10,
    13,  6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,
     7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8, 13, 19, 13, 14,  6,
    15,  5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,
     6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// Longest code, bits.
const LONGEST: usize = 30;

/// Bits looked up at once: all of ASCII that headers use has shorter codes.
const STEP: u32 = 12;

/// What the next bits start with: one octet and the length of its code, or two.
#[derive(Clone, Copy)]
struct Short {
    symbols: [u8; 2],
    /// Bits of the first code, of both; 0: none that short.
    bits: [u8; 2],
}

/// Codes of each length: the first, aligned to 32 bits, how many, and where in `sorted`.
struct Code {
    short: [Short; 1 << STEP],
    sorted: [u8; 256],
    first: [u32; LONGEST + 1],
    count: [u16; LONGEST + 1],
    start: [u16; LONGEST + 1],
}

static CODE: Code = code();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated when it is compiled: what does not fit does not build"
)]
const fn code() -> Code {
    let mut code = Code {
        short: [Short {
            symbols: [0; 2],
            bits: [0; 2],
        }; 1 << STEP],
        sorted: [0; 256],
        first: [0; LONGEST + 1],
        count: [0; LONGEST + 1],
        start: [0; LONGEST + 1],
    };
    let (mut next, mut placed, mut length) = (0u32, 0u16, 1);
    while length <= LONGEST {
        code.first[length] = next;
        code.start[length] = placed;
        let mut symbol = 0;
        while symbol < 256 {
            if LENGTHS[symbol] as usize == length {
                code.sorted[placed as usize] = symbol as u8;
                placed += 1;
                code.count[length] += 1;
                if length <= STEP as usize {
                    let from = next >> (32 - STEP);
                    let to = from + (1 << (STEP as usize - length));
                    let mut at = from;
                    while at < to {
                        code.short[at as usize].symbols[0] = symbol as u8;
                        code.short[at as usize].bits[0] = length as u8;
                        at += 1;
                    }
                }
                next += 1 << (32 - length);
            }
            symbol += 1;
        }
        length += 1;
    }
    let mut at = 0;
    while at < 1 << STEP {
        let first = code.short[at].bits[0];
        if first > 0 {
            let follow = code.short[(at << first) & ((1 << STEP) - 1)];
            let both = first + follow.bits[0];
            if follow.bits[0] > 0 && both <= STEP as u8 {
                code.short[at].symbols[1] = follow.symbols[0];
                code.short[at].bits[1] = both;
            }
        }
        at += 1;
    }
    code
}

/// Appends the text that `bytes` code to `out`.
pub(super) fn decode(mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    // No code has fewer than five bits.
    out.reserve(bytes.len() * 8 / 5 + 2);
    let mut window = 0u64;
    let mut bits = 0u32;
    loop {
        if bits <= 32 {
            if let Some((word, rest)) = bytes.split_first_chunk::<4>() {
                window |= u64::from(u32::from_be_bytes(*word)) << (32 - bits);
                bits += 32;
                bytes = rest;
            } else {
                while bits <= 56
                    && let Some((&byte, rest)) = bytes.split_first()
                {
                    window |= u64::from(byte) << (56 - bits);
                    bits += 8;
                    bytes = rest;
                }
            }
        }
        let short = CODE
            .short
            .get((window >> (64 - STEP)) as usize)
            .ok_or(HpackError::Huffman)?;
        let [one, two] = short.bits.map(u32::from);
        if two > 0 && two <= bits {
            out.extend_from_slice(&short.symbols);
            window <<= two;
            bits -= two;
            continue;
        }
        if one > 0 && one <= bits {
            out.push(short.symbols[0]);
            window <<= one;
            bits -= one;
            continue;
        }
        if bits == 0 {
            return Ok(());
        }
        if bits < 8 && bytes.is_empty() && window >> (64 - bits) == (1 << bits) - 1 {
            // What is left is the padding: the start of EOS, all ones.
            return Ok(());
        }
        let (symbol, length) = long(window).ok_or(HpackError::Huffman)?;
        if length > bits {
            return Err(HpackError::Huffman);
        }
        out.push(symbol);
        window <<= length;
        bits -= length;
    }
}

/// A code longer than [`STEP`].
fn long(window: u64) -> Option<(u8, u32)> {
    let aligned = (window >> 32) as u32;
    for length in STEP + 1..=LONGEST as u32 {
        let at = length as usize;
        let (first, count) = (*CODE.first.get(at)?, *CODE.count.get(at)?);
        let Some(offset) = aligned.checked_sub(first) else {
            continue;
        };
        let offset = offset >> (32 - length);
        if offset < u32::from(count) {
            let place = usize::from(*CODE.start.get(at)?) + offset as usize;
            return Some((*CODE.sorted.get(place)?, length));
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Codes text, padded with ones.
    pub(crate) fn encode(text: &[u8]) -> Vec<u8> {
        let (mut bits, mut count, mut out) = (0u64, 0u32, Vec::new());
        for byte in text {
            let length = u32::from(LENGTHS[usize::from(*byte)]);
            let at = length as usize;
            let start = usize::from(CODE.start[at]);
            let own = &CODE.sorted[start..start + usize::from(CODE.count[at])];
            let place = own.iter().position(|other| other == byte).unwrap() as u32;
            let code = (CODE.first[at] >> (32 - length)) + place;
            bits = bits << length | u64::from(code);
            count += length;
            while count >= 8 {
                count -= 8;
                out.push((bits >> count) as u8);
            }
        }
        if count > 0 {
            out.push((bits << (8 - count)) as u8 | (0xff >> count));
        }
        out
    }

    fn text(bytes: &[u8]) -> Result<Vec<u8>, HpackError> {
        let mut out = Vec::new();
        decode(bytes, &mut out).map(|()| out)
    }

    #[test]
    fn the_code_is_complete_but_for_the_last_code_of_30_bits() {
        let used: u64 = LENGTHS.iter().map(|length| 1 << (30 - length)).sum();
        assert_eq!(used, (1 << 30) - 1);
    }

    #[test]
    fn examples_of_the_rfc_are_decoded() {
        let www = [
            0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
        ];
        assert_eq!(text(&www).unwrap(), b"www.example.com");
        let value = [0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf];
        assert_eq!(text(&value).unwrap(), b"custom-value");
        assert_eq!(text(&[]).unwrap(), b"");
    }

    #[test]
    fn wrong_padding_and_eos_are_refused() {
        // 'a' is 00011: then zeros, a whole octet of ones, EOS.
        for bytes in [
            &[0x18][..],
            &[0x1f, 0xff],
            &[0xff, 0xff, 0xff, 0xff],
            &[0xff],
        ] {
            assert_eq!(text(bytes), Err(HpackError::Huffman), "{bytes:x?}");
        }
        assert_eq!(text(&[0x1f]).unwrap(), b"a");
    }

    proptest! {
        #[test]
        fn what_was_coded_is_decoded(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(text(&encode(&bytes)).unwrap(), bytes);
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(text) = text(&bytes) {
                prop_assert_eq!(encode(&text), bytes);
            }
        }
    }
}
