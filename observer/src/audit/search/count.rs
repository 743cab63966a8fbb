//! A search that counts: by the index alone, where it decides.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use super::block::{Block, Looked};
use super::field::Field;
use super::frames::Frames;
use super::record::{Record, Value};
use super::run::{Search, Stats};
use super::units::Unit;
use super::verdict::{Verdict, Verdicts};
use super::workers::in_order;
use crate::audit::error::AuditError;

/// Values that a count by field tells apart; the others are counted together under `…`.
const MOST_GROUPS: usize = 1_000_000;

/// How often each value of a field came; `None` counts where it is not known.
type Groups = HashMap<Option<String>, u64>;

impl Search<'_> {
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
        let mut result = Ok(());
        let tasks = self.units(false)?;
        in_order(
            tasks,
            &|unit| self.count_unit(unit?, by),
            &mut |counted| match counted {
                Ok((some, counts)) => {
                    stats.add(&some);
                    for (name, count) in counts {
                        group(&mut groups, name, count);
                    }
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    result = Err(error);
                    ControlFlow::Break(())
                }
            },
        );
        result?;
        Ok((groups, stats))
    }

    fn count_unit(&self, unit: Unit, by: Option<Field>) -> Result<(Stats, Groups), AuditError> {
        let mut stats = Stats::default();
        let mut groups = Groups::new();
        let (Some(rows), block) = self.judge(unit, &mut stats)? else {
            return Ok((stats, groups));
        };
        if let Some(block) = block
            && rows.first >= self.from
            && let Some(found) = count_in(&rows.verdicts, &block, by, &mut groups)
        {
            stats.found += found;
            return Ok((stats, groups));
        }
        groups.clear();
        let Some(mut file) = Frames::open(&rows.segment)? else {
            return Ok((stats, groups));
        };
        for place in rows.starts() {
            self.frame::<AuditError>(&rows, place, &mut file, &mut stats, &mut |_, record| {
                if let Some(by) = by {
                    let name = show(Record::parse(record).value(by));
                    *groups.entry(name).or_default() += 1;
                }
                Ok(())
            })?;
        }
        Ok((stats, groups))
    }
}

/// Counts by the index alone; `None` if it does not decide, or does not hold the field.
fn count_in(
    verdicts: &Verdicts,
    block: &Block,
    by: Option<Field>,
    groups: &mut Groups,
) -> Option<u64> {
    let records = block.head().records as usize;
    let found = verdicts.decided(records)?;
    let Some(by) = by else { return Some(found) };
    let column = match block.column(by) {
        Looked::Column(column) => column,
        Looked::Nowhere => {
            groups.insert(None, found);
            return Some(found);
        }
        Looked::Untold => return None,
    };
    let rows = column.rows()?;
    let fitting = rows
        .into_iter()
        .enumerate()
        .filter(|(row, _)| verdicts.at(*row) == Verdict::Yes)
        .map(|(_, value)| value);
    if column.field().is_measured() {
        let mut counts = HashMap::<u64, u64>::new();
        for value in fitting {
            *counts.entry(value).or_default() += 1;
        }
        groups.extend(counts.into_iter().map(|(value, count)| {
            let name = value.checked_sub(1).map(|number| number.to_string());
            (name, count)
        }));
        return Some(found);
    }
    let mut names = Vec::new();
    column.values(&column.text()?, |value| names.push(show(value)))?;
    let mut counts = vec![0_u64; names.len()];
    for value in fitting {
        *counts.get_mut(usize::try_from(value).ok()?)? += 1;
    }
    let counted = names.into_iter().zip(counts);
    groups.extend(counted.filter(|(_, count)| *count > 0));
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
