//! A search: every part of the log is judged, by the index where there is one, and what fits is
//! read and given out in order.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{Block, BlockHead, FramePlace};
use super::filter::Filter;
use super::frames::Frames;
use super::glance::glance;
use super::record::Record;
use super::units::{Unit, units};
use super::verdict::{Verdict, Verdicts, judge};
use super::workers::in_order;
use crate::audit::error::AuditError;
use crate::audit::frame::{FrameIndex, Kind as FrameKind};
use crate::audit::sealing::{Keyring, is_sealed};
use crate::audit::segment::{self, SegmentReader, Step};

/// Takes index and bytes of a record.
pub type Each<'a, E> = dyn FnMut(u64, &[u8]) -> Result<(), E> + 'a;

/// A search in the log of a folder.
#[derive(Debug)]
pub struct Search<'a> {
    /// Folder of the log.
    pub dir: &'a Path,
    /// What to look for.
    pub filter: &'a Filter,
    /// Use the index; without, every record is read.
    pub index: bool,
    /// Opens sealed records; then every record is read, for the index knows of them what is in
    /// clear only.
    pub keys: Option<&'a Keyring>,
    /// First index that is looked at.
    pub from: u64,
}

/// What a search did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that fit.
    pub found: u64,
    /// Of these, sealed: only what is in clear of them could be compared.
    pub sealed: u64,
    /// Records that were taken apart.
    pub read: u64,
    /// The first record that could not be read because a frame was damaged: `verify` tells more.
    pub damaged: Option<u64>,
}

/// Records of some frames that follow each other, and what is known of them.
pub(super) struct Rows {
    pub(super) segment: Arc<Path>,
    /// Index of the first.
    pub(super) first: u64,
    frames: Vec<FramePlace>,
    pub(super) verdicts: Verdicts,
}

/// What was found in a part of the log.
struct Found {
    stats: Stats,
    /// Records that fit, where they had to be read to know it.
    records: Vec<(u64, Vec<u8>)>,
    /// Those that the index knows to fit: not read yet.
    rows: Option<Rows>,
}

impl Search<'_> {
    /// Calls `each` with index and bytes of every record that fits, in order: of all, or of the
    /// `newest` so many. What is held at once is bounded, but for the newest.
    ///
    /// # Errors
    /// If there is no log, or a file cannot be read. Errors of `each` end the search.
    pub fn run<E: From<AuditError>>(
        &self,
        newest: Option<usize>,
        each: &mut Each<'_, E>,
    ) -> Result<Stats, E> {
        let mut stats = Stats::default();
        // The newest are found backwards.
        let mut kept: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut result = Ok(());
        let mut open = None;
        let tasks = self.units(newest.is_some())?;
        in_order(tasks, &|unit| self.look(unit?), &mut |found| {
            let shown = found.map_err(E::from).and_then(|found| {
                stats.add(&found.stats);
                match newest {
                    None => self.show(found, &mut open, &mut stats, each),
                    Some(most) => self.keep(found, &mut open, &mut stats, most, &mut kept),
                }
            });
            match shown {
                Ok(()) if newest.is_none_or(|most| kept.len() < most) => ControlFlow::Continue(()),
                Ok(()) => ControlFlow::Break(()),
                Err(error) => {
                    result = Err(error);
                    ControlFlow::Break(())
                }
            }
        });
        result?;
        if newest.is_some() {
            stats.found = kept.len() as u64;
            stats.sealed = 0;
        }
        for (index, record) in kept.into_iter().rev() {
            stats.sealed += u64::from(is_sealed(&record));
            each(index, &record)?;
        }
        Ok(stats)
    }

    fn segments(&self) -> Result<Vec<(u64, PathBuf)>, AuditError> {
        let mut segments = segment::list(self.dir)?;
        let before = segments.partition_point(|(first, _)| *first <= self.from);
        segments.drain(..before.saturating_sub(1));
        if segments.is_empty() {
            return Err(AuditError::NoLog {
                path: self.dir.to_owned(),
            });
        }
        Ok(segments)
    }

    /// All parts of the log, a segment after the other.
    pub(super) fn units(
        &self,
        backwards: bool,
    ) -> Result<impl Iterator<Item = Result<Unit, AuditError>>, AuditError> {
        let mut segments = self.segments()?;
        if backwards {
            segments.reverse();
        }
        let with_index = self.index && self.keys.is_none();
        let (dir, from) = (self.dir, self.from);
        Ok(segments.into_iter().flat_map(move |segment| {
            let parts = match units(dir, segment, with_index, from) {
                Ok(mut units) => {
                    if backwards {
                        units.reverse();
                    }
                    units.into_iter().map(Ok).collect()
                }
                Err(error) => vec![Err(error)],
            };
            parts.into_iter()
        }))
    }

    /// Judges a part by its index. Else: the rows to read.
    pub(super) fn judge(
        &self,
        unit: Unit,
        stats: &mut Stats,
    ) -> Result<(Option<Rows>, Option<Block>), AuditError> {
        let (segment, first, frames) = match unit {
            Unit::Damaged(index) => {
                stats.damaged = Some(index);
                return Ok((None, None));
            }
            Unit::Plain {
                segment,
                first,
                frames,
            } => (segment, first, frames),
            Unit::Indexed {
                segment,
                index,
                at,
                head,
            } => {
                if glance(&self.filter.0, &time_of(&head)) == Verdict::No {
                    return Ok((None, None));
                }
                if let Some(block) = Block::open(&index, at, head) {
                    let verdicts = judge(&self.filter.0, &block);
                    if verdicts.all_are(Verdict::No) {
                        return Ok((None, None));
                    }
                    let rows = Rows {
                        segment,
                        first: head.first,
                        frames: block.frames().to_vec(),
                        verdicts,
                    };
                    return Ok((Some(rows), Some(block)));
                }
                let frames = frames_of(&segment, &head, stats)?;
                (segment, head.first, frames)
            }
        };
        let mut verdicts = Vec::new();
        for (place, index) in &frames {
            let verdict = match glance(&self.filter.0, index) {
                Verdict::No => Verdict::No,
                // What is said of a frame is not said of what is sealed in it.
                Verdict::Yes | Verdict::Unknown => Verdict::Unknown,
            };
            verdicts.resize(verdicts.len() + place.records as usize, verdict);
        }
        let rows = Rows {
            segment,
            first,
            frames: frames.into_iter().map(|(place, _)| place).collect(),
            verdicts: Verdicts::Each(verdicts),
        };
        Ok((Some(rows), None))
    }

    fn look(&self, unit: Unit) -> Result<Found, AuditError> {
        let mut stats = Stats::default();
        let mut records = Vec::new();
        let (rows, block) = self.judge(unit, &mut stats)?;
        let (Some(rows), None) = (&rows, &block) else {
            return Ok(Found {
                stats,
                records,
                rows,
            });
        };
        let Some(mut file) = Frames::open(&rows.segment)? else {
            return Ok(Found {
                stats,
                records,
                rows: None,
            });
        };
        for (nth, row) in rows.starts() {
            self.frame::<AuditError>(
                rows,
                (nth, row),
                &mut file,
                &mut stats,
                &mut |index, record| {
                    records.push((index, record.to_vec()));
                    Ok(())
                },
            )?;
        }
        Ok(Found {
            stats,
            records,
            rows: None,
        })
    }

    fn show<E: From<AuditError>>(
        &self,
        found: Found,
        open: &mut Option<Frames>,
        stats: &mut Stats,
        each: &mut Each<'_, E>,
    ) -> Result<(), E> {
        for (index, record) in found.records {
            each(index, &record)?;
        }
        let Some(rows) = found.rows else {
            return Ok(());
        };
        let Some(file) = reopen(open, &rows.segment)? else {
            return Ok(());
        };
        for place in rows.starts() {
            self.frame(&rows, place, file, stats, each)?;
        }
        Ok(())
    }

    /// Adds what was found to the newest, which lie backwards, as far as there is room.
    fn keep<E: From<AuditError>>(
        &self,
        found: Found,
        open: &mut Option<Frames>,
        stats: &mut Stats,
        most: usize,
        kept: &mut Vec<(u64, Vec<u8>)>,
    ) -> Result<(), E> {
        let room = most.saturating_sub(kept.len());
        kept.extend(found.records.into_iter().rev().take(room));
        let Some(rows) = found.rows else {
            return Ok(());
        };
        let Some(file) = reopen(open, &rows.segment)? else {
            return Ok(());
        };
        let places: Vec<(FramePlace, usize)> = rows.starts().collect();
        for place in places.into_iter().rev() {
            let room = most.saturating_sub(kept.len());
            if room == 0 {
                break;
            }
            let mut these = Vec::new();
            self.frame::<E>(&rows, place, file, stats, &mut |index, record| {
                these.push((index, record.to_vec()));
                Ok(())
            })?;
            kept.extend(these.into_iter().rev().take(room));
        }
        Ok(())
    }

    /// Reads a frame, whose first record has this row, and gives those of its records that fit.
    pub(super) fn frame<E>(
        &self,
        rows: &Rows,
        (place, row): (FramePlace, usize),
        file: &mut Frames,
        stats: &mut Stats,
        each: &mut Each<'_, E>,
    ) -> Result<(), E> {
        let wanted = |row: usize| rows.verdicts.at(row) != Verdict::No;
        if !(row..row + place.records as usize).any(wanted) {
            return Ok(());
        }
        let first = rows.first + row as u64;
        let read = file.read(place.at);
        let Some((_, records)) = read.filter(|(header, _)| header.first == first) else {
            stats.damage(first);
            return Ok(());
        };
        for (record, row) in records.into_iter().zip(row..) {
            let index = rows.first + row as u64;
            if index < self.from {
                continue;
            }
            let verdict = rows.verdicts.at(row);
            if verdict == Verdict::No {
                continue;
            }
            let plain = self.keys.and_then(|keys| keys.unseal(record));
            let record = plain.as_deref().unwrap_or(record);
            if verdict == Verdict::Unknown {
                stats.read += 1;
                if !self.filter.fits(&Record::parse(record)) {
                    continue;
                }
            }
            stats.found += 1;
            stats.sealed += u64::from(is_sealed(record));
            each(index, record)?;
        }
        Ok(())
    }
}

impl Rows {
    /// Every frame, with the row of its first record.
    pub(super) fn starts(&self) -> impl Iterator<Item = (FramePlace, usize)> {
        let mut row = 0;
        self.frames.iter().map(move |place| {
            let start = row;
            row += place.records as usize;
            (*place, start)
        })
    }
}

impl Stats {
    pub(super) fn add(&mut self, other: &Self) {
        let Self {
            found,
            sealed,
            read,
            damaged,
        } = other;
        self.found += found;
        self.sealed += sealed;
        self.read += read;
        if let Some(index) = damaged {
            self.damage(*index);
        }
    }

    fn damage(&mut self, index: u64) {
        self.damaged = Some(self.damaged.map_or(index, |other| other.min(index)));
    }
}

fn time_of(head: &BlockHead) -> FrameIndex {
    FrameIndex {
        time: head.time,
        status: (0, u16::MAX),
        classes: 0,
    }
}

/// The frames of a block whose index was changed.
fn frames_of(
    segment: &Path,
    head: &BlockHead,
    stats: &mut Stats,
) -> Result<Vec<(FramePlace, FrameIndex)>, AuditError> {
    let mut found = Vec::new();
    let mut next = head.first;
    let mut reader = SegmentReader::open(segment)?;
    reader.skip_to(head.span.0)?;
    while reader.offset() < head.span.1 {
        let at = reader.offset();
        let Step::Frame { header, .. } = reader.next(&mut |_| false)? else {
            stats.damage(next);
            break;
        };
        if header.kind == FrameKind::Records {
            next = header.first + u64::from(header.count);
            let records = header.count;
            found.push((FramePlace { at, records }, header.index));
        }
    }
    Ok(found)
}

/// The segment, which may be the one that was read last; `None` if it was removed meanwhile.
fn reopen<'a>(
    open: &'a mut Option<Frames>,
    segment: &Arc<Path>,
) -> Result<Option<&'a mut Frames>, AuditError> {
    if open.as_ref().is_none_or(|file| file.path() != segment) {
        *open = Frames::open(segment)?;
    }
    Ok(open.as_mut())
}
