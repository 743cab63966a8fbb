//! What is usual at an endpoint, minute by minute, and what is far from it.

use std::time::Duration;

use super::facts::Facts;
use super::finding::Finding;
use super::rule::{ERROR_ANOMALY, LATENCY_ANOMALY, Rule, TRAFFIC_DROP, TRAFFIC_SPIKE};
use super::settings::DetectSettings;

const MINUTE: u64 = 60_000_000_000;
/// Minutes before anything is said.
const WARM: u32 = 30;
/// Minutes of one hour of the day before that hour is judged by itself.
const WARM_HOUR: u8 = 60;
/// How much a minute counts: half of what is known is an hour old.
const WEIGHT: f32 = 1.0 / 64.0;
/// Fewer calls in a minute are no spike.
const LEAST_SPIKE: f32 = 60.0;
/// Fewer expected calls a minute cannot drop.
const LEAST_DROP: f32 = 20.0;
/// Minutes that a drop lasts before it is told.
const DROP_MINUTES: u8 = 3;
/// Fewer calls say nothing of errors or time.
const LEAST_CALLS: f32 = 20.0;
/// Share of errors that is never told, and times the usual.
const LEAST_ERRORS: f32 = 0.2;
/// Times the usual, of errors and of time.
const TIMES: f32 = 4.0;
/// Answers faster than this are never slow, ms.
const LEAST_MS: f32 = 50.0;
/// What goes on is told again after this.
const REARM: u64 = 30 * MINUTE;

/// Calls of one minute.
#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    calls: f32,
    errors: f32,
    time_ms: f32,
}

/// Counts of calls are over-dispersed: mean and variance are both learned.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    minute: u64,
    now: Minute,
    spike_at: f32,
    minutes: u32,
    mean: f32,
    variance: f32,
    hours: Vec<(f32, u8)>,
    error_share: f32,
    time_ms: f32,
    low: u8,
    slow: u8,
    reported: [u64; 4],
}

impl Baseline {
    pub(super) fn push(
        &mut self,
        facts: &Facts<'_>,
        settings: &DetectSettings,
        out: &mut impl FnMut(Finding),
    ) {
        let minute = facts.now / MINUTE;
        if minute > self.minute || self.minute == 0 || minute + 60 < self.minute {
            self.turn(minute, facts, settings, out);
        }
        self.now.calls += 1.0;
        if matches!(facts.call.status, Some(500..=599))
            || facts
                .call
                .grpc_status
                .is_some_and(|status| matches!(status, 2 | 4 | 8 | 13 | 14 | 15))
        {
            self.now.errors += 1.0;
        }
        if let Some(ns) = facts.call.answer_time_ns() {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of an average")]
            {
                self.now.time_ms += ns as f32 / 1e6;
            }
        }
        if self.now.calls > self.spike_at && self.minutes >= WARM {
            let (calls, usual) = (self.now.calls, self.expected(minute));
            let message = format!(
                "{} of {} got more than {calls:.0} calls within a minute; about {usual:.0} are usual at this hour",
                facts.endpoint(),
                facts.service()
            );
            self.tell(0, TRAFFIC_SPIKE, message, calls, facts, out);
            self.spike_at = f32::INFINITY;
        }
    }

    fn expected(&self, minute: u64) -> f32 {
        let hour = usize::try_from(minute / 60 % 24).unwrap_or(0);
        match self.hours.get(hour) {
            Some((mean, WARM_HOUR..)) => *mean,
            _ => self.mean,
        }
    }

    fn tell(
        &mut self,
        which: usize,
        rule: Rule,
        message: String,
        count: f32,
        facts: &Facts<'_>,
        out: &mut impl FnMut(Finding),
    ) {
        let Some(reported) = self.reported.get_mut(which) else {
            return;
        };
        if facts.now.abs_diff(*reported) < REARM {
            return;
        }
        *reported = facts.now;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of calls"
        )]
        let count = count as u64;
        out(Finding {
            client: None,
            count,
            window: Duration::from_nanos(MINUTE),
            ..facts.finding(rule, message)
        });
    }

    /// A minute is over; those without any call were over too.
    fn turn(
        &mut self,
        minute: u64,
        facts: &Facts<'_>,
        settings: &DetectSettings,
        out: &mut impl FnMut(Finding),
    ) {
        let first = self.minute == 0 || minute < self.minute;
        let last = std::mem::take(&mut self.now);
        let passed = if first { 0 } else { minute - self.minute };
        // A gap of more than a day is a gap in what is known, not a day without calls.
        if passed > 24 * 60 {
            *self = Self {
                minute,
                ..Self::default()
            };
            return;
        }
        for step in 0..passed {
            let of = if step == 0 { last } else { Minute::default() };
            let at = self.minute + step;
            self.judge(at, of, facts, settings, out);
            self.learn(at, of);
        }
        self.minute = minute;
        #[expect(clippy::cast_precision_loss, reason = "a factor below a hundred")]
        let factor = settings.spike_factor as f32;
        let expected = self.expected(minute);
        self.spike_at =
            (expected * factor + 6.0 * self.variance.max(expected).sqrt()).max(LEAST_SPIKE);
    }

    fn judge(
        &mut self,
        at: u64,
        of: Minute,
        facts: &Facts<'_>,
        settings: &DetectSettings,
        out: &mut impl FnMut(Finding),
    ) {
        if self.minutes < WARM {
            return;
        }
        let expected = self.expected(at);
        #[expect(clippy::cast_precision_loss, reason = "a factor below a hundred")]
        let factor = settings.spike_factor as f32;
        let low = expected >= LEAST_DROP
            && of.calls < expected / factor
            && of.calls < expected - 4.0 * self.variance.max(expected).sqrt();
        self.low = if low { self.low.saturating_add(1) } else { 0 };
        let (endpoint, service) = (facts.endpoint(), facts.service());
        if self.low == DROP_MINUTES {
            let message = format!(
                "{endpoint} of {service} got {:.0} calls a minute for {DROP_MINUTES} minutes; about {expected:.0} are usual at this hour",
                of.calls
            );
            self.tell(1, TRAFFIC_DROP, message, of.calls, facts, out);
        }
        if of.calls >= LEAST_CALLS {
            let share = of.errors / of.calls;
            if share >= LEAST_ERRORS && share >= TIMES * self.error_share {
                let message = format!(
                    "{:.0} % of the answers of {endpoint} of {service} were errors of the server within a minute; {:.1} % are usual",
                    share * 100.0,
                    self.error_share * 100.0
                );
                self.tell(2, ERROR_ANOMALY, message, of.errors, facts, out);
            }
            let mean = of.time_ms / of.calls;
            let slow = mean >= LEAST_MS && mean >= TIMES * self.time_ms;
            self.slow = if slow { self.slow.saturating_add(1) } else { 0 };
            if self.slow == 2 {
                let message = format!(
                    "answers of {endpoint} of {service} took {mean:.0} ms on average for two minutes; {:.0} ms are usual",
                    self.time_ms
                );
                self.tell(3, LATENCY_ANOMALY, message, of.calls, facts, out);
            }
        }
    }

    fn learn(&mut self, at: u64, of: Minute) {
        self.minutes = self.minutes.saturating_add(1);
        // What is far off is learned only in part: an incident does not become the usual.
        let warm = self.minutes > WARM;
        let most = self.mean * 2.0 + 3.0 * self.variance.max(self.mean).sqrt();
        let calls = if warm {
            of.calls.min(most.max(1.0))
        } else {
            of.calls
        };
        #[expect(clippy::cast_precision_loss, reason = "at most thirty")]
        let weight = if warm {
            WEIGHT
        } else {
            1.0 / self.minutes as f32
        };
        let off = calls - self.mean;
        self.mean += weight * off;
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
        if self.hours.is_empty() {
            self.hours = vec![(0.0, 0); 24];
        }
        let hour = usize::try_from(at / 60 % 24).unwrap_or(0);
        if let Some((mean, seen)) = self.hours.get_mut(hour) {
            *seen = seen.saturating_add(1);
            *mean += (calls - *mean) * WEIGHT.max(1.0 / f32::from(*seen));
        }
        if of.calls > 0.0 {
            let share = of.errors / of.calls;
            let mean = of.time_ms / of.calls;
            let normal = !warm || share < LEAST_ERRORS.max(TIMES * self.error_share);
            if normal {
                self.error_share += weight * (share - self.error_share);
            }
            if !warm || mean < TIMES * self.time_ms.max(1.0) {
                self.time_ms += weight * (mean - self.time_ms);
            }
        }
    }
}
