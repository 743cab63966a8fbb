//! When a call was made, as the rows of usage count it.

use super::row::{CALENDAR, WINDOWS_NS};
use super::sliding::slot;

/// Worked out once for all the rows that a call counts for: the divisions cost more than the sums.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Unix time, nanoseconds.
    pub(super) now: u64,
    /// The slot of each of the sliding windows.
    pub(super) slots: [u64; WINDOWS_NS.len()],
    /// The number of each of the parts of the calendar.
    pub(super) periods: [u64; CALENDAR.len()],
}

impl Moment {
    /// At this Unix time, nanoseconds.
    pub(super) fn at(now: u64) -> Self {
        Self {
            now,
            slots: WINDOWS_NS.map(|window| slot(now, window)),
            periods: CALENDAR.map(|period| period.number(now)),
        }
    }
}
