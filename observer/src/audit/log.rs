//! The log: appends records, signs checkpoints, survives crashes and full disks.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::durable::{make_folder, replace};
use super::edge::Edge;
use super::error::AuditError;
use super::frame::{FrameHeader, FrameIndex, Kind, MAX_RECORDS, push_frame};
use super::keys::Keys;
use super::merkle::{Hash, leaf_hash};
use super::opening::{self, Opened};
use super::own_event::OwnEvent;
use super::proof::epoch_path;
use super::record_head::RecordHead;
use super::search;
use super::segment;
use super::settings::AuditSettings;
use super::tiles::{self, TileWriter};

/// Longest record: C2SP entry bundles give its length 16 bits.
pub(super) const MAX_RECORD: usize = 65_535;
/// Raw bytes after which a frame is written before it has all its records: what LZ4 can look back
/// on is far less, so more gains nothing.
const FULL_FRAME: usize = 1 << 20;
/// Bytes after which a new segment starts. Retention removes whole segments, a start reads one.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Longest time between two checkpoints while records come.
const CHECKPOINT_MS: u64 = 1000;
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
    /// The last checkpoint, until it is on the disk beside the log too.
    unpublished: Option<String>,
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
        let last = match segment::list(dir)?.pop() {
            Some((_, path)) => path,
            None => {
                let path = segment::path(dir, 0);
                replace(&path, &segment::head(&Edge::default()), 0o600)?;
                path
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
            length: tail.length,
            broken: true,
            pending: Pending::default(),
            frame: Vec::new(),
            compressed: Vec::new(),
            tiles,
            checkpointed: tail.checkpointed,
            checkpoint_ms: now_ms,
            unpublished: None,
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

    /// Index that the next record gets.
    pub fn next_index(&self) -> u64 {
        self.edge.size() + self.pending.leaves.len() as u64
    }

    /// Records that were given to [`Log::append`] and could not be written, since the last call.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
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
        let (head, record) = event.record(self.next_index(), now_ms);
        self.append(&head, record.as_bytes())
    }

    /// Writes and syncs everything appended; signs a checkpoint if the last is a second old.
    /// Starts a new segment, replaces the key and removes old segments when it is time.
    ///
    /// # Errors
    /// If the disk refuses: what was not written is lost and counted, what is there stays good.
    pub fn commit(&mut self, now_ms: u64) -> Result<(), AuditError> {
        self.flush()?;
        if now_ms.saturating_sub(self.checkpoint_ms) >= CHECKPOINT_MS {
            self.checkpoint()?;
            self.checkpoint_ms = now_ms;
        }
        self.sync()?;
        if self.length >= self.segment_bytes {
            self.seal(now_ms)?;
            self.next_segment()?;
        }
        let epoch = millis(self.settings.key_epoch);
        if now_ms.saturating_sub(self.keys.created_ms()) >= epoch {
            self.rotate_key(now_ms)?;
        }
        if now_ms.saturating_sub(self.retention_ms) >= RETENTION_MS {
            self.retention_ms = now_ms;
            self.retain(now_ms)?;
        }
        Ok(())
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

    /// Ends the epoch of the key: names the next key in the log, signs that with the old key, and
    /// destroys it.
    ///
    /// # Errors
    /// If a file cannot be written; the old key then stays in force.
    pub fn rotate_key(&mut self, now_ms: u64) -> Result<(), AuditError> {
        self.seal(now_ms)?;
        let (epoch, vkey) = self.keys.prepare(now_ms)?;
        let event = OwnEvent::KeyEpoch { epoch, vkey };
        let (head, record) = event.record(self.next_index(), now_ms);
        let appended = self
            .append(&head, record.as_bytes())
            .and_then(|()| self.flush());
        if let Err(error) = appended {
            self.keys.abandon();
            return Err(error);
        }
        self.finish_epoch(record.as_bytes())
    }

    /// From the record that names the next key, which is the last of the log, to that key.
    fn finish_epoch(&mut self, record: &[u8]) -> Result<(), AuditError> {
        self.checkpoint()?;
        self.sync()?;
        let size = self.edge.size();
        let note = self.keys.sign(size, self.edge.root());
        let path = epoch_path(&self.dir, self.keys.epoch().saturating_add(1));
        let dir = self.dir.clone();
        let proof = super::proof::make(&dir, &self.edge, size.saturating_sub(1), record, &note)?;
        make_folder(path.parent().unwrap_or(&self.dir))?;
        replace(&path, proof.as_bytes(), 0o644)?;
        self.keys.promote()
    }

    /// Removes the oldest segments that are too old or too many, and says so in the log first.
    fn retain(&mut self, now_ms: u64) -> Result<(), AuditError> {
        let segments = segment::list(&self.dir)?;
        let sizes: Vec<(u64, u64)> = segments
            .iter()
            .map(|(_, path)| {
                let meta = fs::metadata(path).ok();
                let modified = meta
                    .as_ref()
                    .and_then(|meta| meta.modified().ok())
                    .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
                    .map_or(now_ms, millis);
                (meta.map_or(0, |meta| meta.len()), modified)
            })
            .collect();
        let mut total: u64 = sizes.iter().map(|(bytes, _)| bytes).sum();
        let oldest = now_ms.saturating_sub(millis(self.settings.max_age));
        let mut remove = 0;
        // The last one is being written.
        for (bytes, modified) in sizes.iter().take(sizes.len().saturating_sub(1)) {
            if total <= self.settings.max_bytes && *modified >= oldest {
                break;
            }
            total = total.saturating_sub(*bytes);
            remove += 1;
        }
        let (Some((first, _)), true) = (segments.get(remove), remove > 0) else {
            return Ok(());
        };
        self.append_own(&OwnEvent::Retention { first: *first }, now_ms)?;
        self.seal(now_ms)?;
        self.tiles.write()?;
        for (first, path) in segments.iter().take(remove) {
            fs::remove_file(path).map_err(AuditError::io("remove", path))?;
            search::remove_index(&self.dir, *first);
        }
        tiles::prune(&self.dir, *first);
        Ok(())
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
        self.unpublished = Some(note);
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

    /// Syncs the segment, then tells the checkpoint beside it: that one is never ahead.
    fn sync(&mut self) -> Result<(), AuditError> {
        if self.unsynced {
            self.file
                .sync_data()
                .map_err(AuditError::io("sync", &self.path))?;
            self.unsynced = false;
        }
        if let Some(note) = &self.unpublished {
            replace(&checkpoint_path(&self.dir), note.as_bytes(), 0o644)?;
            self.unpublished = None;
        }
        self.tiles.write()
    }

    fn next_segment(&mut self) -> Result<(), AuditError> {
        let head = segment::head(&self.edge);
        let path = segment::path(&self.dir, self.edge.size());
        replace(&path, &head, 0o600)?;
        self.file = open_for_append(&path)?;
        self.path = path;
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

#[cfg(test)]
mod tests {
    use super::{Log, OpenOptions, OwnEvent, open_for_append};
    use crate::audit::{AuditSettings, Trust, verify};

    #[test]
    fn a_full_disk_loses_records_by_count_and_leaves_the_log_good() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let (mut log, _) = Log::open(dir, "host/audit", AuditSettings::default(), 0).unwrap();
        for _ in 0..10 {
            log.append_own(&OwnEvent::Heartbeat, 1).unwrap();
        }
        log.seal(1).unwrap();
        log.file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        for _ in 0..7 {
            log.append_own(&OwnEvent::Heartbeat, 2).unwrap();
        }
        assert!(log.commit(2).is_err());
        assert_eq!((log.take_lost(), log.next_index()), (7, 10));
        // Space again, after half a frame was left behind.
        let mut bytes = std::fs::read(&log.path).unwrap();
        bytes.extend_from_slice(b"OAF1 half");
        std::fs::write(&log.path, bytes).unwrap();
        log.file = open_for_append(&log.path).unwrap();
        let loss = OwnEvent::Loss {
            records: 7,
            reason: "disk",
        };
        log.append_own(&loss, 4).unwrap();
        log.seal(4).unwrap();
        let report = verify(dir, &Trust::default(), &mut |_, _| {}).unwrap();
        assert!(report.good(), "{report}");
        assert_eq!((report.verified, report.lost), (11, 7));
    }
}
