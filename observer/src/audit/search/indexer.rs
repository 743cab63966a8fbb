//! Writes the index of a log, block by block, from its segments.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::block::{BLOCK_HEAD, BlockHead, BlockWriter};
use super::record::Record;
use crate::audit::durable::make_folder;
use crate::audit::error::AuditError;
use crate::audit::frame::Kind;
use crate::audit::segment::{self, SegmentReader, Step};

/// Records of a block, and at most those of a frame more. What is newer than the last block of a
/// log is read by every search: 32,768 records take some 60 ms.
const BLOCK_RECORDS: u64 = 32_768;

/// Path of the index of the segment that starts at `first`.
fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join("index").join(format!("{first:020}.idx"))
}

/// Removes the index of a segment that was removed.
pub(in crate::audit) fn remove(dir: &Path, first: u64) {
    // If it stays, nothing refers to it.
    let _ = fs::remove_file(path(dir, first));
}

/// The heads of the blocks of a segment's index, with the place of each in the file; what follows
/// the last whole block is left out.
pub(super) fn heads(file: &mut File) -> std::io::Result<Vec<(u64, BlockHead)>> {
    let length = file.metadata()?.len();
    let mut found: Vec<(u64, BlockHead)> = Vec::new();
    let mut at = 0;
    let mut bytes = [0; BLOCK_HEAD];
    while at + BLOCK_HEAD as u64 <= length {
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut bytes)?;
        let Some(head) = BlockHead::parse(&bytes) else {
            break;
        };
        let end = at + BLOCK_HEAD as u64 + u64::from(head.length);
        // Each goes on where the one before it ends.
        let follows = found
            .last()
            .is_none_or(|(_, last)| last.span.1 == head.span.0);
        if end > length || !follows {
            break;
        }
        found.push((at, head));
        at = end;
    }
    Ok(found)
}

/// The index of a segment, open; `None` if there is none.
pub(super) fn open(dir: &Path, first: u64) -> Option<File> {
    File::open(path(dir, first)).ok()
}

/// Keeps the index of a log up to date.
#[derive(Debug)]
pub struct Indexer {
    dir: PathBuf,
    writer: BlockWriter,
    /// Segments before this one are done.
    done: u64,
    block_records: u64,
}

impl Indexer {
    /// For the log in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            writer: BlockWriter::default(),
            done: 0,
            block_records: BLOCK_RECORDS,
        }
    }

    /// The same with smaller blocks, for tests of what happens between them.
    #[must_use]
    pub const fn with_block_records(mut self, records: u64) -> Self {
        self.block_records = records;
        self
    }

    /// Indexes what can be: every whole segment, and of the last one all blocks that are full.
    /// `stop` ends it early. Returns the records indexed.
    ///
    /// # Errors
    /// If a segment cannot be read or the index cannot be written.
    pub fn extend(&mut self, stop: &mut dyn FnMut() -> bool) -> Result<u64, AuditError> {
        let segments = segment::list(&self.dir)?;
        let mut records = 0;
        for (at, (first, path)) in segments.iter().enumerate() {
            if *first < self.done {
                continue;
            }
            let whole = at + 1 < segments.len();
            records += self.segment(*first, path, whole, stop)?;
            if stop() {
                return Ok(records);
            }
            if whole {
                self.done = first + 1;
            }
        }
        Ok(records)
    }

    fn segment(
        &mut self,
        first: u64,
        segment: &Path,
        whole: bool,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<u64, AuditError> {
        let path = path(&self.dir, first);
        let mut reader = SegmentReader::open(segment)?;
        make_folder(path.parent().unwrap_or(&self.dir))?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(AuditError::io("open", &path))?;
        if file.try_lock().is_err() {
            // Another one is at it.
            return Ok(0);
        }
        let unwritable = || AuditError::io("write", &path);
        let heads = heads(&mut file).map_err(AuditError::io("read", &path))?;
        let fits = heads
            .first()
            .is_none_or(|(_, head)| head.first == first && head.span.0 == reader.offset());
        let mut end = 0;
        if let (Some((at, head)), true) = (heads.last(), fits) {
            end = at + BLOCK_HEAD as u64 + u64::from(head.length);
            reader.skip_to(head.span.1)?;
        }
        file.set_len(end).map_err(unwritable())?;
        file.seek(SeekFrom::Start(end)).map_err(unwritable())?;
        let mut records = 0;
        let mut raw = Vec::new();
        while let Some(to) = self.block_end(segment, reader.offset(), whole)? {
            let from = reader.offset();
            let mut block_first = None;
            // What a damaged block left in it is not of this one.
            self.writer = BlockWriter::default();
            while reader.offset() < to {
                let at = reader.offset();
                let Step::Frame { header, payload } = reader.next(&mut |_| true)? else {
                    // Damaged: `verify` says so, a search reads up to here.
                    return Ok(records);
                };
                if header.kind != Kind::Records {
                    continue;
                }
                block_first.get_or_insert(header.first);
                for record in header.unpack(payload, &mut raw).into_iter().flatten() {
                    self.writer.push(&Record::parse(record));
                    records += 1;
                }
                self.writer.frame(at);
            }
            let block = self.writer.store(block_first.unwrap_or(first), (from, to));
            file.write_all(&block).map_err(unwritable())?;
            if stop() {
                break;
            }
        }
        Ok(records)
    }

    /// Where a block that starts at `from` ends; `None` if it is not full yet, or is empty.
    fn block_end(&self, segment: &Path, from: u64, whole: bool) -> Result<Option<u64>, AuditError> {
        let mut reader = SegmentReader::open(segment)?;
        reader.skip_to(from)?;
        let mut records = 0;
        loop {
            match reader.next(&mut |_| false)? {
                Step::Frame { header, .. } => {
                    records += u64::from(header.count);
                    if records >= self.block_records {
                        return Ok(Some(reader.offset()));
                    }
                }
                Step::End if whole && records > 0 => return Ok(Some(reader.offset())),
                _ => return Ok(None),
            }
        }
    }
}
