//! How many different things were seen in a sliding window, exactly, up to a bound.

/// Things held: thresholds are below this, and what is above them is "or more".
pub(super) const MOST: usize = 64;

/// Keyed hashes of things, each with the time it was last seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Distinct {
    seen: Vec<(u64, u64)>,
}

impl Distinct {
    /// Notes a thing; returns how many there were in the window, and whether this one is new.
    pub(super) fn add(&mut self, thing: u64, now: u64, window: u64) -> (usize, bool) {
        let known = self.seen.iter_mut().find(|(seen, _)| *seen == thing);
        if let Some((_, at)) = known {
            *at = now;
            let count = self.count(now, window);
            return (count, false);
        }
        self.count(now, window);
        if self.seen.len() < MOST {
            self.seen.push((thing, now));
        } else if let Some(oldest) = self.seen.iter_mut().min_by_key(|(_, at)| *at) {
            *oldest = (thing, now);
        }
        (self.seen.len(), true)
    }

    /// How many were seen in the window before `now`; the others are forgotten.
    pub(super) fn count(&mut self, now: u64, window: u64) -> usize {
        // A time from long after `now` is of another recording.
        self.seen.retain(|(_, at)| {
            now.saturating_sub(*at) <= window && at.saturating_sub(now) <= window
        });
        self.seen.len()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{Distinct, MOST};

    #[test]
    fn each_thing_counts_once_while_it_is_in_the_window() {
        let mut distinct = Distinct::default();
        for now in 0..10 {
            distinct.add(now % 3, now, 100);
        }
        assert_eq!(distinct.count(10, 100), 3);
        assert_eq!(distinct.add(7, 107, 100), (4, true));
        assert_eq!(distinct.add(7, 120, 100), (1, false));
        for thing in 0..1000 {
            assert!(distinct.add(thing, 121, 100).0 <= MOST);
        }
    }
}
