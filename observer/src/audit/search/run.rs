//! A search: blocks of the index where there are some, frames where not.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};

use super::block::{Block, BlockHead};
use super::field::Field;
use super::filter::{Filter, Node};
use super::indexer;
use super::predicate::{Predicate, Test};
use super::record::{Record, Value};
use super::verdict::{Verdict, Verdicts, judge};
use crate::audit::error::AuditError;
use crate::audit::frame::{FrameHeader, FrameIndex, Kind as FrameKind};
use crate::audit::sealing::{Keyring, is_sealed};
use crate::audit::segment::{self, SegmentReader, Step};

/// Values that a count by field tells apart; the others are counted together under `…`.
const MOST_GROUPS: usize = 1_000_000;

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

/// A stretch of a segment.
enum Unit {
    Indexed {
        at: u64,
        head: BlockHead,
    },
    /// From this byte to the end.
    Plain {
        from: Option<u64>,
    },
}

struct Segment {
    path: PathBuf,
    index: Option<File>,
    units: Vec<Unit>,
}

impl Search<'_> {
    /// Calls `each` with index and bytes of every record that fits, in order: of all, or of the
    /// `newest` so many.
    ///
    /// # Errors
    /// If there is no log, or a file cannot be read. Errors of `each` end the search.
    pub fn run<E: From<AuditError>>(
        &self,
        newest: Option<usize>,
        each: &mut Each<'_, E>,
    ) -> Result<Stats, E> {
        let mut stats = Stats::default();
        let segments = self.segments()?;
        let Some(newest) = newest else {
            for first in segments {
                let Some(mut segment) = self.open(first)? else {
                    continue;
                };
                for unit in std::mem::take(&mut segment.units) {
                    self.unit(&mut segment, &unit, &mut stats, each)?;
                }
            }
            return Ok(stats);
        };
        let mut kept: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
        'all: for first in segments.into_iter().rev() {
            let Some(mut segment) = self.open(first)? else {
                continue;
            };
            for unit in std::mem::take(&mut segment.units).into_iter().rev() {
                let wanted = newest.saturating_sub(kept.len());
                if wanted == 0 {
                    break 'all;
                }
                let mut these: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
                let mut keep = |index: u64, record: &[u8]| -> Result<(), E> {
                    if these.len() == wanted {
                        these.pop_front();
                    }
                    these.push_back((index, record.to_vec()));
                    Ok(())
                };
                self.unit(&mut segment, &unit, &mut stats, &mut keep)?;
                these.append(&mut kept);
                kept = these;
            }
        }
        stats.found = kept.len() as u64;
        for (index, record) in kept {
            each(index, &record)?;
        }
        Ok(stats)
    }

    /// Counts the records that fit, by the values of a field if one is given; `None` counts those
    /// where it is not known.
    ///
    /// # Errors
    /// If there is no log, or a file cannot be read.
    pub fn count(
        &self,
        by: Option<Field>,
    ) -> Result<(BTreeMap<Option<String>, u64>, Stats), AuditError> {
        let mut stats = Stats::default();
        let mut groups = BTreeMap::new();
        for first in self.segments()? {
            let Some(mut segment) = self.open(first)? else {
                continue;
            };
            for unit in std::mem::take(&mut segment.units) {
                if let Unit::Indexed { at, head } = &unit
                    && let Some(file) = &mut segment.index
                    && let Some(block) = indexer::read(file, *at, head)
                    && let Some(found) = count_in(&self.filter.0, &block, by, &mut groups)
                {
                    stats.found += found;
                    continue;
                }
                let groups = &mut groups;
                self.unit(&mut segment, &unit, &mut stats, &mut |_, record| {
                    if let Some(by) = by {
                        let record = Record::parse(record);
                        group(groups, show(record.value(by)), 1);
                    }
                    Ok::<(), AuditError>(())
                })?;
            }
        }
        Ok((groups, stats))
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

    /// The parts of a segment; `None` if it was removed meanwhile.
    fn open(&self, (first, path): (u64, PathBuf)) -> Result<Option<Segment>, AuditError> {
        if !path.exists() {
            return Ok(None);
        }
        let mut units = Vec::new();
        let mut from = None;
        let mut index =
            indexer::open(self.dir, first).filter(|_| self.index && self.keys.is_none());
        if let Some(file) = &mut index {
            let heads = indexer::heads(file).unwrap_or_default();
            let start = SegmentReader::open(&path)?.offset();
            let fits = heads
                .first()
                .is_some_and(|(_, head)| head.first == first && head.span.0 == start);
            for (at, head) in heads.into_iter().filter(|_| fits) {
                from = Some(head.span.1);
                units.push(Unit::Indexed { at, head });
            }
        }
        units.push(Unit::Plain { from });
        Ok(Some(Segment { path, index, units }))
    }

    fn unit<E: From<AuditError>>(
        &self,
        segment: &mut Segment,
        unit: &Unit,
        stats: &mut Stats,
        each: &mut Each<'_, E>,
    ) -> Result<(), E> {
        let (from, to, verdicts) = match unit {
            Unit::Plain { from } => (*from, u64::MAX, Verdicts::All(Verdict::Unknown)),
            Unit::Indexed { at, head } => {
                let time = FrameIndex {
                    time: head.time,
                    status: (0, u16::MAX),
                    classes: 0,
                };
                if of_frame(&self.filter.0, &time) == Verdict::No {
                    return Ok(());
                }
                let block = segment
                    .index
                    .as_mut()
                    .and_then(|file| indexer::read(file, *at, head));
                let verdicts = match &block {
                    Some(block) => judge(&self.filter.0, block),
                    None => Verdicts::All(Verdict::Unknown),
                };
                (Some(head.span.0), head.span.1, verdicts)
            }
        };
        if verdicts == Verdicts::All(Verdict::No) {
            return Ok(());
        }
        let mut reader = SegmentReader::open(&segment.path)?;
        if let Some(from) = from {
            reader.skip_to(from)?;
        }
        self.frames(&mut reader, to, &verdicts, stats, each)
    }

    fn frames<E: From<AuditError>>(
        &self,
        reader: &mut SegmentReader,
        to: u64,
        verdicts: &Verdicts,
        stats: &mut Stats,
        each: &mut Each<'_, E>,
    ) -> Result<(), E> {
        let mut row = 0;
        let mut raw = Vec::new();
        let mut next = None;
        while reader.offset() < to {
            let at = row;
            let wanted = |header: &FrameHeader| {
                header.kind == FrameKind::Records
                    && header.first + u64::from(header.count) > self.from
                    && of_frame(&self.filter.0, &header.index) != Verdict::No
                    && (at..at + header.count as usize).any(|row| verdicts.at(row) != Verdict::No)
            };
            let (header, payload) = match reader.next(&mut |header| wanted(header))? {
                Step::Frame { header, payload } => (header, payload),
                Step::End | Step::Torn(_) => break,
                Step::Damaged => {
                    stats.damaged = stats.damaged.or(next);
                    break;
                }
            };
            next = Some(header.first + u64::from(header.count));
            row += header.count as usize;
            if !wanted(&header) {
                continue;
            }
            let records = header.unpack(payload, &mut raw).into_iter().flatten();
            for (record, nth) in records.zip(0_usize..) {
                if header.first + (nth as u64) < self.from {
                    continue;
                }
                let plain = self.keys.and_then(|keys| keys.unseal(record));
                let record = plain.as_deref().unwrap_or(record);
                let fits = match verdicts.at(at + nth) {
                    Verdict::No => false,
                    Verdict::Yes => true,
                    Verdict::Unknown => {
                        stats.read += 1;
                        self.filter.fits(&Record::parse(record))
                    }
                };
                if fits {
                    stats.found += 1;
                    stats.sealed += u64::from(is_sealed(record));
                    each(header.first + nth as u64, record)?;
                }
            }
        }
        Ok(())
    }
}

/// Counts by the index alone; `None` if it does not decide, or does not hold the field.
fn count_in(
    node: &Node,
    block: &Block,
    by: Option<Field>,
    groups: &mut BTreeMap<Option<String>, u64>,
) -> Option<u64> {
    let verdicts = judge(node, block);
    let records = block.records() as usize;
    let mut found = 0;
    for row in 0..records {
        match verdicts.at(row) {
            Verdict::Yes => found += 1,
            Verdict::No => {}
            Verdict::Unknown => return None,
        }
    }
    let Some(by) = by else { return Some(found) };
    if found == 0 {
        return Some(0);
    }
    let column = block.column(by)?;
    if column.is_plain() {
        return None;
    }
    let mut names = Vec::new();
    column.judge(|value| names.push(show(value)))?;
    let mut counts = vec![0_u64; names.len()];
    let mut row = 0;
    column.rows()?.each(|value| {
        if verdicts.at(row) == Verdict::Yes
            && let Some(count) = counts.get_mut(usize::try_from(value).unwrap_or(usize::MAX))
        {
            *count += 1;
        }
        row += 1;
    });
    for (name, count) in names.into_iter().zip(counts) {
        if count > 0 {
            group(groups, name, count);
        }
    }
    Some(found)
}

fn group(groups: &mut BTreeMap<Option<String>, u64>, name: Option<String>, count: u64) {
    let full = groups.len() >= MOST_GROUPS && !groups.contains_key(&name);
    let name = if full { Some("…".to_owned()) } else { name };
    *groups.entry(name).or_default() += count;
}

fn show(value: Value<'_>) -> Option<String> {
    match value {
        Value::Absent => None,
        Value::Number(number) => Some(number.to_string()),
        Value::Text(text) => Some(text.to_owned()),
    }
}

/// What the index of a frame says of all its records.
fn of_frame(node: &Node, index: &FrameIndex) -> Verdict {
    let bounds = |least: bool, most: bool| match (least, most) {
        (true, true) => Verdict::Yes,
        (false, false) => Verdict::No,
        _ => Verdict::Unknown,
    };
    match node {
        Node::All(nodes) => {
            let mut all = Verdict::Yes;
            for node in nodes {
                match of_frame(node, index) {
                    Verdict::No => return Verdict::No,
                    Verdict::Unknown => all = Verdict::Unknown,
                    Verdict::Yes => {}
                }
            }
            all
        }
        Node::Any(nodes) => {
            let mut any = Verdict::No;
            for node in nodes {
                match of_frame(node, index) {
                    Verdict::Yes => return Verdict::Yes,
                    Verdict::Unknown => any = Verdict::Unknown,
                    Verdict::No => {}
                }
            }
            any
        }
        Node::Not(node) => match of_frame(node, index) {
            Verdict::Yes => Verdict::No,
            Verdict::No => Verdict::Yes,
            Verdict::Unknown => Verdict::Unknown,
        },
        Node::Since(ms) => bounds(index.time.0 >= *ms, index.time.1 >= *ms),
        Node::Until(ms) => bounds(index.time.0 < *ms, index.time.1 < *ms),
        Node::Test(Predicate {
            field: Field::Status,
            test: Test::Within(ranges),
        }) => {
            let (least, most) = (u64::from(index.status.0), u64::from(index.status.1));
            let meets = |(from, to): &(u64, u64)| *from <= most && *to >= least;
            if ranges.iter().any(meets) {
                Verdict::Unknown
            } else {
                Verdict::No
            }
        }
        Node::Test(_) => Verdict::Unknown,
    }
}
