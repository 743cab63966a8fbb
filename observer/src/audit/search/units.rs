//! The parts of a log that are judged one at a time: blocks of the index, and where there are none
//! a few frames.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{BlockHead, FramePlace};
use super::indexer;
use crate::audit::error::AuditError;
use crate::audit::frame::{FrameIndex, Kind};
use crate::audit::segment::{SegmentReader, Step};

/// Frames of a part without an index. What fits of them is held at once: some 8 MiB at most, of
/// some parts at a time.
const FRAMES: usize = 8;

/// A part.
#[derive(Clone, Debug)]
pub(super) enum Unit {
    Indexed {
        segment: Arc<Path>,
        index: Arc<File>,
        at: u64,
        head: BlockHead,
    },
    Plain {
        segment: Arc<Path>,
        /// Index of the first record.
        first: u64,
        frames: Vec<(FramePlace, FrameIndex)>,
    },
    /// Records from this index on cannot be read in this segment.
    Damaged(u64),
}

/// The parts of the segment that starts at `first`, in order; none if it was removed meanwhile.
/// Records before `from` are left out, as far as whole parts hold no others.
pub(super) fn units(
    dir: &Path,
    (first, path): (u64, PathBuf),
    with_index: bool,
    from: u64,
) -> Result<Vec<Unit>, AuditError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let segment: Arc<Path> = path.into();
    let mut reader = SegmentReader::open(&segment)?;
    let mut units = Vec::new();
    let mut next = first;
    if let Some(mut file) = indexer::open(dir, first).filter(|_| with_index) {
        let heads = indexer::heads(&mut file).unwrap_or_default();
        let fits = heads
            .first()
            .is_some_and(|(_, head)| head.first == first && head.span.0 == reader.offset());
        let index = Arc::new(file);
        for (at, head) in heads.into_iter().filter(|_| fits) {
            if head.first != next {
                break;
            }
            next += u64::from(head.records);
            reader.skip_to(head.span.1)?;
            if next > from {
                units.push(Unit::Indexed {
                    segment: Arc::clone(&segment),
                    index: Arc::clone(&index),
                    at,
                    head,
                });
            }
        }
    }
    let mut frames = Vec::new();
    let mut start = next;
    loop {
        let at = reader.offset();
        let header = match reader.next(&mut |_| false)? {
            Step::Frame { header, .. } => header,
            Step::End | Step::Torn(_) => break,
            Step::Damaged => {
                plain(&segment, start, &mut frames, &mut units);
                units.push(Unit::Damaged(next));
                break;
            }
        };
        if header.kind != Kind::Records {
            continue;
        }
        let records = header.count;
        next = header.first + u64::from(records);
        if next <= from {
            start = next;
            continue;
        }
        frames.push((FramePlace { at, records }, header.index));
        if frames.len() == FRAMES {
            plain(&segment, start, &mut frames, &mut units);
            start = next;
        }
    }
    plain(&segment, start, &mut frames, &mut units);
    Ok(units)
}

fn plain(
    segment: &Arc<Path>,
    first: u64,
    frames: &mut Vec<(FramePlace, FrameIndex)>,
    units: &mut Vec<Unit>,
) {
    if !frames.is_empty() {
        units.push(Unit::Plain {
            segment: Arc::clone(segment),
            first,
            frames: std::mem::take(frames),
        });
    }
}
