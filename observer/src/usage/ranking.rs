//! The keys that are used most, of however many there are, with a bound of what is missed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::measure::Measured;
use super::moment::Moment;
use super::row::Row;
use crate::hashing::AsIs;

/// Rows of one dimension, with what changed since they were last taken.
#[derive(Debug)]
pub struct Ranking {
    /// By keyed hash of the name, each with whether it changed.
    rows: HashMap<u64, Box<(Row, bool)>, AsIs>,
    /// Rows kept at least; twice as many at most.
    most: usize,
    /// No key that is not kept has more calls than this.
    missed: u64,
    total: Measured,
    changed: VecDeque<u64>,
    evicted: u64,
}

impl Ranking {
    /// Keeps the `most` keys of most calls at least, and twice as many at most.
    ///
    /// Where there are more keys, those of fewest calls go, half of the table at a time. A key
    /// that is not kept has at most `missed` calls, and `missed` is at most all calls divided by
    /// `most`: each cut of the table takes the number by which `missed` grows from at least
    /// `most` keys (Misra and Gries 1982; as an upper bound for each row, Manku and Motwani 2002).
    pub(super) fn new(most: usize) -> Self {
        Self {
            rows: HashMap::default(),
            most: most.max(1),
            missed: 0,
            total: Measured::default(),
            changed: VecDeque::new(),
            evicted: 0,
        }
    }

    /// Counts for a key, which is the hash of its name.
    pub(super) fn push(
        &mut self,
        key: u64,
        name: impl FnOnce() -> Arc<str>,
        moment: &Moment,
        more: Measured,
    ) -> &mut Row {
        self.total = self.total.plus(more);
        if self.rows.len() >= self.most * 2 && !self.rows.contains_key(&key) {
            self.cut();
        }
        let missed = self.missed;
        let (row, dirty) = &mut **self
            .rows
            .entry(key)
            .or_insert_with(|| Box::new((Row::new(name(), missed, moment.now), false)));
        row.add(moment, more);
        if !std::mem::replace(dirty, true) {
            self.changed.push_back(key);
        }
        row
    }

    /// Lets the half of fewest calls go.
    fn cut(&mut self) {
        let upper = |row: &Row| row.total.calls.saturating_add(row.missed);
        let mut all: Vec<u64> = self.rows.values().map(|held| upper(&held.0)).collect();
        let middle = (all.len() / 2).saturating_sub(1);
        if middle < all.len() {
            let (_, bound, _) = all.select_nth_unstable(middle);
            self.missed = self.missed.max(*bound);
        }
        let missed = self.missed;
        let before = self.rows.len();
        self.rows.retain(|_, held| upper(&held.0) > missed);
        self.evicted += (before - self.rows.len()) as u64;
        let rows = &self.rows;
        self.changed.retain(|key| rows.contains_key(key));
    }

    /// The row of a key.
    pub(super) fn row(&self, key: u64) -> Option<&Row> {
        self.rows.get(&key).map(|held| &held.0)
    }

    /// Puts a row of an earlier run in.
    pub(super) fn restore(&mut self, key: u64, row: Row) {
        if self.rows.len() < self.most * 2 {
            self.rows.insert(key, Box::new((row, false)));
        }
    }

    /// Goes on with the sums of an earlier run.
    pub(super) fn restore_head(&mut self, total: Measured, missed: u64) {
        self.total = total;
        self.missed = missed;
    }

    /// Takes up to `most` rows that changed, those that wait longest first.
    pub(super) fn take_changed(&mut self, most: usize) -> Vec<Row> {
        let count = self.changed.len().min(most);
        let keys: Vec<u64> = self.changed.drain(..count).collect();
        keys.into_iter()
            .filter_map(|key| {
                let (row, dirty) = &mut **self.rows.get_mut(&key)?;
                *dirty = false;
                Some(row.clone())
            })
            .collect()
    }

    /// All calls, of keys that are not kept too.
    pub fn total(&self) -> Measured {
        self.total
    }

    /// No key that is not kept has more calls than this.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// The rows, in no order.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().map(|held| &held.0)
    }

    /// Rows kept.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows let go so far.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::Ranking;
    use crate::usage::Measured;
    use crate::usage::moment::Moment;

    const ONE: Measured = Measured {
        calls: 1,
        bytes: 10,
        errors: 0,
        failures: 0,
    };

    #[test]
    fn the_bounds_hold_for_every_key_of_a_skewed_flood() {
        let mut ranking = Ranking::new(50);
        let mut truth: HashMap<u64, u64> = HashMap::new();
        let mut state = 7_u64;
        let all = 200_000;
        for at in 0..all {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Every third call is of ten heavy keys; the others come once or a few times.
            let key = if at % 3 == 0 {
                at / 3 % 10
            } else {
                100 + (state >> 33) % 50_000
            };
            *truth.entry(key).or_default() += 1;
            ranking.push(key, || key.to_string().into(), &Moment::at(at), ONE);
            assert!(ranking.len() <= 100);
        }
        assert!(ranking.missed() <= all / 50, "{}", ranking.missed());
        assert!(ranking.evicted() > 1000);
        assert_eq!(ranking.total().calls, all);
        for (key, calls) in &truth {
            match ranking.row(*key) {
                Some(row) => {
                    assert!(row.total.calls <= *calls, "{key}");
                    assert!(*calls <= row.total.calls + row.missed, "{key}");
                }
                None => assert!(*calls <= ranking.missed(), "{key}: {calls}"),
            }
        }
        for heavy in 0..10 {
            assert_eq!(ranking.row(heavy).map(|row| row.missed), Some(0));
        }
    }

    #[test]
    fn only_what_changed_is_taken_and_each_once() {
        let mut ranking = Ranking::new(10);
        for key in [1, 2, 1, 3] {
            ranking.push(key, || key.to_string().into(), &Moment::at(0), ONE);
        }
        let names = |rows: Vec<crate::usage::Row>| -> Vec<String> {
            rows.iter().map(|row| row.name.to_string()).collect()
        };
        assert_eq!(names(ranking.take_changed(2)), ["1", "2"]);
        ranking.push(2, || unreachable!(), &Moment::at(1), ONE);
        assert_eq!(names(ranking.take_changed(9)), ["3", "2"]);
        assert!(ranking.take_changed(9).is_empty());
    }
}
