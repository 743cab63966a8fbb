//! A search that counts over time, in one pass.

use std::ops::ControlFlow;

use super::frames::Frames;
use super::record::Record;
use super::run::{Search, Stats};
use super::units::Unit;
use super::verdict::Verdict;
use super::workers::in_order;
use crate::audit::error::AuditError;

/// Stretches of time of one length that follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// When the first starts, Unix milliseconds.
    pub from_ms: u64,
    /// Length of each, milliseconds, 1 at least.
    pub step_ms: u64,
    /// How many there are.
    pub count: usize,
}

impl Steps {
    fn add(&self, counts: &mut [u64], time_ms: u64) {
        let step = time_ms.checked_sub(self.from_ms);
        let step = step.map(|after| after / self.step_ms.max(1));
        let step = step.and_then(|step| usize::try_from(step).ok());
        if let Some(count) = step.and_then(|step| counts.get_mut(step)) {
            *count += 1;
        }
    }
}

impl Search<'_> {
    /// Counts the records that fit in each step.
    ///
    /// # Errors
    /// If there is no log, or a file cannot be read.
    pub fn over_time(&self, steps: Steps) -> Result<Vec<u64>, AuditError> {
        let mut all = vec![0_u64; steps.count];
        let mut result = Ok(());
        let tasks = self.units(false)?;
        in_order(
            tasks,
            &|unit| self.unit_over_time(unit?, &steps),
            &mut |counted| match counted {
                Ok(counts) => {
                    for (all, count) in all.iter_mut().zip(counts) {
                        *all += count;
                    }
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    result = Err(error);
                    ControlFlow::Break(())
                }
            },
        );
        result.map(|()| all)
    }

    fn unit_over_time(&self, unit: Unit, steps: &Steps) -> Result<Vec<u64>, AuditError> {
        let mut counts = vec![0; steps.count];
        let mut stats = Stats::default();
        let (Some(rows), block) = self.judge(unit, &mut stats)? else {
            return Ok(counts);
        };
        if let Some(block) = block
            && rows.first >= self.from
            && rows
                .verdicts
                .decided(block.head().records as usize)
                .is_some()
            && let Some(times) = block.times()
        {
            for (row, time) in times.into_iter().enumerate() {
                if rows.verdicts.at(row) == Verdict::Yes {
                    steps.add(&mut counts, time);
                }
            }
            return Ok(counts);
        }
        let Some(mut file) = Frames::open(&rows.segment)? else {
            return Ok(counts);
        };
        for place in rows.starts() {
            self.frame::<AuditError>(&rows, place, &mut file, &mut stats, &mut |_, record| {
                steps.add(&mut counts, Record::parse(record).time_ms());
                Ok(())
            })?;
        }
        Ok(counts)
    }
}
