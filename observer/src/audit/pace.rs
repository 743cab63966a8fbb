//! When the log commits: so early that what was given is safe within its window, however long the
//! disk takes.
//!
//! In: when records were given, how long commits took. Out: when the next one is due, and whether
//! the last one came too late. Never: a look at the clock.

use std::time::{Duration, Instant};

/// Share of the window that is left between two commits at least, as a divisor: a disk that takes
/// longer than the window must not be asked without pause.
const PAUSE: u32 = 8;
/// A commit that took long is expected again for some commits: this share of it is forgotten with
/// each, as a divisor.
const FORGET: u32 = 16;

/// Commits that took longer than the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Late {
    pub(super) commits: u64,
    /// The longest time from a record that was given until it was safe.
    pub(super) worst: Duration,
}

/// The pace of the commits of a log.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    /// When the oldest record that is not safe yet was given.
    oldest: Option<Instant>,
    /// What commits took lately, at worst.
    takes: Duration,
    /// End of the last commit.
    ended: Instant,
}

impl Pace {
    pub(super) fn new(window: Duration, now: Instant) -> Self {
        Self {
            window,
            oldest: None,
            takes: window / PAUSE,
            ended: now,
        }
    }

    /// Records came that were given at this time and after it.
    pub(super) fn given(&mut self, at: Instant) {
        self.oldest.get_or_insert(at);
    }

    /// When the next commit must begin.
    pub(super) fn due(&self) -> Instant {
        let Self {
            window,
            oldest,
            takes,
            ended,
        } = self;
        // Of the time that a commit takes twice, for none is as long as the one before.
        let ahead = window.saturating_sub(*takes * 2);
        let wanted = oldest.map_or(*ended + *window, |oldest| oldest + ahead);
        wanted.clamp(*ended + *window / PAUSE, *ended + *window)
    }

    /// Until when what can wait may be begun after a commit that began at `began`: what comes
    /// meanwhile is safe in time nevertheless.
    pub(super) fn free_until(&self, began: Instant) -> Instant {
        began + self.window.saturating_sub(self.takes * 2) / 2
    }

    /// A commit made everything safe that was given. Tells if it came too late for some of it.
    pub(super) fn committed(&mut self, began: Instant, ended: Instant) -> Option<Late> {
        let took = ended.saturating_duration_since(began);
        self.takes = took.max(self.takes - self.takes / FORGET);
        self.ended = ended;
        let oldest = self.oldest.take()?;
        let age = ended.saturating_duration_since(oldest);
        (age > self.window).then_some(Late {
            commits: 1,
            worst: age,
        })
    }
}

impl Late {
    pub(super) fn add(&mut self, other: Self) {
        self.commits += other.commits;
        self.worst = self.worst.max(other.worst);
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use std::time::{Duration, Instant};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_commit_begins_so_early_that_it_ends_within_the_window() {
        let start = Instant::now();
        let mut pace = Pace::new(200 * MS, start);
        // Nothing to commit: once a window.
        assert_eq!(pace.due(), start + 200 * MS);
        let mut now = start;
        for round in 0..50 {
            let given = now + 30 * MS;
            pace.given(given);
            pace.given(given + 5 * MS);
            let due = pace.due();
            assert!(due >= given && due <= given + 200 * MS, "round {round}");
            // A disk that takes 40 ms, and a third longer now and then.
            let took = if round % 7 == 6 { 55 * MS } else { 40 * MS };
            now = due + took;
            let late = pace.committed(due, now);
            assert_eq!(late, None, "round {round}");
        }
    }

    #[test]
    fn a_disk_slower_than_the_window_is_told_of_and_gets_a_pause() {
        let start = Instant::now();
        let mut pace = Pace::new(200 * MS, start);
        let mut now = start;
        for round in 0..5 {
            pace.given(now);
            let due = pace.due();
            assert!(due >= now + 25 * MS);
            let before = now;
            now = due + 300 * MS;
            let late = pace.committed(due, now).unwrap();
            assert_eq!((late.commits, late.worst), (1, now - before), "{round}");
        }
    }
}
