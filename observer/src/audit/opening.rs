//! What a start makes of the end of the log.

use std::path::{Path, PathBuf};

use super::durable::{make_folder, read_small, replace};
use super::edge::Edge;
use super::error::AuditError;
use super::frame::Kind;
use super::log::checkpoint_path;
use super::merkle::leaf_hash;
use super::note::Note;
use super::own_event::OwnEvent;
use super::record_head::{APPLICATION_LIFECYCLE, RecordHead};
use super::segment::{SegmentReader, Step};
use super::tiles::TileWriter;

/// Bytes kept of what follows a damaged frame, for whoever looks into it: a segment.
const MOST_KEPT: u64 = 128 << 20;
/// A checkpoint with all its cosignatures.
const MOST_NOTE: u64 = 64 << 10;

/// What was found when the log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Records in the log.
    pub size: u64,
    /// Bytes at the end that were no whole record and were dropped.
    pub dropped_bytes: u64,
    /// The run before was not ended in order: what it had not committed is missing.
    pub cut_off: bool,
    /// What contradicts the last checkpoint or the tiles; belongs in the log.
    pub alarms: Vec<OwnEvent>,
}

/// The end of the log.
pub(super) struct Tail {
    pub(super) edge: Edge,
    /// Bytes of the segment that are good.
    pub(super) length: u64,
    /// Size of the last checkpoint in the segment.
    pub(super) checkpointed: u64,
    /// The latest time of what the agent said of itself in the segment.
    pub(super) latest_ms: u64,
    /// The last record, if it names a key: the record and the key.
    pub(super) key_epoch: Option<(Vec<u8>, String)>,
}

/// Reads the last segment, and compares it with the checkpoint beside it.
pub(super) fn read_last(
    dir: &Path,
    path: &Path,
    tiles: &mut TileWriter,
) -> Result<(Tail, Opened), AuditError> {
    let published = read_small(&checkpoint_path(dir), MOST_NOTE)?;
    let published = published.map(|bytes| Note::parse(&bytes).map(|note| note.checkpoint));
    let mut reader = SegmentReader::open(path)?;
    let mut edge = reader.edge().clone();
    let mut tail_key = None;
    let mut raw = Vec::new();
    let mut checkpointed = edge.size();
    let mut opened = Opened::default();
    let mut tiles_differ = 0_u64;
    let mut agrees = false;
    let mut latest_ms = 0;
    // A segment that starts with a record in the middle of a run.
    opened.cut_off = edge.size() > 0;
    let dropped = loop {
        if let Some(Ok(checkpoint)) = &published
            && checkpoint.size == edge.size()
        {
            agrees = checkpoint.root == edge.root();
        }
        let (header, payload) = match reader.next(&mut |_| true)? {
            Step::Frame { header, payload } => (header, payload),
            Step::End => break None,
            Step::Torn(bytes) => break Some((bytes, false)),
            Step::Damaged => break Some((0, true)),
        };
        match header.kind {
            Kind::Checkpoint => checkpointed = header.first,
            Kind::Records => {
                let Some(records) = header.unpack(payload, &mut raw) else {
                    break Some((0, true));
                };
                for record in records {
                    edge.push(leaf_hash(record), &mut |tile| {
                        tiles_differ += u64::from(!tiles.restore(tile));
                    });
                    tail_key = None;
                    let Some(head) = RecordHead::parse(record)
                        .filter(|head| head.class == APPLICATION_LIFECYCLE)
                    else {
                        continue;
                    };
                    latest_ms = latest_ms.max(head.time_ms);
                    match OwnEvent::parse(record) {
                        Some(OwnEvent::KeyEpoch { vkey, .. }) => {
                            tail_key = Some((record.to_vec(), vkey));
                        }
                        Some(OwnEvent::ClockBack { .. }) => latest_ms = head.time_ms,
                        Some(OwnEvent::Start { .. }) => opened.cut_off = true,
                        Some(OwnEvent::Stop) => opened.cut_off = false,
                        _ => {}
                    }
                }
            }
        }
    };
    opened.size = edge.size();
    let length = reader.offset();
    if let Some((bytes, damaged)) = dropped {
        opened.dropped_bytes = bytes;
        if damaged {
            let rest = reader.rest(MOST_KEPT)?;
            opened.dropped_bytes = rest.len() as u64;
            keep(dir, opened.size, &rest)?;
        }
    }
    let mut alarm = |what: &str, checkpoint_size| {
        opened.alarms.push(OwnEvent::Alarm {
            what: what.to_owned(),
            checkpoint_size,
            found_size: edge.size(),
        });
    };
    match published {
        None if edge.size() > 0 && checkpointed > 0 => {
            alarm("the last checkpoint is missing", 0);
        }
        Some(Err(_)) => alarm("the last checkpoint is damaged", 0),
        Some(Ok(checkpoint)) if checkpoint.size > edge.size() => {
            alarm(
                "the log is shorter than its last checkpoint",
                checkpoint.size,
            );
        }
        Some(Ok(checkpoint)) if !agrees && checkpoint.size >= reader.edge().size() => {
            alarm(
                "the log is not the one of its last checkpoint",
                checkpoint.size,
            );
        }
        _ => {}
    }
    if tiles_differ > 0 {
        alarm("hash tiles were changed; they are made anew", checkpointed);
    }
    let tail = Tail {
        edge,
        length,
        checkpointed,
        latest_ms,
        key_epoch: tail_key,
    };
    Ok((tail, opened))
}

/// Keeps what could not be read, outside the log.
fn keep(dir: &Path, size: u64, rest: &[u8]) -> Result<(), AuditError> {
    let folder = dir.join("damaged");
    make_folder(&folder)?;
    let path: PathBuf = folder.join(format!("after-{size:020}.bin"));
    replace(&path, rest, 0o600)
}
