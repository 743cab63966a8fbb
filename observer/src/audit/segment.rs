//! Segments: the files that hold the records, each readable on its own.
//!
//! ```text
//! "OBSAUDIT" | version u32 | first index u64 | hashes of the tree's edge at that size | CRC-32
//! frame | frame | …
//! ```
//! With the edge in its head a segment needs nothing of those before it: they can be pruned, and
//! an agent that starts reads the last one only.

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::edge::Edge;
use super::error::AuditError;
use super::frame::{FRAME_HEADER, FrameHeader};
use super::merkle::Hash;

const MAGIC: [u8; 8] = *b"OBSAUDIT";
const VERSION: u32 = 1;
/// Magic, version, first index.
const FIXED: usize = 20;
/// Digits of a segment's name, its first index: names sort as numbers.
const DIGITS: usize = 20;

/// Folder of the segments.
pub(super) fn folder(dir: &Path) -> PathBuf {
    dir.join("segments")
}

/// Path of the segment that starts at `first`.
pub(super) fn path(dir: &Path, first: u64) -> PathBuf {
    folder(dir).join(format!("{first:0DIGITS$}.seg"))
}

/// First index and path of every segment, in order.
pub(super) fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, AuditError> {
    let folder = folder(dir);
    let mut found = Vec::new();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(AuditError::io("read", &folder)(error)),
    };
    for entry in entries {
        let path = entry.map_err(AuditError::io("read", &folder))?.path();
        let first = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".seg"))
            .filter(|name| name.len() == DIGITS)
            .and_then(|name| name.parse().ok());
        if let Some(first) = first {
            found.push((first, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The head of a segment that starts at `edge`.
pub(super) fn head(edge: &Edge) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&edge.size().to_le_bytes());
    for hash in edge.hashes() {
        out.extend_from_slice(hash);
    }
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// What a reader met.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// A frame that is as it was written.
    Frame {
        header: FrameHeader,
        payload: &'a [u8],
    },
    /// The end of the file, after a whole frame.
    End,
    /// The file ends inside a frame: what a crash leaves. The bytes of it.
    Torn(u64),
    /// Bytes that are no frame, or one that was changed.
    Damaged,
}

/// Reads a segment frame by frame.
#[derive(Debug)]
pub(super) struct SegmentReader {
    path: PathBuf,
    file: BufReader<File>,
    edge: Edge,
    /// Bytes of the file when it was opened.
    length: u64,
    /// Where the next frame starts.
    offset: u64,
    header: [u8; FRAME_HEADER],
    payload: Vec<u8>,
}

impl SegmentReader {
    /// Opens a segment and reads its head.
    pub(super) fn open(path: &Path) -> Result<Self, AuditError> {
        let file = File::open(path).map_err(AuditError::io("read", path))?;
        let length = file.metadata().map_err(AuditError::io("read", path))?.len();
        let mut file = BufReader::with_capacity(256 << 10, file);
        let bad = || AuditError::bad(path, "has a damaged head");
        let mut head = vec![0; FIXED];
        file.read_exact(&mut head).map_err(|_| bad())?;
        let first = head
            .strip_prefix(&MAGIC)
            .and_then(|rest| rest.strip_prefix(&VERSION.to_le_bytes()))
            .and_then(|rest| rest.first_chunk())
            .map(|first| u64::from_le_bytes(*first))
            .ok_or_else(bad)?;
        let rest = Edge::hashes_of(first) * size_of::<Hash>();
        head.resize(FIXED + rest, 0);
        let hashes = head.get_mut(FIXED..).ok_or_else(bad)?;
        file.read_exact(hashes).map_err(|_| bad())?;
        let (hashes, _) = hashes.as_chunks::<32>();
        let edge = Edge::from_hashes(first, hashes).ok_or_else(bad)?;
        let mut crc = [0; 4];
        file.read_exact(&mut crc).map_err(|_| bad())?;
        if crc32fast::hash(&head) != u32::from_le_bytes(crc) {
            return Err(bad());
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            edge,
            length,
            offset: (head.len() + crc.len()) as u64,
            header: [0; FRAME_HEADER],
            payload: Vec::new(),
        })
    }

    /// The tree before the first record.
    pub(super) fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Where the next frame starts.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes on at `offset`, where a frame starts.
    pub(super) fn skip_to(&mut self, offset: u64) -> Result<(), AuditError> {
        self.file
            .seek(SeekFrom::Start(offset))
            .map_err(AuditError::io("read", &self.path))?;
        self.offset = offset;
        Ok(())
    }

    /// Reads the next frame. `wanted` tells from the header whether the payload is; if it is not,
    /// it is stepped over unread and unverified, and comes back empty.
    pub(super) fn next(
        &mut self,
        wanted: &mut impl FnMut(&FrameHeader) -> bool,
    ) -> Result<Step<'_>, AuditError> {
        let left = self.length.saturating_sub(self.offset);
        if left == 0 {
            return Ok(Step::End);
        }
        if left < FRAME_HEADER as u64 {
            return Ok(Step::Torn(left));
        }
        let unread = AuditError::io("read", &self.path);
        if let Err(error) = self.file.read_exact(&mut self.header) {
            return Err(unread(error));
        }
        let Some(header) = FrameHeader::parse(&self.header) else {
            return Ok(Step::Damaged);
        };
        let whole = FRAME_HEADER as u64 + u64::from(header.stored);
        if whole > left {
            return Ok(Step::Torn(left));
        }
        self.payload.clear();
        if wanted(&header) {
            self.payload.resize(header.stored as usize, 0);
            if let Err(error) = self.file.read_exact(&mut self.payload) {
                return Err(unread(error));
            }
            if !header.intact(&self.header, &self.payload) {
                return Ok(Step::Damaged);
            }
        } else if let Err(error) = self.file.seek_relative(i64::from(header.stored)) {
            return Err(unread(error));
        }
        self.offset += whole;
        Ok(Step::Frame {
            header,
            payload: &self.payload,
        })
    }

    /// Everything from the next frame on: what is dropped after a crash.
    pub(super) fn rest(&mut self, most: u64) -> Result<Vec<u8>, AuditError> {
        let mut rest = Vec::new();
        self.file
            .seek(SeekFrom::Start(self.offset))
            .and_then(|_| (&mut self.file).take(most).read_to_end(&mut rest))
            .map_err(AuditError::io("read", &self.path))?;
        Ok(rest)
    }
}
