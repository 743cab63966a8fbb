//! Bursts of authentication failures.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use super::finding::{Finding, RULES, Severity};
use crate::call::{ApiCall, AuthOutcome, Role};
use crate::recent::Recent;

/// Clients with failures that are remembered. With the default of 10 failures one takes about
/// 300 bytes; an attacker with more addresses than this is not one client any more.
const CLIENTS: usize = 8192;
/// A burst that goes on is reported again after this time, so that an attack of hours is neither
/// one line nor a thousand.
const MIN_REARM: Duration = Duration::from_secs(300);

/// When failures are a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetectSettings {
    /// Failures of one client that make a burst.
    pub auth_failures: u32,
    /// Time within which they must fall.
    pub auth_window: Duration,
}

impl Default for DetectSettings {
    fn default() -> Self {
        Self {
            auth_failures: 10,
            auth_window: Duration::from_secs(60),
        }
    }
}

/// What the detector could not keep or judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DetectCounts {
    /// Clients forgotten because the table was full.
    pub evicted_clients: u64,
    /// Failures whose client is not known, in calls.
    pub unattributed: u64,
}

impl DetectCounts {
    /// Names and values for the metrics.
    pub fn named(&self) -> [(&'static str, u64); 2] {
        let Self {
            evicted_clients,
            unattributed,
        } = *self;
        [
            ("client_evicted", evicted_clients),
            ("failure_unattributed", unattributed),
        ]
    }
}

/// What is known of one client.
#[derive(Debug, Default)]
struct Client {
    /// Times of the last failures, sorted, at most `auth_failures` of them.
    recent: VecDeque<u64>,
    /// Failures since the burst began or was last reported.
    count: u64,
    /// Time of the first of these.
    first: u64,
    /// No finding before this time.
    armed_at: u64,
    routes: Vec<Arc<str>>,
}

/// Watches the failures of each client in a sliding window.
///
/// A client is an address; of IPv6 the /64, because one host has a whole one to choose from
/// (RFC 4291 §2.5.4). Only refused credentials count, never a challenge.
#[derive(Debug)]
pub struct Detector {
    settings: DetectSettings,
    clients: Recent<(Role, IpAddr), Client>,
    unattributed: u64,
}

impl Detector {
    /// A detector that has seen nothing.
    pub fn new(settings: DetectSettings) -> Self {
        Self {
            settings,
            clients: Recent::new(CLIENTS / 2),
            unattributed: 0,
        }
    }

    /// Takes one call into account; a finding follows from it at most once.
    pub fn push(&mut self, call: &ApiCall, out: &mut impl FnMut(Finding)) {
        if call.auth.outcome != AuthOutcome::Failed {
            return;
        }
        let Some(client) = call.client else {
            self.unattributed += 1;
            return;
        };
        let (address, prefix) = network(client.ip());
        let key = (call.role, address);
        if self.clients.get(&key).is_none() {
            self.clients.insert(key, Client::default());
        }
        let Some(entry) = self.clients.get(&key) else {
            return;
        };

        let window = u64::try_from(self.settings.auth_window.as_nanos()).unwrap_or(u64::MAX);
        let wanted = usize::try_from(self.settings.auth_failures)
            .unwrap_or(usize::MAX)
            .max(1);
        let now = call.time_unix_ns;
        entry.add(now, window, wanted, call.route.as_ref());

        let burst = entry.recent.len() >= wanted && now >= entry.armed_at;
        if burst {
            let rearm = self.settings.auth_window.max(MIN_REARM);
            let newest = entry.recent.back().copied().unwrap_or(now);
            let span = Duration::from_nanos(newest.saturating_sub(entry.first));
            out(Finding {
                time_unix_ns: now,
                rule: RULES[0],
                severity: Severity::Medium,
                mitre: "T1110",
                role: call.role,
                client: address,
                client_prefix: prefix,
                service: call.service.clone(),
                count: entry.count,
                span,
                window: self.settings.auth_window,
                routes: std::mem::take(&mut entry.routes),
            });
            entry.count = 0;
            entry.armed_at =
                now.saturating_add(u64::try_from(rearm.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// What could not be kept or judged so far.
    pub fn counts(&self) -> DetectCounts {
        DetectCounts {
            evicted_clients: self.clients.evicted(),
            unattributed: self.unattributed,
        }
    }
}

impl Client {
    /// Adds a failure. Calls end in another order than they begin, so times may go back a little;
    /// a time that is a whole window before the last one belongs to another recording.
    fn add(&mut self, now: u64, window: u64, wanted: usize, route: Option<&Arc<str>>) {
        let newest = self.recent.back().copied().unwrap_or(now);
        let other_recording = now.saturating_add(window) < newest;
        if other_recording {
            *self = Self::default();
        } else if now.saturating_sub(newest) > window {
            // Quiet for a whole window: the burst is over, the next one is a new one.
            *self = Self {
                armed_at: self.armed_at,
                ..Self::default()
            };
        }
        let oldest_kept = self
            .recent
            .back()
            .copied()
            .unwrap_or(now)
            .max(now)
            .saturating_sub(window);
        while self.recent.front().is_some_and(|&time| time < oldest_kept) {
            self.recent.pop_front();
        }
        let at = self.recent.partition_point(|&time| time <= now);
        self.recent.insert(at, now);
        if self.recent.len() > wanted {
            self.recent.pop_front();
        }

        self.first = if self.count == 0 {
            now
        } else {
            self.first.min(now)
        };
        self.count += 1;
        if let Some(route) = route
            && self.routes.len() < Finding::MAX_ROUTES
            && !self.routes.contains(route)
        {
            self.routes.push(Arc::clone(route));
        }
    }
}

/// The address that stands for a client, and how many of its bits count.
fn network(address: IpAddr) -> (IpAddr, u8) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (IpAddr::V4(v4), 32),
        IpAddr::V6(v6) => {
            let masked = Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX));
            (IpAddr::V6(masked), 64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CLIENTS, DetectSettings, Detector};
    use crate::call::{ApiCall, AuthOutcome, AuthScheme};
    use crate::catalog::sample;
    use crate::detect::Finding;
    use std::time::Duration;

    const SECOND: u64 = 1_000_000_000;

    fn failure(client: &str, seconds: u64) -> ApiCall {
        let mut call = sample::call("POST", "/login", Some(401));
        call.time_unix_ns += seconds * SECOND;
        call.client = Some(client.parse().unwrap());
        call.auth.scheme = AuthScheme::Basic;
        call.auth.outcome = AuthOutcome::Failed;
        call.route = Some("/login".into());
        call.service = Some("nginx".into());
        call
    }

    fn detector(auth_failures: u32, seconds: u64) -> Detector {
        Detector::new(DetectSettings {
            auth_failures,
            auth_window: Duration::from_secs(seconds),
        })
    }

    fn findings(detector: &mut Detector, calls: impl IntoIterator<Item = ApiCall>) -> Vec<Finding> {
        let mut out = Vec::new();
        for call in calls {
            detector.push(&call, &mut |finding| out.push(finding));
        }
        out
    }

    #[test]
    fn a_burst_is_one_finding_that_says_who_and_what() {
        let mut detector = detector(5, 10);
        let found = findings(
            &mut detector,
            (0..20).map(|n| failure("192.0.2.7:1", n / 4)),
        );
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].count, 5);
        assert_eq!(found[0].mitre, "T1110");
        assert_eq!(
            found[0].to_string(),
            "192.0.2.7 sent 5 credentials that nginx refused within 1.0 s, on 1 route: \
             someone may be guessing credentials"
        );
    }

    #[test]
    fn failures_spread_wider_than_the_window_are_no_burst() {
        let mut detector = detector(5, 10);
        assert!(
            findings(
                &mut detector,
                (0..50).map(|n| failure("192.0.2.7:1", n * 3))
            )
            .is_empty()
        );
    }

    #[test]
    fn challenges_and_successes_never_count() {
        let mut detector = detector(2, 60);
        let calls = (0..50).map(|n| {
            let mut call = failure("192.0.2.7:1", n / 10);
            call.auth.outcome = if n % 2 == 0 {
                AuthOutcome::Challenge
            } else {
                AuthOutcome::Success
            };
            call
        });
        assert!(findings(&mut detector, calls).is_empty());
    }

    #[test]
    fn an_attack_that_goes_on_is_reported_again_after_the_rearm_time() {
        let mut detector = detector(5, 10);
        let found = findings(&mut detector, (0..700).map(|n| failure("192.0.2.7:1", n)));
        assert_eq!(found.len(), 3);
        assert_eq!(
            (found[0].count, found[1].count, found[2].count),
            (5, 300, 300)
        );
    }

    #[test]
    fn ipv6_clients_are_counted_by_their_network() {
        let mut detector = detector(3, 10);
        let calls = (1..=3).map(|n| failure(&format!("[2001:db8:1:2::{n}]:9"), n));
        let found = findings(&mut detector, calls);
        assert_eq!(found[0].client_text(), "2001:db8:1:2::/64");
        let mapped = [
            "[::ffff:192.0.2.9]:1",
            "192.0.2.9:2",
            "[::ffff:192.0.2.9]:3",
        ];
        let found = findings(&mut detector, mapped.map(|client| failure(client, 20)));
        assert_eq!(found[0].client_text(), "192.0.2.9");
    }

    #[test]
    fn clients_do_not_share_a_count_and_unknown_ones_are_counted_apart() {
        let mut detector = detector(3, 60);
        let calls = (0..40).map(|n| failure(&format!("192.0.2.{}:1", n % 20), 0));
        assert!(findings(&mut detector, calls).is_empty());
        let mut unknown = failure("192.0.2.7:1", 0);
        unknown.client = None;
        assert!(findings(&mut detector, vec![unknown; 9]).is_empty());
        assert_eq!(detector.counts().unattributed, 9);
    }

    #[test]
    fn calls_that_end_out_of_order_count_as_they_happened() {
        let mut detector = detector(4, 10);
        let found = findings(
            &mut detector,
            [9, 2, 7, 1].map(|s| failure("192.0.2.7:1", s)),
        );
        assert_eq!(found.len(), 1);
        let older = [0, 0, 0].map(|s| {
            let mut call = failure("192.0.2.7:1", s);
            call.time_unix_ns -= 3600 * SECOND;
            call
        });
        assert!(findings(&mut detector, older).is_empty());
    }

    #[test]
    fn a_flood_of_clients_is_bounded_and_counted() {
        let mut detector = detector(5, 60);
        let calls = (0..40_000u32).map(|n| {
            let mut call = failure("192.0.2.7:1", 0);
            call.client = Some((n.to_be_bytes(), 1).into());
            call
        });
        assert!(findings(&mut detector, calls).is_empty());
        assert!(detector.clients.len() <= CLIENTS);
        assert!(detector.counts().evicted_clients >= 40_000 - CLIENTS as u64);
    }
}
