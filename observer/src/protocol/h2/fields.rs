//! The fields of one header block, as text.

use httparse::{EMPTY_HEADER, Header};

use super::hpack::Field;
use crate::protocol::{MAX_HEAD, MAX_HEADERS};

/// Fields of an ordinary block.
const USUAL: usize = 32;

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    name: usize,
    value: usize,
}

/// Pseudo-header fields (RFC 9113 §8.3, RFC 8441 §4), in this order in [`FieldList::pseudo`].
const PSEUDO: [&[u8]; 6] = [
    b":method",
    b":scheme",
    b":authority",
    b":path",
    b":status",
    b":protocol",
];

/// The fields of one block; used again for the next one.
#[derive(Default)]
pub(in crate::protocol) struct FieldList {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    pseudo: [Option<Span>; PSEUDO.len()],
    /// Fields that refer to table entries which were not seen.
    pub unknown: u32,
    /// A pseudo-header field came twice, or is none of those known.
    pub odd: bool,
    /// There were more, or longer, fields than are kept.
    pub too_large: bool,
}

impl std::fmt::Debug for FieldList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FieldList")
            .field("fields", &self.spans.len())
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}

impl FieldList {
    /// Overwrites what the last block left.
    pub(super) fn clear(&mut self) {
        if !self.bytes.is_empty() {
            self.bytes.fill(0);
            self.bytes.clear();
        }
        self.spans.clear();
        self.pseudo = [None; PSEUDO.len()];
        self.unknown = 0;
        self.odd = false;
        self.too_large = false;
    }

    pub(super) fn push(&mut self, field: Field<'_>) {
        let (Some(name), Some(value)) = (field.name, field.value) else {
            self.unknown = self.unknown.saturating_add(1);
            return;
        };
        let len = name.len() + value.len();
        if self.spans.len() >= MAX_HEADERS || self.bytes.len() + len > MAX_HEAD {
            self.too_large = true;
            return;
        }
        let span = Span {
            start: self.bytes.len(),
            name: name.len(),
            value: value.len(),
        };
        if name.first() == Some(&b':') {
            let known = PSEUDO.iter().zip(&mut self.pseudo);
            match known.into_iter().find(|(pseudo, _)| **pseudo == name) {
                Some((_, place @ None)) => *place = Some(span),
                _ => {
                    self.odd = true;
                    return;
                }
            }
        } else {
            self.spans.push(span);
        }
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
    }

    fn pseudo(&self, index: usize) -> Option<&[u8]> {
        let span = self.pseudo.get(index).copied().flatten()?;
        self.bytes.get(span.start + span.name..)?.get(..span.value)
    }

    pub(super) fn method(&self) -> Option<&[u8]> {
        self.pseudo(0)
    }

    pub(super) fn authority(&self) -> Option<&[u8]> {
        self.pseudo(2)
    }

    pub(super) fn path(&self) -> Option<&[u8]> {
        self.pseudo(3)
    }

    /// The status, if it is one.
    pub(super) fn status(&self) -> Option<u16> {
        match self.pseudo(4)? {
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
            }
            _ => None,
        }
    }

    /// The block has pseudo-header fields of a request.
    pub(super) fn is_request(&self) -> bool {
        (0..4).any(|index| self.pseudo(index).is_some())
    }

    /// The block has the pseudo-header field of a response.
    pub(super) fn is_response(&self) -> bool {
        self.pseudo(4).is_some()
    }

    /// What an extended CONNECT asks for.
    pub(super) fn protocol(&self) -> Option<&[u8]> {
        self.pseudo(5)
    }

    /// Value of the first field of that name.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(own, _)| *own == name.as_bytes())
            .map(|(_, value)| value)
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans.iter().filter_map(|span| {
            let field = self.bytes.get(span.start..)?;
            field
                .get(..span.name + span.value)?
                .split_at_checked(span.name)
        })
    }

    /// Hands the fields over, without the pseudo-header fields and those whose name is no text.
    pub(super) fn with<R>(&self, take: impl FnOnce(&[Header<'_>]) -> R) -> R {
        if self.spans.len() <= USUAL {
            self.with_room::<USUAL, R>(take)
        } else {
            self.with_room::<MAX_HEADERS, R>(take)
        }
    }

    fn with_room<const ROOM: usize, R>(&self, take: impl FnOnce(&[Header<'_>]) -> R) -> R {
        let mut fields = [EMPTY_HEADER; ROOM];
        let mut count = 0;
        let texts = self
            .iter()
            .filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)));
        for (field, (name, value)) in fields.iter_mut().zip(texts) {
            *field = Header { name, value };
            count += 1;
        }
        take(fields.get(..count).unwrap_or_default())
    }
}
