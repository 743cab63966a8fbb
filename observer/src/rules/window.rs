//! What a correlation remembers of one group, within its timespan.

use std::collections::HashMap;

/// Calls remembered one by one; more are counted in parts of the timespan.
const EXACT: u64 = 64;
/// Parts of a timespan: a count is right to one part in this many.
const SLOTS: usize = 32;

/// Times are Unix nanoseconds; they may go back within the timespan.
#[derive(Clone, Debug)]
pub(super) enum Window {
    /// The last calls, as many as are asked for.
    Times(Vec<u64>, usize),
    /// Calls in each part of the timespan, and the number of the last part.
    Slots(Box<[u32; SLOTS]>, u64),
    /// Values, keyed, with when each was last there; as many as are asked for and one more.
    Values(HashMap<u64, u64>, usize),
    /// For each rule when it last chose a call; 0: never.
    Last(Vec<u64>),
    /// For each rule when the row began that has come as far as it; 0: there is none.
    Row(Vec<u64>),
}

fn recent(now: u64, at: u64, span: u64) -> bool {
    now.saturating_sub(at) <= span && at.saturating_sub(now) <= span
}

impl Window {
    pub(super) fn events(least: u64, most: Option<u64>) -> Self {
        match usize::try_from(least) {
            Ok(keep) if least <= EXACT && most.is_none() => Self::Times(Vec::new(), keep),
            _ => Self::Slots(Box::new([0; SLOTS]), 0),
        }
    }

    pub(super) fn values(least: u64, most: Option<u64>) -> Self {
        let keep = usize::try_from(most.unwrap_or(least)).unwrap_or(usize::MAX);
        Self::Values(HashMap::new(), keep.saturating_add(1))
    }

    /// Bytes that one takes at most, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Times(_, keep) => 8 * keep,
            Self::Slots(..) => 4 * SLOTS,
            // An entry, and the room that a table has left over.
            Self::Values(_, keep) => 36 * keep,
            Self::Last(times) | Self::Row(times) => 8 * times.len(),
        }
    }

    /// Counts one more: of the rule at place `part`, with this value. Returns what is in the
    /// timespan now: calls, values, or rules.
    pub(super) fn add(&mut self, now: u64, span: u64, part: usize, value: u64) -> u64 {
        match self {
            Self::Times(times, keep) => {
                times.retain(|at| recent(now, *at, span));
                if times.len() >= *keep {
                    times.remove(0);
                }
                times.push(now);
                times.len() as u64
            }
            Self::Slots(slots, head) => {
                let slot = now / (span / SLOTS as u64).max(1);
                let last = head.saturating_add(SLOTS as u64);
                if slot >= last || slot.saturating_add(SLOTS as u64) <= *head {
                    slots.fill(0);
                    *head = slot;
                }
                while *head < slot {
                    *head += 1;
                    if let Some(count) = place(slots, *head) {
                        *count = 0;
                    }
                }
                if let Some(count) = place(slots, slot) {
                    *count = count.saturating_add(1);
                }
                slots.iter().map(|count| u64::from(*count)).sum()
            }
            Self::Values(values, keep) => {
                if !values.contains_key(&value) && values.len() >= *keep {
                    values.retain(|_, at| recent(now, *at, span));
                    let oldest = values
                        .iter()
                        .min_by_key(|(_, at)| **at)
                        .map(|(value, _)| *value);
                    if values.len() >= *keep
                        && let Some(oldest) = oldest
                    {
                        values.remove(&oldest);
                    }
                }
                values.insert(value, now);
                values.values().filter(|at| recent(now, **at, span)).count() as u64
            }
            Self::Last(times) => {
                if let Some(at) = times.get_mut(part) {
                    *at = now;
                }
                times
                    .iter()
                    .filter(|at| **at != 0 && recent(now, **at, span))
                    .count() as u64
            }
            Self::Row(begun) => {
                let before = match part.checked_sub(1) {
                    None => Some(now),
                    Some(before) => begun
                        .get(before)
                        .copied()
                        .filter(|at| *at != 0 && recent(now, *at, span)),
                };
                let last = begun.len();
                match (before, begun.get_mut(part)) {
                    (Some(before), Some(at)) => {
                        *at = before;
                        if part + 1 == last { last as u64 } else { 0 }
                    }
                    _ => 0,
                }
            }
        }
    }

    /// When the first call was that counts, as far as it is known.
    pub(super) fn first(&self, now: u64, span: u64) -> Option<u64> {
        let in_time = |at: &&u64| **at != 0 && recent(now, **at, span);
        match self {
            Self::Times(times, _) | Self::Last(times) => {
                times.iter().filter(in_time).min().copied()
            }
            Self::Row(begun) => begun.last().copied(),
            Self::Values(values, _) => values.values().filter(in_time).min().copied(),
            Self::Slots(..) => None,
        }
    }
}

fn place(slots: &mut [u32; SLOTS], number: u64) -> Option<&mut u32> {
    let at = usize::try_from(number % SLOTS as u64).ok()?;
    slots.get_mut(at)
}

#[cfg(test)]
mod tests {
    use super::Window;

    #[test]
    fn few_calls_are_counted_exactly_and_many_within_a_part_of_the_timespan() {
        let mut few = Window::events(5, None);
        for now in 1..=4 {
            assert_eq!(few.add(now, 100, 0, 0), now);
        }
        assert_eq!(few.add(101, 100, 0, 0), 5);
        assert_eq!(few.add(204, 100, 0, 0), 1);
        let mut many = Window::events(1_000, None);
        let mut count = 0;
        for now in 0..10_000 {
            count = many.add(now, 3_200, 0, 0);
        }
        assert!((3_100..=3_200).contains(&count), "{count}");
        assert_eq!(many.add(50_000, 3_200, 0, 0), 1);
    }

    #[test]
    fn values_count_once_and_are_bounded() {
        let mut window = Window::values(3, None);
        for (now, value, count) in [(1, 7, 1), (2, 7, 1), (3, 8, 2), (4, 9, 3), (200, 9, 1)] {
            assert_eq!(window.add(now, 100, 0, value), count);
        }
        for value in 0..1_000 {
            assert!(window.add(300, 100, 0, value) <= 4);
        }
    }

    #[test]
    fn a_row_is_complete_only_in_its_order() {
        let mut row = Window::Row(vec![0; 3]);
        assert_eq!(row.add(1, 100, 1, 0), 0);
        assert_eq!(row.add(2, 100, 0, 0), 0);
        assert_eq!(row.add(3, 100, 2, 0), 0);
        assert_eq!(row.add(4, 100, 1, 0), 0);
        assert_eq!(row.add(5, 100, 2, 0), 3);
        // The row began too long ago.
        assert_eq!(row.add(105, 100, 2, 0), 0);
    }
}
