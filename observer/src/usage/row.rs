//! Usage of one key: a caller, a client, an endpoint or a service.

use std::sync::Arc;
use std::time::Duration;

use super::measure::Measured;
use super::moment::Moment;
use super::period::Period;
use super::sliding::Sliding;

/// The sliding windows of usage.
pub const WINDOWS: [Duration; 3] = [
    Duration::from_secs(60),
    Duration::from_secs(3600),
    Duration::from_secs(86_400),
];
/// The parts of the calendar of usage.
pub const CALENDAR: [Period; 2] = [Period::Day, Period::Month];
/// Callers of one client that are told apart: two are enough to know that an address is shared.
const CALLERS: usize = 4;

/// The windows, nanoseconds.
pub(super) const WINDOWS_NS: [u64; 3] = [
    60 * 1_000_000_000,
    3600 * 1_000_000_000,
    86_400 * 1_000_000_000,
];

/// What was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: Arc<str>,
    /// Calls that may have been made before the row was kept, at most: all calls of this key are
    /// from `total.calls` to `total.calls + missed`.
    pub missed: u64,
    /// Since the row is kept.
    pub total: Measured,
    /// Unix time of the first call counted, nanoseconds.
    pub first_ns: u64,
    /// Of the latest.
    pub last_ns: u64,
    /// Over the windows of [`WINDOWS`].
    pub(super) windows: [Sliding<4>; 3],
    /// Number of the period and what was used in it, of [`CALENDAR`].
    pub(super) calendar: [(u64, Measured); 2],
    /// Keyed hashes of callers, of a client.
    pub(super) callers: [u64; CALLERS],
}

impl Row {
    /// Nothing was used yet.
    pub(super) fn new(name: Arc<str>, missed: u64, now: u64) -> Self {
        Self {
            name,
            missed,
            total: Measured::default(),
            first_ns: now,
            last_ns: now,
            windows: Default::default(),
            calendar: Default::default(),
            callers: [0; CALLERS],
        }
    }

    pub(super) fn add(&mut self, moment: &Moment, more: Measured) {
        let Self {
            name: _,
            missed: _,
            total,
            first_ns: _,
            last_ns,
            windows,
            calendar,
            callers: _,
        } = self;
        *total = total.plus(more);
        let Moment {
            now,
            slots,
            periods,
        } = *moment;
        *last_ns = now.max(*last_ns);
        for (window, slot) in windows.iter_mut().zip(slots) {
            window.add_in(slot, more.parts());
        }
        for ((number, used), current) in calendar.iter_mut().zip(periods) {
            if *number != current {
                *number = current;
                *used = Measured::default();
            }
            *used = used.plus(more);
        }
    }

    /// Notes a caller of a client.
    pub(super) fn note_caller(&mut self, caller: u64) {
        for place in &mut self.callers {
            if *place == caller {
                return;
            }
            if *place == 0 {
                *place = caller;
                return;
            }
        }
    }

    /// Different callers of a client, up to four.
    pub fn callers(&self) -> usize {
        self.callers.iter().filter(|place| **place != 0).count()
    }

    /// What was used in each of [`WINDOWS`] before `now`. Each slides by an eighth of itself, so
    /// it covers the last seven to eight eighths.
    pub fn windows(&self, now_ns: u64) -> [Measured; 3] {
        let mut used = [Measured::default(); 3];
        for ((used, window), length) in used.iter_mut().zip(&self.windows).zip(WINDOWS_NS) {
            *used = Measured::from_parts(window.clone().at(now_ns, length));
        }
        used
    }

    /// The most calls in any of each of [`WINDOWS`].
    pub fn peaks(&self) -> [u64; 3] {
        let [minute, hour, day] = &self.windows;
        [minute.peak(), hour.peak(), day.peak()]
    }

    /// What was used in the present day and month, UTC.
    pub fn calendar(&self, now_ns: u64) -> [Measured; 2] {
        let mut used = [Measured::default(); 2];
        for ((to, (number, found)), period) in used.iter_mut().zip(self.calendar).zip(CALENDAR) {
            if number == period.number(now_ns) {
                *to = found;
            }
        }
        used
    }

    /// As numbers, for a file.
    pub fn to_numbers(&self) -> Vec<Vec<u64>> {
        let Self {
            name: _,
            missed,
            total,
            first_ns,
            last_ns,
            windows,
            calendar,
            // Their hashes are of this run.
            callers: _,
        } = self;
        let mut head = vec![*missed, *first_ns, *last_ns];
        head.extend(total.parts());
        for (number, used) in calendar {
            head.push(*number);
            head.extend(used.parts());
        }
        let mut numbers = vec![head];
        numbers.extend(windows.iter().map(Sliding::to_numbers));
        numbers
    }

    /// From such numbers; `None` if they are not of this form.
    pub fn from_numbers(name: &str, numbers: &[Vec<u64>]) -> Option<Self> {
        let [head, minute, hour, day] = numbers else {
            return None;
        };
        let (&[missed, first_ns, last_ns], rest) = head.split_first_chunk::<3>()?;
        let (&total, rest) = rest.split_first_chunk::<4>()?;
        let (&[today, a, b, c, d], rest) = rest.split_first_chunk::<5>()?;
        let &[month, e, f, g, h] = rest else {
            return None;
        };
        Some(Self {
            name: name.into(),
            missed,
            total: Measured::from_parts(total),
            first_ns,
            last_ns,
            windows: [
                Sliding::from_numbers(minute)?,
                Sliding::from_numbers(hour)?,
                Sliding::from_numbers(day)?,
            ],
            calendar: [
                (today, Measured::from_parts([a, b, c, d])),
                (month, Measured::from_parts([e, f, g, h])),
            ],
            callers: [0; CALLERS],
        })
    }
}
