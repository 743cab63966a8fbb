//! A block of the index: the columns of a run of whole frames of one segment.
//!
//! ```text
//! "OAX1" | bytes that follow the head u32 | first index u64 | records u32
//! | start and end in the segment u64 u64 | least and greatest time, ms u64 u64
//! | CRC-32 of the columns | CRC-32 of the head so far
//! times | columns in the order of Field::INDEXED
//! ```
//! An index is made of the segment alone: where
//! it is missing or damaged, the records are read.

use super::column::{Gather, Stored};
use super::field::Field;
use super::record::{Record, Value};

/// Bytes before the columns.
pub(super) const BLOCK_HEAD: usize = 60;
/// Largest block: what the columns of 33,000 records take at worst when packed.
pub(super) const MOST_BLOCK: u32 = 256 << 20;

const MAGIC: [u8; 4] = *b"OAX1";
/// Where the CRC of the head is.
const CRC_AT: usize = 56;

/// Where a block lies and what it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockHead {
    /// Bytes of the columns.
    pub(super) length: u32,
    pub(super) first: u64,
    pub(super) records: u32,
    /// Bytes of the segment that hold them.
    pub(super) span: (u64, u64),
    /// Least and greatest, Unix milliseconds.
    pub(super) time: (u64, u64),
    crc: u32,
}

impl BlockHead {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let crc = bytes.get(CRC_AT..)?.first_chunk()?;
        if crc32fast::hash(bytes.get(..CRC_AT)?) != u32::from_le_bytes(*crc) {
            return None;
        }
        let u32_at = |at: usize| {
            rest.get(at..)?
                .first_chunk()
                .map(|n| u32::from_le_bytes(*n))
        };
        let u64_at = |at: usize| {
            rest.get(at..)?
                .first_chunk()
                .map(|n| u64::from_le_bytes(*n))
        };
        let head = Self {
            length: u32_at(0)?,
            first: u64_at(4)?,
            records: u32_at(12)?,
            span: (u64_at(16)?, u64_at(24)?),
            time: (u64_at(32)?, u64_at(40)?),
            crc: u32_at(48)?,
        };
        (head.length <= MOST_BLOCK && head.span.0 < head.span.1).then_some(head)
    }
}

/// A block as it was read.
#[derive(Debug)]
pub(super) struct Block {
    head: BlockHead,
    columns: Vec<u8>,
}

impl Block {
    /// A block from its head and the bytes after it; `None` if it was changed.
    pub(super) fn new(head_bytes: &[u8], columns: Vec<u8>) -> Option<Self> {
        let head = BlockHead::parse(head_bytes)?;
        (crc32fast::hash(&columns) == head.crc).then_some(Self { head, columns })
    }

    pub(super) const fn records(&self) -> u32 {
        self.head.records
    }

    /// Least and greatest time.
    pub(super) const fn time(&self) -> (u64, u64) {
        self.head.time
    }

    /// The times of the records in order.
    pub(super) fn each_time(&self, each: &mut impl FnMut(u64)) -> Option<()> {
        let (times, _) = Stored::parse(Field::Duration, &self.columns)?;
        let rows = times.rows()?;
        if rows.count() != self.head.records as usize {
            return None;
        }
        rows.each(|row| each(self.head.time.0.saturating_add(row.saturating_sub(1))));
        Some(())
    }

    /// The column of a field, if the index has it.
    pub(super) fn column(&self, wanted: Field) -> Option<Stored<'_>> {
        let (_, mut rest) = Stored::parse(Field::Duration, &self.columns)?;
        for field in Field::INDEXED {
            let (stored, after) = Stored::parse(field, rest)?;
            if stored.field() == wanted {
                return (stored.records() == self.head.records as usize).then_some(stored);
            }
            rest = after;
        }
        None
    }
}

/// Makes a block.
#[derive(Debug)]
pub(super) struct BlockWriter {
    times: Vec<u64>,
    columns: Vec<(Field, Gather)>,
}

impl Default for BlockWriter {
    fn default() -> Self {
        Self {
            times: Vec::new(),
            columns: Field::INDEXED
                .into_iter()
                .map(|field| (field, Gather::default()))
                .collect(),
        }
    }
}

impl BlockWriter {
    pub(super) fn push(&mut self, record: &Record<'_>) {
        self.times.push(record.time_ms());
        for (field, gather) in &mut self.columns {
            gather.push(*field, record.value(*field));
        }
    }

    /// The block of what was pushed; afterwards this is empty.
    pub(super) fn store(&mut self, first: u64, span: (u64, u64)) -> Vec<u8> {
        let least = self.times.iter().copied().min().unwrap_or(0);
        let most = self.times.iter().copied().max().unwrap_or(0);
        let mut columns = Vec::new();
        let mut times = Gather::default();
        for time in &self.times {
            times.push(Field::Duration, Value::Number(time - least));
        }
        times.store(&mut columns);
        for (_, gather) in &mut self.columns {
            gather.store(&mut columns);
        }
        let mut out = MAGIC.to_vec();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        out.extend_from_slice(&number(columns.len()));
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&number(self.times.len()));
        for number in [span.0, span.1, least, most] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&crc32fast::hash(&columns).to_le_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&columns);
        self.times.clear();
        out
    }
}
