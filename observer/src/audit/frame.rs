//! Frames: the unit that is appended to a segment, with length, checksum and a small index.
//!
//! ```text
//!  0 magic "OAF1"   4 kind       8 stored bytes  12 raw bytes  16 records  20 classes
//! 24 first index   32 first time, ms              40 last time, ms
//! 48 least status  50 greatest status             52 CRC-32 of bytes 0..52 and the payload
//! 56 payload: LZ4 block of records, each with its length before it; or the note of a checkpoint
//! ```
//! All numbers are little-endian.

use super::record_head::RecordHead;

/// Bytes before the payload.
pub(super) const FRAME_HEADER: usize = 56;
/// Records in a frame, and so between two checkpoints under load.
pub(super) const MAX_RECORDS: u32 = 1000;
/// Raw bytes of the records of a frame. A record has at most 64 KiB, so a frame that was below the
/// bound before its last record stays below this.
pub(super) const MAX_RAW: usize = 2 << 20;

const MAGIC: [u8; 4] = *b"OAF1";

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Records.
    Records,
    /// A signed checkpoint over everything before it.
    Checkpoint,
}

/// What a query needs to know of a frame to leave it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameIndex {
    pub(super) classes: u32,
    /// Unix time in milliseconds, least and greatest.
    pub(super) time: (u64, u64),
    /// Status, least and greatest; (65535, 0) if no record has one.
    pub(super) status: (u16, u16),
}

impl Default for FrameIndex {
    fn default() -> Self {
        Self {
            classes: 0,
            time: (u64::MAX, 0),
            status: (u16::MAX, 0),
        }
    }
}

impl FrameIndex {
    pub(super) fn add(&mut self, head: &RecordHead) {
        let Self {
            classes,
            time,
            status,
        } = self;
        *classes |= head.class_bit();
        *time = (time.0.min(head.time_ms), time.1.max(head.time_ms));
        if let Some(code) = head.status {
            *status = (status.0.min(code), status.1.max(code));
        }
    }
}

/// A frame without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) kind: Kind,
    pub(super) stored: u32,
    pub(super) raw: u32,
    pub(super) count: u32,
    /// Index of the first record; of a checkpoint the size of its tree.
    pub(super) first: u64,
    pub(super) index: FrameIndex,
    pub(super) crc: u32,
}

/// Appends the frame of `payload`; the lengths and the checksum of `header` are filled in.
pub(super) fn push_frame(out: &mut Vec<u8>, header: &FrameHeader, payload: &[u8]) {
    let start = out.len();
    let FrameHeader {
        kind,
        stored: _,
        raw,
        count,
        first,
        index,
        crc: _,
    } = header;
    out.extend_from_slice(&MAGIC);
    let kind: u32 = match kind {
        Kind::Records => 1,
        Kind::Checkpoint => 2,
    };
    let stored = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    for number in [kind, stored, *raw, *count, index.classes] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for number in [*first, index.time.0, index.time.1] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&index.status.0.to_le_bytes());
    out.extend_from_slice(&index.status.1.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(out.get(start..).unwrap_or_default());
    crc.update(payload);
    out.extend_from_slice(&crc.finalize().to_le_bytes());
    out.extend_from_slice(payload);
}

/// Reads numbers one after the other.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*number)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

impl FrameHeader {
    /// Reads a header; `None` if it is none. The checksum is not verified yet.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut numbers = Numbers(bytes.strip_prefix(&MAGIC)?);
        let kind = match numbers.u32()? {
            1 => Kind::Records,
            2 => Kind::Checkpoint,
            _ => return None,
        };
        let (stored, raw, count) = (numbers.u32()?, numbers.u32()?, numbers.u32()?);
        let classes = numbers.u32()?;
        let first = numbers.u64()?;
        let index = FrameIndex {
            classes,
            time: (numbers.u64()?, numbers.u64()?),
            status: (numbers.u16()?, numbers.u16()?),
        };
        let crc = numbers.u32()?;
        let bounded =
            stored as usize <= 2 * MAX_RAW && raw as usize <= MAX_RAW && count <= MAX_RECORDS;
        bounded.then_some(Self {
            kind,
            stored,
            raw,
            count,
            first,
            index,
            crc,
        })
    }

    /// Whether header and payload are as they were written.
    pub(super) fn intact(&self, header: &[u8], payload: &[u8]) -> bool {
        let mut crc = crc32fast::Hasher::new();
        crc.update(header.get(..FRAME_HEADER - 4).unwrap_or_default());
        crc.update(payload);
        crc.finalize() == self.crc
    }

    /// The records of a payload, one after the other in `raw`.
    pub(super) fn unpack<'a>(&self, payload: &[u8], raw: &'a mut Vec<u8>) -> Option<Records<'a>> {
        raw.clear();
        raw.resize(self.raw as usize, 0);
        let length = lz4_flex::block::decompress_into(payload, raw).ok()?;
        (length == raw.len()).then_some(Records { rest: raw })
    }
}

/// The records of a frame.
#[derive(Clone, Debug)]
pub(super) struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk()?;
        let (record, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::{FRAME_HEADER, FrameHeader, FrameIndex, Kind, push_frame};
    use proptest::prelude::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let header = FrameHeader {
            kind: Kind::Checkpoint,
            stored: 0,
            raw: 7,
            count: 3,
            first: 9,
            index: FrameIndex::default(),
            crc: 0,
        };
        push_frame(&mut out, &header, payload);
        out
    }

    #[test]
    fn every_flipped_bit_of_a_frame_shows() {
        let good = frame(b"payload");
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (head, payload) = bytes.split_at(FRAME_HEADER);
            let same = FrameHeader::parse(head)
                .is_some_and(|header| header.stored == 7 && header.intact(head, payload));
            assert!(!same, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut framed = b"OAF1\x01\0\0\0".to_vec();
            framed.extend_from_slice(&bytes);
            if let Some(header) = FrameHeader::parse(&framed) {
                let mut raw = Vec::new();
                let _ = header.unpack(&bytes, &mut raw).map(Iterator::count);
            }
        }
    }
}
