//! The log: appends records, signs checkpoints, survives crashes and full disks.

mod chores;
mod epoch;
#[cfg(test)]
mod full_disk;
mod retention;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::anchor::{Anchor, Signed};
use super::durable::{make_folder, replace};
use super::edge::Edge;
use super::error::AuditError;
use super::frame::{FrameHeader, FrameIndex, Kind, MAX_RECORDS, push_frame};
use super::keys::Keys;
use super::merkle::{Hash, leaf_hash};
use super::opening::{self, Opened};
use super::own_event::OwnEvent;
use super::record_head::RecordHead;
use super::segment;
use super::settings::AuditSettings;
use super::tiles::TileWriter;

/// Longest record: C2SP entry bundles give its length 16 bits.
pub(super) const MAX_RECORD: usize = 65_535;
/// Raw bytes after which a frame is written before it has all its records: what LZ4 can look back
/// on is far less, so more gains nothing.
const FULL_FRAME: usize = 1 << 20;
/// Bytes after which a new segment starts. Retention removes whole segments, a start reads one.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Longest time between two checkpoints while records come.
const CHECKPOINT_MS: u64 = 1000;
/// How far the clock may go back unnoticed, milliseconds: what keeps time in step moves it by less.
pub(super) const CLOCK_SLACK_MS: u64 = 2000;
/// How often age and size of the segments are looked at.
const RETENTION_MS: u64 = 60_000;

/// A log open for appending. One at a time: the folder is locked.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    settings: AuditSettings,
    _lock: File,
    keys: Keys,
    edge: Edge,
    file: File,
    path: PathBuf,
    /// Index of its first record.
    first: u64,
    /// Bytes of the segment that are whole frames.
    length: u64,
    /// Bytes that a failed write may have left behind `length`; removed before the next one.
    broken: bool,
    pending: Pending,
    frame: Vec<u8>,
    compressed: Vec<u8>,
    tiles: TileWriter,
    /// Size of the last checkpoint in the log.
    checkpointed: u64,
    checkpoint_ms: u64,
    /// The latest time that the log has seen.
    latest_ms: u64,
    /// The last checkpoint, until it is on the disk beside the log too.
    unpublished: Option<Signed>,
    anchor: Anchor,
    unsynced: bool,
    lost: u64,
    retention_ms: u64,
    segment_bytes: u64,
}

/// Records that are not in a frame yet.
#[derive(Debug, Default)]
struct Pending {
    raw: Vec<u8>,
    leaves: Vec<Hash>,
    index: FrameIndex,
}

impl Log {
    /// Opens the log in `dir`, or makes one with the name `origin`.
    ///
    /// # Errors
    /// If another agent has it, if a file cannot be read or written, or if the last segment or a
    /// key is damaged so that nothing can be appended.
    pub fn open(
        dir: &Path,
        origin: &str,
        settings: AuditSettings,
        now_ms: u64,
    ) -> Result<(Self, Opened), AuditError> {
        make_folder(&segment::folder(dir))?;
        let lock = lock(dir)?;
        let mut keys = Keys::open(dir, origin, now_ms)?;
        let mut tiles = TileWriter::new(dir);
        let (first, last) = match segment::list(dir)?.pop() {
            Some((first, path)) => (first, path),
            None => {
                // A checkpoint over nothing, so that one is beside the log from the start on.
                let checkpoint = checkpoint_path(dir);
                if !checkpoint.exists() {
                    let note = keys.sign(0, Edge::default().root());
                    replace(&checkpoint, note.as_bytes(), 0o644)?;
                }
                let path = segment::path(dir, 0);
                replace(&path, &segment::head(&Edge::default()), 0o600)?;
                (0, path)
            }
        };
        let (tail, opened) = opening::read_last(dir, &last, &mut tiles)?;
        let named = tail.key_epoch.as_ref().is_some_and(|(_, vkey)| {
            keys.prepared()
                .is_some_and(|prepared| prepared.to_string() == *vkey)
        });
        if !named {
            keys.abandon();
        }
        let file = open_for_append(&last)?;
        let mut log = Self {
            dir: dir.to_owned(),
            settings,
            _lock: lock,
            keys,
            edge: tail.edge,
            file,
            path: last,
            first,
            length: tail.length,
            broken: true,
            pending: Pending::default(),
            frame: Vec::new(),
            compressed: Vec::new(),
            tiles,
            checkpointed: tail.checkpointed,
            checkpoint_ms: now_ms,
            latest_ms: tail.latest_ms,
            unpublished: None,
            anchor: Anchor::default(),
            unsynced: true,
            lost: 0,
            retention_ms: now_ms,
            segment_bytes: SEGMENT_BYTES,
        };
        if named && let Some((record, _)) = tail.key_epoch {
            // It ended while the key was replaced: go on from there.
            log.finish_epoch(&record)?;
        }
        Ok((log, opened))
    }

    /// The same with smaller segments, for tests of what happens between them.
    #[must_use]
    pub fn with_segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Public key of the epoch in force.
    pub fn vkey(&self) -> String {
        self.keys.vkey().to_string()
    }

    /// Name of the log.
    pub fn origin(&self) -> &str {
        self.keys.vkey().name()
    }

    /// Where the last checkpoint is put, once it is on the disk.
    pub fn anchor(&self) -> Anchor {
        self.anchor.clone()
    }

    /// Index that the next record gets.
    pub fn next_index(&self) -> u64 {
        self.edge.size() + self.pending.leaves.len() as u64
    }

    /// Records that were given to [`Log::append`] and could not be written, since the last call.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Counts records that never came to be appended.
    pub(super) fn lose(&mut self, records: u64) {
        self.lost += records;
    }

    /// Tiles that could not be written since the start.
    pub const fn tiles_given_up(&self) -> u64 {
        self.tiles.given_up()
    }

    /// Appends a record whose JSON opens with `head`. It is written with the next frame and safe
    /// after the next [`Log::commit`].
    ///
    /// # Errors
    /// If a frame became full and cannot be written: its records are lost and counted.
    pub fn append(&mut self, head: &RecordHead, record: &[u8]) -> Result<(), AuditError> {
        let Ok(length) = u32::try_from(record.len()) else {
            self.lost += 1;
            return Ok(());
        };
        if record.len() > MAX_RECORD {
            self.lost += 1;
            return Ok(());
        }
        let Pending { raw, leaves, index } = &mut self.pending;
        raw.extend_from_slice(&length.to_le_bytes());
        raw.extend_from_slice(record);
        leaves.push(leaf_hash(record));
        index.add(head);
        if leaves.len() >= MAX_RECORDS as usize || raw.len() >= FULL_FRAME {
            self.flush()?;
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Appends what the agent says of itself.
    ///
    /// # Errors
    /// Those of [`Log::append`].
    pub fn append_own(&mut self, event: &OwnEvent, now_ms: u64) -> Result<(), AuditError> {
        self.clock(now_ms)?;
        let (head, record) = event.record(self.next_index(), now_ms);
        self.append(&head, record.as_bytes())
    }

    /// Says in the log that the clock was set back, and measures time anew from here.
    fn clock(&mut self, now_ms: u64) -> Result<(), AuditError> {
        let back_ms = self.latest_ms.saturating_sub(now_ms);
        if back_ms <= CLOCK_SLACK_MS {
            self.latest_ms = self.latest_ms.max(now_ms);
            return Ok(());
        }
        self.latest_ms = now_ms;
        self.checkpoint_ms = 0;
        self.retention_ms = now_ms;
        let event = OwnEvent::ClockBack { back_ms };
        let (head, record) = event.record(self.next_index(), now_ms);
        self.append(&head, record.as_bytes())
    }

    /// Writes and syncs everything appended; signs a checkpoint if the last is a second old.
    /// Starts a new segment, replaces the key and removes old segments when it is time.
    ///
    /// # Errors
    /// If the disk refuses: what was not written is lost and counted, what is there stays good.
    pub fn commit(&mut self, now_ms: u64) -> Result<(), AuditError> {
        self.persist(now_ms)?;
        while self.chore(now_ms)? {}
        Ok(())
    }

    /// The part of [`Log::commit`] that makes safe what was appended, and no more: as soon as it
    /// returns, nothing of that is lost by a crash.
    pub(super) fn persist(&mut self, now_ms: u64) -> Result<(), AuditError> {
        self.clock(now_ms)?;
        self.flush()?;
        if now_ms.saturating_sub(self.checkpoint_ms) >= CHECKPOINT_MS {
            self.checkpoint()?;
            self.checkpoint_ms = now_ms;
        }
        self.sync_segment()
    }

    /// Writes and syncs everything, and signs a checkpoint over it.
    ///
    /// # Errors
    /// Those of [`Log::commit`].
    pub fn seal(&mut self, now_ms: u64) -> Result<(), AuditError> {
        self.flush()?;
        self.checkpoint()?;
        self.checkpoint_ms = now_ms;
        self.sync()
    }

    /// Puts the pending records in a frame.
    fn flush(&mut self) -> Result<(), AuditError> {
        if self.pending.leaves.is_empty() {
            return Ok(());
        }
        let count = self.pending.leaves.len();
        let most = lz4_flex::block::get_maximum_output_size(self.pending.raw.len());
        self.compressed.resize(most, 0);
        let stored = lz4_flex::block::compress_into(&self.pending.raw, &mut self.compressed)
            .unwrap_or_default();
        let header = FrameHeader {
            kind: Kind::Records,
            stored: 0,
            raw: u32::try_from(self.pending.raw.len()).unwrap_or(u32::MAX),
            count: u32::try_from(count).unwrap_or(u32::MAX),
            first: self.edge.size(),
            index: self.pending.index,
            crc: 0,
        };
        self.frame.clear();
        let payload = self.compressed.get(..stored).unwrap_or_default();
        push_frame(&mut self.frame, &header, payload);
        let written = self.write_frame();
        let Self {
            pending,
            edge,
            tiles,
            lost,
            ..
        } = self;
        if written.is_ok() {
            for leaf in pending.leaves.drain(..) {
                edge.push(leaf, &mut |tile| tiles.push(tile));
            }
        } else {
            *lost += count as u64;
        }
        pending.raw.clear();
        pending.leaves.clear();
        pending.index = FrameIndex::default();
        written
    }

    /// Signs the tree as it is, if it grew since the last checkpoint.
    fn checkpoint(&mut self) -> Result<(), AuditError> {
        let size = self.edge.size();
        if size == self.checkpointed {
            return Ok(());
        }
        let note = self.keys.sign(size, self.edge.root());
        let header = FrameHeader {
            kind: Kind::Checkpoint,
            stored: 0,
            raw: u32::try_from(note.len()).unwrap_or(u32::MAX),
            count: 0,
            first: size,
            index: FrameIndex::default(),
            crc: 0,
        };
        self.frame.clear();
        push_frame(&mut self.frame, &header, note.as_bytes());
        self.write_frame()?;
        self.checkpointed = size;
        self.unpublished = Some(Signed {
            note: note.into(),
            edge: Arc::new(self.edge.clone()),
        });
        Ok(())
    }

    /// Writes the frame at hand whole, or leaves the segment as it was.
    fn write_frame(&mut self) -> Result<(), AuditError> {
        if self.broken {
            self.file
                .set_len(self.length)
                .map_err(AuditError::io("shorten", &self.path))?;
            self.broken = false;
        }
        self.unsynced = true;
        if let Err(error) = self.file.write_all(&self.frame) {
            self.broken = self.file.set_len(self.length).is_err();
            return Err(AuditError::io("write", &self.path)(error));
        }
        self.length += self.frame.len() as u64;
        Ok(())
    }

    fn sync_segment(&mut self) -> Result<(), AuditError> {
        if self.unsynced {
            self.file
                .sync_data()
                .map_err(AuditError::io("sync", &self.path))?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Syncs the segment, then tells the checkpoint beside it: that one is never ahead.
    fn sync(&mut self) -> Result<(), AuditError> {
        self.sync_segment()?;
        self.publish()?;
        self.tiles.write()
    }

    fn next_segment(&mut self) -> Result<(), AuditError> {
        let head = segment::head(&self.edge);
        let path = segment::path(&self.dir, self.edge.size());
        replace(&path, &head, 0o600)?;
        self.file = open_for_append(&path)?;
        self.path = path;
        self.first = self.edge.size();
        self.length = head.len() as u64;
        Ok(())
    }
}

/// Path of the last checkpoint.
pub(super) fn checkpoint_path(dir: &Path) -> PathBuf {
    dir.join("checkpoint")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn open_for_append(path: &Path) -> Result<File, AuditError> {
    OpenOptions::new()
        .append(true)
        .open(path)
        .map_err(AuditError::io("open", path))
}

fn lock(dir: &Path) -> Result<File, AuditError> {
    let path = dir.join("lock");
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(AuditError::io("open", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(AuditError::Locked {
            path: dir.to_owned(),
        }),
        Err(fs::TryLockError::Error(error)) => Err(AuditError::io("lock", &path)(error)),
    }
}
