//! A block of the index: the columns of a run of whole frames of one segment.
//!
//! ```text
//! "OAX2" | bytes that follow the head u32 | of these, of the directory u32 | first index u64
//! | records u32 | start and end in the segment u64 u64 | least and greatest time, ms u64 u64
//! | CRC-32 of the directory | CRC-32 of the head so far
//! directory: frames u32, of each its place after the start u32 and its records u16;
//!            the times; every column that has values
//! the times, the columns
//! ```
//! A search reads the columns that it asks for, and the frames of the records that it shows. An
//! index is made of the segment alone: where it is missing or damaged, the records are read.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::column::{Column, Gather, STORED_BYTES, Stored};
use super::field::Field;
use super::record::{Record, Value};

/// Bytes of the head.
pub(super) const BLOCK_HEAD: usize = 64;
/// Records of a block at most: twice what the indexer puts in one.
const MOST_RECORDS: u32 = 1 << 17;
/// Largest directory: frames of one record each.
const MOST_DIRECTORY: u32 = 1 << 20;

const MAGIC: [u8; 4] = *b"OAX2";
/// Where the CRC of the head is.
const CRC_AT: usize = 60;
/// Bytes of a frame in the directory.
const FRAME_BYTES: usize = 6;

/// Where a block lies and what it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockHead {
    /// Bytes after the head.
    pub(super) length: u32,
    directory: u32,
    pub(super) first: u64,
    pub(super) records: u32,
    /// Bytes of the segment that hold them.
    pub(super) span: (u64, u64),
    /// Least and greatest, Unix milliseconds.
    pub(super) time: (u64, u64),
    directory_crc: u32,
}

impl BlockHead {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let u32_at = |at: usize| {
            let number = rest.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*number))
        };
        let u64_at = |at: usize| {
            let number = rest.get(at..)?.first_chunk()?;
            Some(u64::from_le_bytes(*number))
        };
        let crc = u32_at(CRC_AT - MAGIC.len())?;
        if crc32fast::hash(bytes.get(..CRC_AT)?) != crc {
            return None;
        }
        let head = Self {
            length: u32_at(0)?,
            directory: u32_at(4)?,
            first: u64_at(8)?,
            records: u32_at(16)?,
            span: (u64_at(20)?, u64_at(28)?),
            time: (u64_at(36)?, u64_at(44)?),
            directory_crc: u32_at(52)?,
        };
        let good = head.directory <= head.length
            && head.directory <= MOST_DIRECTORY
            && head.records <= MOST_RECORDS
            && head.span.0 < head.span.1;
        good.then_some(head)
    }
}

/// A frame of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FramePlace {
    /// Where it starts in the segment.
    pub(super) at: u64,
    pub(super) records: u32,
}

/// What the index knows of a field in a block.
#[derive(Debug)]
pub(super) enum Looked {
    /// No record has a value.
    Nowhere,
    /// It does not know.
    Untold,
    Column(Column),
}

/// A block, whose columns are read when they are asked for.
#[derive(Debug)]
pub(super) struct Block {
    head: BlockHead,
    file: Arc<File>,
    frames: Vec<FramePlace>,
    /// The times and the columns, each with its place in the file.
    columns: Vec<(u64, Stored)>,
}

impl Block {
    /// The block at `at` of an index; `None` if it was changed.
    pub(super) fn open(file: &Arc<File>, at: u64, head: BlockHead) -> Option<Self> {
        let mut directory = vec![0; head.directory as usize];
        let start = at + BLOCK_HEAD as u64;
        file.read_exact_at(&mut directory, start).ok()?;
        if crc32fast::hash(&directory) != head.directory_crc {
            return None;
        }
        let (count, rest) = directory.split_first_chunk()?;
        let count = u32::from_le_bytes(*count) as usize;
        let (places, rest) = rest.split_at_checked(count.checked_mul(FRAME_BYTES)?)?;
        let (places, _) = places.as_chunks::<FRAME_BYTES>();
        let frames: Vec<FramePlace> = places
            .iter()
            .map(|[a, b, c, d, e, f]| FramePlace {
                at: head.span.0 + u64::from(u32::from_le_bytes([*a, *b, *c, *d])),
                records: u32::from(u16::from_le_bytes([*e, *f])),
            })
            .collect();
        let records: u64 = frames.iter().map(|frame| u64::from(frame.records)).sum();
        let mut place = start + u64::from(head.directory);
        let mut columns = Vec::new();
        let (stored, _) = rest.as_chunks::<STORED_BYTES>();
        for stored in stored {
            let stored = Stored::parse(stored)?;
            columns.push((place, stored));
            place += stored.bytes() as u64;
        }
        let fits = place == start + u64::from(head.length) && records == u64::from(head.records);
        fits.then(|| Self {
            head,
            file: Arc::clone(file),
            frames,
            columns,
        })
    }

    pub(super) const fn head(&self) -> &BlockHead {
        &self.head
    }

    /// The frames that hold the records, in order.
    pub(super) fn frames(&self) -> &[FramePlace] {
        &self.frames
    }

    fn read(&self, field: Field, at: u64, stored: Stored) -> Option<Column> {
        // Its parts end where the next starts, inside the block.
        let mut bytes = vec![0; stored.bytes()];
        self.file.read_exact_at(&mut bytes, at).ok()?;
        Column::new(field, stored, self.head.records as usize, bytes)
    }

    /// The times of the records in order.
    pub(super) fn times(&self) -> Option<Vec<u64>> {
        let (at, stored) = self.columns.first()?;
        let mut times = self.read(Field::Duration, *at, *stored)?.rows()?;
        for time in &mut times {
            *time = time.saturating_sub(1);
        }
        Some(times)
    }

    /// The column of a field.
    pub(super) fn column(&self, field: Field) -> Looked {
        let found = self.columns.iter().skip(1);
        let mut found = found.filter(|(_, stored)| stored.field == field as u8);
        match found.next() {
            None => Looked::Nowhere,
            Some((at, stored)) if stored.told => self
                .read(field, *at, *stored)
                .map_or(Looked::Untold, Looked::Column),
            Some(_) => Looked::Untold,
        }
    }
}

/// Makes a block.
#[derive(Debug)]
pub(super) struct BlockWriter {
    times: Vec<u64>,
    frames: Vec<FramePlace>,
    columns: Vec<(Field, Gather)>,
}

impl Default for BlockWriter {
    fn default() -> Self {
        let columns = Field::ALL.into_iter();
        Self {
            times: Vec::new(),
            frames: Vec::new(),
            columns: columns.map(|field| (field, Gather::new(field))).collect(),
        }
    }
}

impl BlockWriter {
    pub(super) fn push(&mut self, record: &Record<'_>) {
        self.times.push(record.time_ms());
        for (field, gather) in &mut self.columns {
            gather.push(record.value(*field));
        }
    }

    /// The records since the last were those of this frame.
    pub(super) fn frame(&mut self, at: u64) {
        let before: u32 = self.frames.iter().map(|frame| frame.records).sum();
        let records = u32::try_from(self.times.len()).unwrap_or(u32::MAX);
        self.frames.push(FramePlace {
            at,
            records: records.saturating_sub(before),
        });
    }

    /// The block of what was pushed; afterwards this is empty.
    pub(super) fn store(&mut self, first: u64, span: (u64, u64)) -> Vec<u8> {
        let Self {
            times,
            frames,
            columns,
        } = self;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        let mut directory = number(frames.len()).to_vec();
        for FramePlace { at, records } in frames.iter() {
            let place = u32::try_from(at.saturating_sub(span.0)).unwrap_or(u32::MAX);
            directory.extend_from_slice(&place.to_le_bytes());
            let records = u16::try_from(*records).unwrap_or(u16::MAX);
            directory.extend_from_slice(&records.to_le_bytes());
        }
        let mut body = Vec::new();
        // A duration is measured, as a time is.
        let mut gathered = Gather::new(Field::Duration);
        for time in times.iter() {
            gathered.push(Value::Number(*time));
        }
        let stored = std::iter::once(&mut gathered)
            .chain(columns.iter_mut().map(|(_, gather)| gather))
            .filter_map(|gather| gather.store(&mut body));
        for stored in stored {
            stored.push(&mut directory);
        }
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&number(directory.len() + body.len()));
        out.extend_from_slice(&number(directory.len()));
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&number(times.len()));
        let least = times.iter().copied().min().unwrap_or(0);
        let most = times.iter().copied().max().unwrap_or(0);
        for number in [span.0, span.1, least, most] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&crc32fast::hash(&directory).to_le_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&directory);
        out.extend_from_slice(&body);
        times.clear();
        frames.clear();
        out
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_HEAD, BlockHead, BlockWriter};

    #[test]
    fn a_head_reads_back_and_no_changed_one_does() {
        let bytes = BlockWriter::default().store(7, (20, 90));
        let head = BlockHead::parse(&bytes[..BLOCK_HEAD]).unwrap();
        assert_eq!((head.first, head.records, head.span), (7, 0, (20, 90)));
        for bit in 0..BLOCK_HEAD * 8 {
            let mut changed = bytes[..BLOCK_HEAD].to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BlockHead::parse(&changed), None, "bit {bit}");
        }
    }
}
