//! How much of a source its probes cannot read, and their end if that is too much.
//!
//! In: the books, now and then. Out: the sources whose probes were taken off. A probe that reads
//! nothing but errors stands on a layout or on memory that is not as it was taken to be: it costs
//! what a good one costs and tells nothing, so it goes, and that is said.

use std::time::{Duration, Instant};

use super::function_probes::FUNCTION_PROBES;
use super::loader::Kernel;
use super::probe_table::PROBES;
use super::status::SourceLedger;

/// Time between two looks at the books.
const WINDOW: Duration = Duration::from_secs(1);
/// Calls in a window below which a share says nothing.
const ENOUGH: u64 = 100;
/// Windows over the budget in a row that end the probes of a source.
const STRIKES: u32 = 3;

/// One source whose probes cannot read what they see.
#[derive(Clone, Debug, PartialEq)]
pub struct UnreadableSource {
    /// `packets`, `functions` or `tls`.
    pub source: &'static str,
    /// Part of what was seen last that could not be read, 0 to 1.
    pub share: f64,
}

/// See the module.
#[derive(Debug)]
pub struct ProbeErrors {
    /// Part of what is seen that may be unreadable; none is too much at 1.
    budget: f64,
    next: Instant,
    sources: Vec<Books>,
}

#[derive(Debug)]
struct Books {
    source: &'static str,
    seen: u64,
    unreadable: u64,
    strikes: u32,
}

impl ProbeErrors {
    /// `budget` is in percent of the calls seen; 100 takes nothing off.
    pub fn new(budget: u32) -> Self {
        Self {
            budget: f64::from(budget) / 100.0,
            next: Instant::now() + WINDOW,
            sources: Vec::new(),
        }
    }

    /// Wanted a few times a second; `ledger` is asked when a window has passed. Gives the sources
    /// whose probes were taken off because of it.
    pub fn tick(
        &mut self,
        kernel: &mut Kernel,
        now: Instant,
        ledger: impl FnOnce() -> Vec<SourceLedger>,
    ) -> Vec<UnreadableSource> {
        if now < self.next {
            return Vec::new();
        }
        self.next = now + WINDOW;
        let condemned = self.judge(&ledger());
        for UnreadableSource { source, share } in &condemned {
            kernel.take_off_source(source, *share);
        }
        condemned
    }

    /// The sources that were over the budget once too often.
    fn judge(&mut self, ledger: &[SourceLedger]) -> Vec<UnreadableSource> {
        let mut condemned = Vec::new();
        for row in ledger {
            let unreadable = row
                .lost
                .iter()
                .find(|(reason, _)| *reason == "unreadable")
                .map_or(0, |(_, count)| count.calls);
            let seen = row.seen.calls;
            let Some(books) = self.sources.iter_mut().find(|it| it.source == row.source) else {
                self.sources.push(Books {
                    source: row.source,
                    seen,
                    unreadable,
                    strikes: 0,
                });
                continue;
            };
            let (new, bad) = (
                seen.saturating_sub(books.seen),
                unreadable.saturating_sub(books.unreadable),
            );
            if new < ENOUGH {
                // Too few to judge: they count with those of the next window.
                continue;
            }
            (books.seen, books.unreadable) = (seen, unreadable);
            let share = bad as f64 / new as f64;
            if share <= self.budget {
                books.strikes = 0;
                continue;
            }
            books.strikes += 1;
            if books.strikes >= STRIKES {
                books.strikes = 0;
                condemned.push(UnreadableSource {
                    source: row.source,
                    share,
                });
            }
        }
        condemned
    }
}

impl Kernel {
    /// Takes off the probes that feed a source.
    fn take_off_source(&mut self, source: &str, share: f64) {
        let of_source: Vec<&str> = match source {
            "functions" => FUNCTION_PROBES
                .iter()
                .map(|(_, probe)| probe.name)
                .collect(),
            // Named after their source.
            _ => PROBES
                .iter()
                .map(|probe| probe.name)
                .filter(|name| name.split('_').next() == Some(source))
                .collect(),
        };
        let reason = format!(
            "taken off: {:.0} % of what it saw could not be read, more than capture.error_budget; please report it with the output of observer doctor --json",
            share * 100.0
        );
        for name in of_source {
            self.take_off(name, &reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Count;

    fn ledger(seen: u64, unreadable: u64) -> Vec<SourceLedger> {
        let count = |calls| Count { calls, bytes: 0 };
        vec![SourceLedger {
            source: "tls",
            seen: count(seen),
            lost: vec![("ring_full", count(0)), ("unreadable", count(unreadable))],
            ..SourceLedger::default()
        }]
    }

    #[test]
    fn a_source_over_its_budget_three_times_in_a_row_is_condemned() {
        let mut errors = ProbeErrors::new(50);
        let windows = [
            (0, 0),
            (1000, 900),
            (2000, 1800),
            (3000, 1900),
            (4000, 2900),
        ];
        for (seen, unreadable) in windows {
            assert_eq!(errors.judge(&ledger(seen, unreadable)), []);
        }
        assert_eq!(errors.judge(&ledger(5000, 3900)), []);
        let [condemned] = &errors.judge(&ledger(6000, 4800))[..] else {
            panic!("not condemned");
        };
        assert_eq!(condemned.source, "tls");
        assert!((condemned.share - 0.9).abs() < 1e-9);
    }

    #[test]
    fn few_errors_and_few_calls_condemn_nothing() {
        let mut errors = ProbeErrors::new(50);
        // One failure in each window, and nothing else, for as long as it is too few to judge.
        for n in 0..90 {
            assert_eq!(errors.judge(&ledger(n, n)), []);
        }
        let mut errors = ProbeErrors::new(100);
        for n in 0..10 {
            assert_eq!(errors.judge(&ledger(n * 1000, n * 1000)), []);
        }
    }

    #[test]
    fn every_source_has_probes_to_take_off() {
        for source in ["packets", "tls"] {
            assert!(
                PROBES
                    .iter()
                    .any(|probe| probe.name.split('_').next() == Some(source)),
                "{source}"
            );
        }
    }
}
