//! A column of the index: the values of one field over a run of records.
//!
//! Values that repeat are numbers into a list of them; durations stand for themselves. Stored as
//! `rows u32 | width u8 | values u32 | list length u32, packed u32 | rows length u32, packed u32`
//! and the two parts, each an LZ4 block. Value 0 is "not known".

use std::collections::HashMap;

use super::field::{Field, Kind};
use super::record::Value;

/// Bytes before the two parts.
pub(super) const COLUMN_HEAD: usize = 25;
/// Largest part when unpacked. Rows stay far below it; a list that does not is not stored, and the
/// records are read instead.
const MOST_UNPACKED: usize = 64 << 20;

/// Gathers the values of one field.
#[derive(Debug, Default)]
pub(super) struct Gather {
    seen: HashMap<Vec<u8>, u32>,
    list: Vec<u8>,
    rows: Vec<u64>,
}

impl Gather {
    pub(super) fn push(&mut self, field: Field, value: Value<'_>) {
        let Self { seen, list, rows } = self;
        if field.kind() == Kind::Duration {
            rows.push(match value {
                Value::Number(number) => number.saturating_add(1),
                _ => 0,
            });
            return;
        }
        let mut digits = String::new();
        let bytes = match value {
            Value::Absent => {
                rows.push(0);
                return;
            }
            Value::Text(text) => text.as_bytes(),
            Value::Number(number) => {
                use std::fmt::Write as _;
                let _ = write!(digits, "{number}");
                digits.as_bytes()
            }
        };
        if let Some(at) = seen.get(bytes) {
            rows.push(u64::from(*at));
            return;
        }
        let next = u32::try_from(seen.len() + 1).unwrap_or(u32::MAX);
        list.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
        list.extend_from_slice(bytes);
        seen.insert(bytes.to_vec(), next);
        rows.push(u64::from(next));
    }

    /// Appends the column; afterwards this is empty.
    pub(super) fn store(&mut self, out: &mut Vec<u8>) {
        let Self { seen, list, rows } = self;
        if list.len() > MOST_UNPACKED {
            seen.clear();
            list.clear();
            rows.clear();
        }
        let width = match rows.iter().copied().max().unwrap_or(0) {
            0..=0xff => 1,
            0x100..=0xffff => 2,
            0x1_0000..=0xffff_ffff => 4,
            _ => 8_usize,
        };
        let mut plain = Vec::with_capacity(rows.len() * width);
        for row in rows.iter() {
            plain.extend(row.to_le_bytes().iter().take(width));
        }
        let packed_list = lz4_flex::block::compress(list);
        let packed_rows = lz4_flex::block::compress(&plain);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        out.extend_from_slice(&number(rows.len()));
        out.push(width as u8);
        for length in [
            seen.len(),
            list.len(),
            packed_list.len(),
            plain.len(),
            packed_rows.len(),
        ] {
            out.extend_from_slice(&number(length));
        }
        out.extend_from_slice(&packed_list);
        out.extend_from_slice(&packed_rows);
        seen.clear();
        list.clear();
        rows.clear();
    }
}

/// A column as it is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored<'a> {
    field: Field,
    width: usize,
    count: usize,
    values: usize,
    list: (usize, &'a [u8]),
    rows: (usize, &'a [u8]),
}

impl<'a> Stored<'a> {
    /// The column at the start of `bytes`, and what follows it; `None` if it is none.
    pub(super) fn parse(field: Field, bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = bytes.split_at_checked(COLUMN_HEAD)?;
        let at = |at: usize| -> Option<usize> {
            let number = head.get(at..at + 4)?.first_chunk()?;
            usize::try_from(u32::from_le_bytes(*number)).ok()
        };
        let (count, width) = (at(0)?, usize::from(*head.get(4)?));
        let (values, list, list_packed) = (at(5)?, at(9)?, at(13)?);
        let (rows, rows_packed) = (at(17)?, at(21)?);
        let good = matches!(width, 1 | 2 | 4 | 8)
            && rows == count.checked_mul(width)?
            && rows <= MOST_UNPACKED
            && list <= MOST_UNPACKED
            && values.checked_mul(4)? <= list;
        if !good {
            return None;
        }
        let (list_bytes, rest) = rest.split_at_checked(list_packed)?;
        let (rows_bytes, rest) = rest.split_at_checked(rows_packed)?;
        let stored = Self {
            field,
            width,
            count,
            values,
            list: (list, list_bytes),
            rows: (rows, rows_bytes),
        };
        Some((stored, rest))
    }

    /// Records that it has a row for.
    pub(super) const fn records(&self) -> usize {
        self.count
    }

    pub(super) const fn field(&self) -> Field {
        self.field
    }

    /// What each value of the list is to `test`; index 0 is "not known".
    pub(super) fn judge(&self, mut test: impl FnMut(Value<'_>)) -> Option<()> {
        let list = unpack(self.list)?;
        let mut rest = list.as_slice();
        test(Value::Absent);
        for _ in 0..self.values {
            let (length, after) = rest.split_first_chunk()?;
            let (text, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            let text = std::str::from_utf8(text).ok()?;
            test(match self.field.kind() {
                Kind::Number => Value::Number(text.parse().ok()?),
                _ => Value::Text(text),
            });
            rest = after;
        }
        Some(())
    }

    /// The rows: places in the list, or durations plus one.
    pub(super) fn rows(&self) -> Option<Rows> {
        Some(Rows {
            bytes: unpack(self.rows)?,
            width: self.width,
            count: self.count,
        })
    }

    /// Whether the rows stand for themselves.
    pub(super) fn is_plain(&self) -> bool {
        self.field.kind() == Kind::Duration
    }
}

fn unpack((length, packed): (usize, &[u8])) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let written = lz4_flex::block::decompress_into(packed, &mut bytes).ok()?;
    (written == length).then_some(bytes)
}

/// The rows of a column.
#[derive(Debug)]
pub(super) struct Rows {
    bytes: Vec<u8>,
    width: usize,
    count: usize,
}

impl Rows {
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Calls `each` with every row in order.
    pub(super) fn each(&self, mut each: impl FnMut(u64)) {
        match self.width {
            1 => self.bytes.iter().for_each(|byte| each(u64::from(*byte))),
            2 => {
                let (rows, _) = self.bytes.as_chunks::<2>();
                rows.iter()
                    .for_each(|row| each(u64::from(u16::from_le_bytes(*row))));
            }
            4 => {
                let (rows, _) = self.bytes.as_chunks::<4>();
                rows.iter()
                    .for_each(|row| each(u64::from(u32::from_le_bytes(*row))));
            }
            _ => {
                let (rows, _) = self.bytes.as_chunks::<8>();
                rows.iter().for_each(|row| each(u64::from_le_bytes(*row)));
            }
        }
    }
}
