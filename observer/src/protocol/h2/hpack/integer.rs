//! Integers with a prefix of some bits (RFC 7541 §5.1).

use super::HpackError;

/// Octets after the prefix: enough for any length or size that can occur, and for the zeros that
/// some encoders pad with.
const MAX_OCTETS: u32 = 4;

/// Reads an integer whose first octet, `first`, holds it in the bits of `mask`; the rest is taken
/// from the front of `bytes`.
pub(super) fn integer(first: u8, mask: u8, bytes: &mut &[u8]) -> Result<usize, HpackError> {
    let prefix = first & mask;
    if prefix < mask {
        return Ok(usize::from(prefix));
    }
    let mut value = usize::from(prefix);
    for octet in 0..MAX_OCTETS {
        let Some((&byte, rest)) = bytes.split_first() else {
            return Err(HpackError::Truncated);
        };
        *bytes = rest;
        value += usize::from(byte & 0x7f) << (7 * octet);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(HpackError::Integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], mask: u8) -> Result<(usize, usize), HpackError> {
        let mut rest = &bytes[1..];
        integer(bytes[0], mask, &mut rest).map(|value| (value, rest.len()))
    }

    #[test]
    fn examples_of_the_rfc_are_read() {
        assert_eq!(read(&[0b1110_1010], 0x1f), Ok((10, 0)));
        assert_eq!(read(&[0x1f, 0x9a, 0x0a, 0xff], 0x1f), Ok((1337, 1)));
        assert_eq!(read(&[42], 0xff), Ok((42, 0)));
    }

    #[test]
    fn endless_and_unfinished_integers_are_refused() {
        assert_eq!(read(&[0x7f], 0x7f), Err(HpackError::Truncated));
        assert_eq!(read(&[0x7f, 0x80], 0x7f), Err(HpackError::Truncated));
        assert_eq!(
            read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 0x7f),
            Err(HpackError::Integer)
        );
    }
}
