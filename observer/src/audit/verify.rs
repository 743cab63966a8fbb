//! Verifies a log from its files and public keys alone.

mod anchors;
mod ending;
mod epochs;

use std::path::{Path, PathBuf};

use super::durable::read_small;
use super::edge::Edge;
use super::error::AuditError;
use super::frame::{FrameHeader, FrameIndex, Kind};
use super::keys;
use super::log::{CLOCK_SLACK_MS, checkpoint_path};
use super::merkle::{Hash, leaf_hash};
use super::note::Note;
use super::own_event::OwnEvent;
use super::record_head::{APPLICATION_LIFECYCLE, RecordHead};
use super::report::{Fault, Report};
use super::segment::{self, SegmentReader, Step};
use super::tiles;
use super::vkey::Vkey;
use anchors::Anchored;

/// A checkpoint with all its cosignatures.
const MOST_NOTE: u64 = 64 << 10;

/// What to verify against.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Public key of the first epoch, noted when the log was made. Without it the one in the
    /// log's folder is taken: that shows consistency, not origin.
    pub vkey: Option<Vkey>,
    /// Checkpoints that were kept elsewhere. Only they can tell that a whole log was put back.
    pub anchors: Vec<Note>,
    /// Keys of witnesses that must have signed the log. Without one, the keys kept beside what they
    /// signed are taken.
    pub witnesses: Vec<Vkey>,
}

/// Verifies the log in `dir`. `progress` is told bytes done and bytes in all.
///
/// # Errors
/// If there is no log, or a file cannot be read. What is wrong with the log is in the report.
pub fn verify(
    dir: &Path,
    trust: &Trust,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, AuditError> {
    // Before the segments: of a log that is being written they may be ahead, never behind.
    let published = read_small(&checkpoint_path(dir), MOST_NOTE)?;
    let segments = segment::list(dir)?;
    let Some((first, _)) = segments.first() else {
        return Err(AuditError::NoLog {
            path: dir.to_owned(),
        });
    };
    let mut report = Report {
        first: *first,
        trusted: trust.vkey.is_some(),
        ..Report::default()
    };
    let beside = match keys::first_vkey(dir) {
        Ok(vkey) => vkey,
        Err(error) => {
            report.fault(None, error.to_string());
            None
        }
    };
    if let (Some(given), Some(beside)) = (&trust.vkey, &beside)
        && given != beside
    {
        report.fault(None, "the `vkey` in the folder is not the key given");
    }
    let Some(vkey) = trust.vkey.clone().or(beside) else {
        report.fault(
            Some(*first),
            "no public key: give the one noted when the log was made with --vkey",
        );
        return Ok(report);
    };
    report.vkey = vkey.to_string();
    let bytes = segments
        .iter()
        .filter_map(|(_, path)| std::fs::metadata(path).ok())
        .map(|meta| meta.len())
        .sum();
    let mut walk = Walk {
        dir,
        vkey,
        edge: Edge::default(),
        anchors: Vec::new(),
        anchor_fits: 0,
        anchored_from_ms: None,
        published: published.as_deref(),
        published_seen: false,
        since: Vec::new(),
        tile_faults: Vec::new(),
        epoch_named: None,
        epochs_without_proof: Vec::new(),
        pruned_to: 0,
        unanchored_from_ms: None,
        last_ms: 0,
        own_ms: 0,
        bytes_done: 0,
        bytes,
        raw: Vec::new(),
        report,
    };
    walk.take_anchors(trust);
    walk.earlier_epochs();
    let whole = walk.segments(&segments, progress)?;
    walk.finish(whole);
    Ok(walk.report)
}

/// The state of a walk through the log.
struct Walk<'a> {
    dir: &'a Path,
    /// Key that signs here.
    vkey: Vkey,
    edge: Edge,
    anchors: Vec<Anchored>,
    /// Size of the last anchor that fits, of any kind.
    anchor_fits: u64,
    /// Time of the first record after the last anchor that counts.
    anchored_from_ms: Option<u64>,
    published: Option<&'a [u8]>,
    /// The checkpoint beside the log is in the log too.
    published_seen: bool,
    /// Leaves since the last good checkpoint.
    since: Vec<Hash>,
    /// Tiles since then that are not what the records give.
    tile_faults: Vec<Fault>,
    /// The last record names the key of the next epoch.
    epoch_named: Option<(u32, Vkey, Vec<u8>)>,
    epochs_without_proof: Vec<(u64, u32)>,
    pruned_to: u64,
    unanchored_from_ms: Option<u64>,
    last_ms: u64,
    /// The latest time of what the agent said of itself.
    own_ms: u64,
    bytes_done: u64,
    bytes: u64,
    raw: Vec<u8>,
    report: Report,
}

impl Walk<'_> {
    /// Reads everything. `false` if it had to end early.
    fn segments(
        &mut self,
        segments: &[(u64, PathBuf)],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<bool, AuditError> {
        let last = segments.len().saturating_sub(1);
        for (at, (name, path)) in segments.iter().enumerate() {
            let expected = if at == 0 { *name } else { self.edge.size() };
            if *name != expected {
                let (index, what) = if *name > expected {
                    (
                        expected,
                        format!("records {expected} to {} are missing", name - 1),
                    )
                } else {
                    (
                        *name,
                        format!("{} begins before the one before it ends", path.display()),
                    )
                };
                self.report.fault(Some(index), what);
                return Ok(false);
            }
            let reader = match SegmentReader::open(path) {
                Ok(reader) => reader,
                Err(AuditError::Bad { path, what }) => {
                    let what = format!("{} {what}", path.display());
                    self.report.fault(Some(expected), what);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            };
            if reader.edge().size() != expected
                || (at > 0 && reader.edge().root() != self.edge.root())
            {
                let what = format!("{} does not continue the one before it", path.display());
                self.report.fault(Some(expected), what);
                return Ok(false);
            }
            if at == 0 {
                self.edge = reader.edge().clone();
                self.skip_anchors();
            }
            if !self.segment(reader, path, at == last, progress)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn segment(
        &mut self,
        mut reader: SegmentReader,
        path: &Path,
        last: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<bool, AuditError> {
        let before = self.bytes_done;
        let mut raw = std::mem::take(&mut self.raw);
        loop {
            let offset = reader.offset();
            progress(before + offset, self.bytes);
            let next = self.edge.size();
            let going = match reader.next(&mut |_| true)? {
                Step::Frame { header, payload } => match header.kind {
                    Kind::Records => self.records(&header, payload, &mut raw),
                    Kind::Checkpoint => self.checkpoint(&header, payload),
                },
                Step::End => {
                    self.bytes_done = before + offset;
                    self.raw = raw;
                    return Ok(true);
                }
                Step::Torn(bytes) if last => {
                    self.report.torn_bytes = bytes;
                    return Ok(true);
                }
                Step::Torn(_) => {
                    let what = format!("{} ends inside a frame", path.display());
                    self.report.fault(Some(next), what);
                    false
                }
                Step::Damaged => {
                    let what =
                        format!("{}: the frame at byte {offset} was changed", path.display());
                    self.report.fault(Some(next), what);
                    false
                }
            };
            if !going {
                return Ok(false);
            }
        }
    }

    fn records(&mut self, header: &FrameHeader, payload: &[u8], raw: &mut Vec<u8>) -> bool {
        let first = self.edge.size();
        if header.first != first {
            let what = format!("record {first} is missing: a frame says {}", header.first);
            self.report.fault(Some(first), what);
            return false;
        }
        let Some(records) = header.unpack(payload, raw) else {
            self.report
                .fault(Some(first), "the frame cannot be unpacked");
            return false;
        };
        let mut index = FrameIndex::default();
        let mut count = 0_u32;
        for record in records {
            let at = self.edge.size();
            if let Some((_, _, _)) = self.epoch_named {
                let what = "the record that names a key is not signed by the key before it";
                self.report.fault(Some(at), what);
                return false;
            }
            let Some(head) = RecordHead::parse(record) else {
                self.report.fault(Some(at), "the record has no head");
                return false;
            };
            index.add(&head);
            count += 1;
            self.last_ms = head.time_ms;
            self.unanchored_from_ms.get_or_insert(head.time_ms);
            self.anchored_from_ms.get_or_insert(head.time_ms);
            self.leaf(leaf_hash(record));
            if head.class == APPLICATION_LIFECYCLE && !self.own(at, head.time_ms, record) {
                return false;
            }
        }
        if count != header.count || index != header.index {
            self.report.fault(
                Some(first),
                "the index of the frame does not fit its records",
            );
            return false;
        }
        true
    }

    fn leaf(&mut self, leaf: Hash) {
        self.since.push(leaf);
        let Self {
            dir,
            edge,
            tile_faults,
            report,
            ..
        } = self;
        edge.push(leaf, &mut |tile| {
            let path = tiles::path(dir, tile.level, tile.index);
            // The first record under a hash of this tile.
            let under = |at: usize| (tile.index * 256 + at as u64) << (8 * tile.level);
            match tiles::read(dir, tile.level, tile.index) {
                Ok(Some(hashes)) => {
                    report.tiles += 1;
                    let differs = hashes.iter().zip(&tile.hashes).position(|(a, b)| a != b);
                    if let Some(at) = differs {
                        let what = format!("{} does not fit the records", path.display());
                        tile_faults.push(Fault::new(Some(under(at)), what));
                    }
                }
                Ok(None) => report.tiles_missing += 1,
                Err(error) => tile_faults.push(Fault::new(Some(under(0)), error.to_string())),
            }
        });
        self.anchor();
    }

    /// What the agent said of itself, as far as it matters here.
    fn own(&mut self, at: u64, time_ms: u64, record: &[u8]) -> bool {
        let event = OwnEvent::parse(record);
        if let Some(OwnEvent::ClockBack { back_ms }) = event {
            self.report.clock_back(at, back_ms);
            self.own_ms = time_ms;
        } else if time_ms.saturating_add(CLOCK_SLACK_MS) < self.own_ms {
            let what = "the clock was set back here, and no record says so";
            self.report.fault(Some(at), what);
        }
        self.own_ms = self.own_ms.max(time_ms);
        match event {
            Some(OwnEvent::Start { cut_off, .. }) => self.report.cut_off += u64::from(cut_off),
            Some(OwnEvent::KeyEpoch { epoch, vkey }) => {
                let Ok(vkey) = Vkey::parse(&vkey) else {
                    self.report
                        .fault(Some(at), "the record names a key that is none");
                    return false;
                };
                self.epoch_named = Some((epoch, vkey, record.to_vec()));
            }
            Some(OwnEvent::Retention { first }) => self.pruned_to = self.pruned_to.max(first),
            Some(OwnEvent::Loss { records, .. }) => self.report.lost += records,
            Some(OwnEvent::DataKey { id, sha256 }) => self.data_key(at, &id, &sha256),
            Some(OwnEvent::LeftOut { calls, .. }) => self.report.left_out += calls,
            Some(OwnEvent::CommitLate {
                commits, worst_ms, ..
            }) => {
                self.report.late_commits += commits;
                self.report.late_worst_ms = self.report.late_worst_ms.max(worst_ms);
            }
            Some(OwnEvent::Alarm { what, .. }) => {
                let what = format!("the agent raised an alarm: {what}");
                self.report.fault(Some(at), what);
            }
            _ => {}
        }
        true
    }

    fn checkpoint(&mut self, header: &FrameHeader, payload: &[u8]) -> bool {
        let size = self.edge.size();
        let good = Note::parse(payload).and_then(|note| {
            if note.checkpoint.size != size || header.first != size {
                Err("is not of this size".to_owned())
            } else if !note.verify(&self.vkey) {
                Err("is not signed by the key in force".to_owned())
            } else if note.checkpoint.root != self.edge.root() {
                Err("has another root: a record before it was changed".to_owned())
            } else {
                Ok(())
            }
        });
        if let Err(what) = good {
            let index = self.first_changed();
            self.report
                .fault(Some(index), format!("the checkpoint of size {size} {what}"));
            return false;
        }
        for fault in self.tile_faults.drain(..) {
            self.report.push(fault);
        }
        self.report.checkpoints += 1;
        self.report.verified = size;
        self.since.clear();
        self.unanchored_from_ms = None;
        if self.published == Some(payload) {
            self.published_seen = true;
        }
        if let Some((epoch, vkey, record)) = self.epoch_named.take() {
            self.new_epoch(size, epoch, &record);
            self.vkey = vkey;
            self.report.epochs += 1;
        }
        true
    }

    /// The first record since the last good checkpoint that is not the one its tile names; where
    /// there is no tile, the first since then.
    fn first_changed(&self) -> u64 {
        let from = self.edge.size() - self.since.len() as u64;
        let mut tile: Option<(u64, Vec<Hash>)> = None;
        for (leaf, index) in self.since.iter().zip(from..) {
            if tile.as_ref().is_none_or(|(at, _)| *at != index / 256) {
                let Ok(Some(hashes)) = tiles::read(self.dir, 0, index / 256) else {
                    return from;
                };
                tile = Some((index / 256, hashes));
            }
            let named = tile
                .as_ref()
                .and_then(|(_, hashes)| hashes.get((index % 256) as usize));
            if named != Some(leaf) {
                return index;
            }
        }
        from
    }
}
