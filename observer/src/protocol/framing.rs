//! Where a message ends (RFC 9112 §6.3).

use httparse::Header;

/// What the fields of a head say about the length of its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lengths {
    /// `Content-Length`.
    content: Option<u64>,
    /// There is a `Transfer-Encoding`; `true` if it ends with `chunked`.
    transfer: Option<bool>,
    /// They contradict each other, or one makes no sense.
    pub conflict: bool,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    Close,
    /// It cannot be known.
    Broken,
}

impl Lengths {
    pub(super) fn of(fields: &[Header<'_>], version: u8) -> Self {
        let mut lengths = Self::default();
        let mut bad = false;
        for field in fields {
            // Told apart by their length first: this runs over every field of every message.
            match field.name.len() {
                14 if field.name.eq_ignore_ascii_case("content-length") => {
                    for value in field.value.split(|byte| *byte == b',') {
                        match (number(value.trim_ascii()), lengths.content) {
                            (Some(value), None) if !bad => lengths.content = Some(value),
                            (Some(value), Some(other)) if value == other => {}
                            (None, _) => bad = true,
                            _ => lengths.conflict = true,
                        }
                    }
                }
                17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                    lengths.transfer(field.value);
                }
                _ => {}
            }
        }
        if bad {
            lengths.conflict = true;
            lengths.content = None;
        }
        if lengths.transfer.is_some() && (lengths.content.is_some() || version == 0) {
            lengths.conflict = true;
        }
        lengths
    }

    fn transfer(&mut self, value: &[u8]) {
        for coding in value.split(|byte| *byte == b',') {
            let coding = coding
                .split(|byte| *byte == b';')
                .next()
                .unwrap_or_default()
                .trim_ascii();
            if coding.is_empty() || coding.eq_ignore_ascii_case(b"identity") {
                continue;
            }
            // Anything after `chunked` makes it not the last.
            self.conflict |= self.transfer == Some(true);
            self.transfer = Some(coding.eq_ignore_ascii_case(b"chunked"));
        }
    }

    /// Framing of a request.
    pub(super) fn request(self) -> Framing {
        match (self.transfer, self.content) {
            (Some(true), _) => Framing::Chunked,
            (Some(false), _) => Framing::Broken,
            (None, Some(0)) => Framing::None,
            (None, Some(length)) => Framing::Length(length),
            (None, None) if self.conflict => Framing::Broken,
            (None, None) => Framing::None,
        }
    }

    /// Framing of a response that may have a body.
    pub(super) fn response(self) -> Framing {
        match (self.transfer, self.content) {
            (Some(true), _) => Framing::Chunked,
            (Some(false), _) => Framing::Close,
            (None, Some(0)) => Framing::None,
            (None, Some(length)) => Framing::Length(length),
            (None, None) => Framing::Close,
        }
    }
}

/// Digits only: signs and blanks are how lengths are smuggled, and so are numbers that some read
/// as negative.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits
        .iter()
        .try_fold(0u64, |value, digit| {
            let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
            value.checked_mul(10)?.checked_add(digit)
        })
        .filter(|value| i64::try_from(*value).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(fields: &[(&str, &str)]) -> (Framing, Framing, bool) {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| Header {
                name,
                value: value.as_bytes(),
            })
            .collect();
        let lengths = Lengths::of(&fields, 1);
        (lengths.request(), lengths.response(), lengths.conflict)
    }

    #[test]
    fn lengths_are_read_as_rfc_9112_says() {
        use Framing::{Broken, Chunked, Close, Length, None};
        let (cl, te) = ("Content-Length", "transfer-encoding");
        assert_eq!(framing(&[]), (None, Close, false));
        assert_eq!(framing(&[(cl, "5")]), (Length(5), Length(5), false));
        assert_eq!(framing(&[(cl, "0")]), (None, None, false));
        assert_eq!(
            framing(&[(cl, "5"), (cl, "5, 5")]),
            (Length(5), Length(5), false)
        );
        assert_eq!(
            framing(&[(cl, "5"), (cl, "6")]),
            (Length(5), Length(5), true)
        );
        assert_eq!(framing(&[(cl, "+5")]), (Broken, Close, true));
        assert_eq!(
            framing(&[(cl, "99999999999999999999")]),
            (Broken, Close, true)
        );
        assert_eq!(framing(&[(te, "gzip, Chunked")]), (Chunked, Chunked, false));
        assert_eq!(
            framing(&[(te, "gzip"), (te, "chunked")]),
            (Chunked, Chunked, false)
        );
        assert_eq!(
            framing(&[(te, "chunked"), (cl, "5")]),
            (Chunked, Chunked, true)
        );
        assert_eq!(framing(&[(te, "chunked, gzip")]), (Broken, Close, true));
        assert_eq!(
            framing(&[(te, "identity"), (cl, "5")]),
            (Length(5), Length(5), false)
        );
    }
}
