//! A column of the index: the values of one field over the records of a block.
//!
//! Values that repeat are texts in a list, in the order in which they came, and each record has a
//! number: 0 not known, 1 the next text of the list, which no record had before, `n + 2` text `n`
//! again. So a field of which each record has another value, such as a path with an id, takes no
//! more than its texts. What is measured (`Field::is_measured`) has the value plus one instead.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::field::{Field, Kind};
use super::numbers::{self, Packing};
use super::record::Value;

/// Largest list of texts. One that is longer is not stored, and the records are read instead.
const MOST_TEXT: usize = 32 << 20;
/// Bytes of [`Stored`].
pub(super) const STORED_BYTES: usize = 33;

/// Gathers the values of one field.
#[derive(Debug)]
pub(super) struct Gather {
    field: Field,
    seen: HashMap<Box<[u8]>, u64>,
    text: String,
    lengths: Vec<u64>,
    rows: Vec<u64>,
    /// What the record before had, and its place: many fields hardly change.
    last: String,
    last_at: u64,
    digits: String,
}

impl Gather {
    pub(super) fn new(field: Field) -> Self {
        Self {
            field,
            seen: HashMap::new(),
            text: String::new(),
            lengths: Vec::new(),
            rows: Vec::new(),
            last: String::new(),
            last_at: 0,
            digits: String::new(),
        }
    }

    pub(super) fn push(&mut self, value: Value<'_>) {
        let Self {
            field,
            seen,
            text,
            lengths,
            rows,
            last,
            last_at,
            digits,
        } = self;
        let word = match value {
            Value::Absent => {
                rows.push(0);
                return;
            }
            Value::Number(number) if field.is_measured() => {
                rows.push(number.saturating_add(1));
                return;
            }
            Value::Number(number) => {
                digits.clear();
                let _ = write!(digits, "{number}");
                digits.as_str()
            }
            Value::Text(word) => word,
        };
        if *last_at > 0 && last.as_str() == word {
            rows.push(*last_at + 1);
            return;
        }
        let at = if let Some(at) = seen.get(word.as_bytes()) {
            rows.push(*at + 1);
            *at
        } else {
            lengths.push(word.len() as u64);
            let at = lengths.len() as u64;
            text.push_str(word);
            seen.insert(word.as_bytes().into(), at);
            rows.push(1);
            at
        };
        last.clear();
        last.push_str(word);
        *last_at = at;
    }

    /// Appends the column and tells where its parts are; `None` if no record has a value.
    /// Afterwards this is empty.
    pub(super) fn store(&mut self, out: &mut Vec<u8>) -> Option<Stored> {
        let Self {
            field,
            seen,
            text,
            lengths,
            rows,
            last,
            last_at,
            digits: _,
        } = self;
        let known = rows.iter().any(|row| *row > 0);
        let start = out.len();
        let mut stored = Stored {
            field: *field as u8,
            told: text.len() <= MOST_TEXT,
            ..Stored::default()
        };
        if known && stored.told {
            stored.rows = numbers::pack(rows, out);
            stored.values = u32::try_from(lengths.len()).unwrap_or(u32::MAX);
            stored.lengths = numbers::pack(lengths, out);
            stored.text = u32::try_from(text.len()).unwrap_or(u32::MAX);
            let packed = lz4_flex::block::compress(text.as_bytes());
            stored.packed_text = u32::try_from(packed.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&packed);
            stored.crc = crc32fast::hash(out.get(start..).unwrap_or_default());
        }
        seen.clear();
        text.clear();
        lengths.clear();
        rows.clear();
        last.clear();
        *last_at = 0;
        known.then_some(stored)
    }
}

/// What the directory of a block says of a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) field: u8,
    /// It is there; else its values were too long.
    pub(super) told: bool,
    rows: Packing,
    lengths: Packing,
    values: u32,
    text: u32,
    packed_text: u32,
    crc: u32,
}

impl Stored {
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        let Self {
            field,
            told,
            rows,
            lengths,
            values,
            text,
            packed_text,
            crc,
        } = self;
        out.extend_from_slice(&[*field, u8::from(*told)]);
        for packing in [rows, lengths] {
            out.extend_from_slice(&[packing.width, u8::from(packing.steps)]);
            out.extend_from_slice(&packing.packed.to_le_bytes());
        }
        for number in [values, text, packed_text, crc] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        // Room for what comes.
        out.extend_from_slice(&[0; 3]);
    }

    /// Reads one of [`STORED_BYTES`] back.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let u32_at = |at: usize| {
            let number = bytes.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*number))
        };
        let packing = |at: usize| {
            Some(Packing {
                width: *bytes.get(at)?,
                steps: *bytes.get(at + 1)? == 1,
                packed: u32_at(at + 2)?,
            })
        };
        Some(Self {
            field: *bytes.first()?,
            told: *bytes.get(1)? == 1,
            rows: packing(2)?,
            lengths: packing(8)?,
            values: u32_at(14)?,
            text: u32_at(18)?,
            packed_text: u32_at(22)?,
            crc: u32_at(26)?,
        })
    }

    /// Bytes of the column.
    pub(super) fn bytes(&self) -> usize {
        self.rows.packed as usize + self.lengths.packed as usize + self.packed_text as usize
    }
}

/// A column that was read.
#[derive(Debug)]
pub(super) struct Column {
    field: Field,
    stored: Stored,
    count: usize,
    bytes: Vec<u8>,
}

impl Column {
    /// A column of `count` records from its bytes; `None` if they were changed.
    pub(super) fn new(field: Field, stored: Stored, count: usize, bytes: Vec<u8>) -> Option<Self> {
        let good = bytes.len() == stored.bytes()
            && stored.text as usize <= MOST_TEXT
            && stored.values as usize <= count
            && crc32fast::hash(&bytes) == stored.crc;
        good.then_some(Self {
            field,
            stored,
            count,
            bytes,
        })
    }

    /// All texts, one after the other.
    pub(super) fn text(&self) -> Option<String> {
        let at = self.stored.rows.packed as usize + self.stored.lengths.packed as usize;
        let mut text = vec![0; self.stored.text as usize];
        let length = lz4_flex::block::decompress_into(self.bytes.get(at..)?, &mut text).ok()?;
        if length != text.len() {
            return None;
        }
        String::from_utf8(text).ok()
    }

    /// Calls `each` with every value of the list, which `text` holds; place 0 is "not known".
    pub(super) fn values(&self, text: &str, mut each: impl FnMut(Value<'_>)) -> Option<()> {
        let at = self.stored.rows.packed as usize;
        let bytes = self.bytes.get(at..)?;
        let lengths = numbers::unpack(
            self.stored.lengths,
            self.stored.values as usize,
            bytes.get(..self.stored.lengths.packed as usize)?,
        )?;
        each(Value::Absent);
        let mut rest = text;
        for length in lengths {
            let (word, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            each(match self.field.kind() {
                Kind::Number => Value::Number(word.parse().ok()?),
                _ => Value::Text(word),
            });
            rest = after;
        }
        Some(())
    }

    /// For every record the place of its value in the list, or if it is measured the value plus
    /// one.
    pub(super) fn rows(&self) -> Option<Vec<u64>> {
        let bytes = self.bytes.get(..self.stored.rows.packed as usize)?;
        let mut rows = numbers::unpack(self.stored.rows, self.count, bytes)?;
        if !self.field.is_measured() {
            let mut next = 0;
            for row in &mut rows {
                *row = match *row {
                    0 => 0,
                    1 => {
                        next += 1;
                        next
                    }
                    again => again - 1,
                };
            }
        }
        Some(rows)
    }

    pub(super) const fn field(&self) -> Field {
        self.field
    }
}
