//! How many calls a minute one caller makes at most, and when it is far more.

use std::time::Duration;

use super::facts::Facts;
use super::finding::Finding;
use super::rule::TRAFFIC_SPIKE;
use super::settings::DetectSettings;

const MINUTE: u64 = 60_000_000_000;
/// Minutes with calls before anything is said: an hour of work.
const WARM: u16 = 60;
/// Fewer calls in a minute are no spike, whatever was usual.
const LEAST: f32 = 120.0;
/// What a peak counts after another minute with calls: half of it after eight hours of work, so
/// that what a caller does once a day stays usual.
const FADING: f32 = 0.9986;
/// What goes on is told again after so many minutes.
const REARM: u64 = 30;

/// Callers are not as regular as endpoints: people sleep, jobs run once an hour. So a minute is
/// held against the busiest one, and only minutes with calls count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Since 1970.
    minute: u64,
    calls: u32,
    /// Minutes with calls, before this one.
    active: u16,
    peak: f32,
    /// Minute in which a spike was told last.
    told: u64,
}

impl Pace {
    /// Takes a call that was accepted.
    pub(super) fn push(
        &mut self,
        facts: &Facts<'_>,
        settings: &DetectSettings,
        out: &mut impl FnMut(Finding),
    ) {
        let minute = facts.now / MINUTE;
        if minute + REARM < self.minute {
            // A time from long before is of another recording.
            *self = Self::default();
        }
        if minute > self.minute {
            self.turn(minute);
        }
        self.calls = self.calls.saturating_add(1);
        let calls = count(self.calls);
        #[expect(clippy::cast_precision_loss, reason = "a factor below a hundred")]
        let factor = settings.spike_factor as f32;
        let silent = self.told != 0 && minute.saturating_sub(self.told) < REARM;
        if self.active < WARM || calls <= LEAST || calls <= self.peak * factor || silent {
            return;
        }
        self.told = minute.max(1);
        let message = format!(
            "one caller of {} made more than {calls:.0} calls within a minute; {:.0} were the most before: a program runs wild, or someone else has its credential",
            facts.service(),
            self.peak
        );
        out(Finding {
            identity: facts.who().map(Into::into),
            count: u64::from(self.calls),
            window: Duration::from_nanos(MINUTE),
            ..facts.finding(TRAFFIC_SPIKE, message)
        });
    }

    fn turn(&mut self, minute: u64) {
        if self.calls > 0 {
            let mut calls = count(self.calls);
            if self.active >= WARM {
                // What is far off is learned in part: once it is not the usual, often it is.
                calls = calls.min(self.peak.max(LEAST) * 1.5);
            }
            self.active = self.active.saturating_add(1);
            self.peak = (self.peak * FADING).max(calls);
        }
        self.minute = minute;
        self.calls = 0;
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "compared with a threshold of hundreds"
)]
fn count(calls: u32) -> f32 {
    calls as f32
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use crate::catalog::sample;
    use crate::detect::facts::Facts;
    use crate::detect::settings::DetectSettings;
    use crate::hashing::Keyed;

    const MINUTE: u64 = 60_000_000_000;

    /// Minutes in which a spike was told; `calls` gives the calls of each minute.
    fn told(minutes: u64, calls: impl Fn(u64) -> u64) -> Vec<u64> {
        let (mut pace, hasher) = (Pace::default(), Keyed::default());
        let mut told = Vec::new();
        let mut call = sample::call("GET", "/orders", Some(200));
        let start = call.time_unix_ns / MINUTE * MINUTE;
        for minute in 0..minutes {
            for n in 0..calls(minute) {
                call.time_unix_ns = start + minute * MINUTE + n;
                let facts = Facts::of(&call, &hasher);
                pace.push(&facts, &DetectSettings::default(), &mut |_| {
                    told.push(minute);
                });
            }
        }
        told
    }

    #[test]
    fn a_caller_far_beyond_its_own_busiest_minute_is_told() {
        assert_eq!(
            told(100, |minute| if minute == 80 { 1_000 } else { 30 }),
            [80]
        );
        // As long as it goes on, again after half an hour, until it is the usual.
        let long = told(300, |minute| if minute >= 80 { 2_000 } else { 30 });
        assert_eq!(long[0], 80);
        assert!(long.len() <= 2, "{long:?}");
    }

    #[test]
    fn what_a_caller_does_now_and_then_is_no_spike() {
        // A job once an hour, and a person who works by day.
        assert!(told(2_000, |minute| if minute % 60 == 0 { 900 } else { 2 }).is_empty());
        assert!(
            told(3_000, |minute| if minute % 1_440 < 480 {
                20 + minute % 50
            } else {
                0
            })
            .is_empty()
        );
        // Few calls are no spike, and a new caller has no usual.
        assert!(told(100, |minute| if minute == 80 { 110 } else { 1 }).is_empty());
        assert!(told(30, |minute| if minute == 20 { 5_000 } else { 1 }).is_empty());
    }
}
