//! One group of a correlation: all calls with the same values of the fields grouped by.

use super::correlation::{Correlation, Kind};
use super::window::Window;

/// Bytes that the groups of one correlation may take, about: with the most correlations that a
/// folder may have ([`super::RuleSet`]) 128 MiB, under an attack that keeps making new groups.
const BYTES: usize = 1 << 20;
/// Bytes of a group without its window: the entry of a table and what an allocation costs.
const ENTRY: usize = 96;

/// What is remembered of a group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    window: Window,
    /// Told, and not again before this time.
    quiet_until: u64,
}

/// A correlation holds for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Calls, values or rules.
    pub(super) count: u64,
    /// Unix time of the first call, nanoseconds, if it is known.
    pub(super) first: Option<u64>,
}

impl Group {
    pub(super) fn of(correlation: &Correlation) -> Self {
        let Correlation {
            kind,
            parts,
            least,
            most,
            ..
        } = correlation;
        let window = match kind {
            Kind::Events => Window::events(*least, *most),
            Kind::Values => Window::values(*least, *most),
            Kind::Temporal => Window::Last(vec![0; parts.len()]),
            Kind::Ordered => Window::Row(vec![0; parts.len()]),
        };
        Self {
            window,
            quiet_until: 0,
        }
    }

    /// Groups that a correlation remembers at least; twice as many at most.
    pub(super) fn capacity(correlation: &Correlation) -> usize {
        (BYTES / (ENTRY + Self::of(correlation).window.bytes())).max(1)
    }

    /// Takes a call of the rule at place `part`. Once the condition holds it is told once for each
    /// timespan.
    pub(super) fn add(
        &mut self,
        correlation: &Correlation,
        now: u64,
        part: usize,
        value: u64,
    ) -> Option<Held> {
        let Correlation {
            timespan_ns,
            least,
            most,
            ..
        } = correlation;
        let count = self.window.add(now, *timespan_ns, part, value);
        if count < *least || most.is_some_and(|most| count > most) {
            return None;
        }
        // A time from long before is of another recording.
        if now < self.quiet_until && self.quiet_until - now <= *timespan_ns {
            return None;
        }
        self.quiet_until = now.saturating_add(*timespan_ns);
        Some(Held {
            count,
            first: self.window.first(now, *timespan_ns),
        })
    }
}
