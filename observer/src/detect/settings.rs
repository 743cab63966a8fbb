//! When something is noticed. Names as in the analytics of MITRE ATT&CK where they have one.

use std::time::Duration;

/// Thresholds of the detections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetectSettings {
    /// Guesses of one source, or at one account, that make a burst.
    pub auth_failures: u32,
    /// Time within which they must fall (`TimeWindow`).
    pub auth_window: Duration,
    /// Accounts that one source must fail at to be spraying (`DistinctUsernameCount`).
    pub distinct_username_count: u32,
    /// Share of failures among the authentications of a source (`LoginFailureRatio`), per cent:
    /// many people behind one address mostly succeed.
    pub login_failure_ratio: u32,
    /// Guesses within a day that are a slow attack.
    pub slow_failures: u32,
    /// Paths that were never served, asked for by one source within a minute.
    pub distinct_paths: u32,
    /// Objects of one endpoint that one caller asks for within ten minutes.
    pub distinct_objects: u32,
    /// How many times the usual the calls of a minute must be, to be a spike.
    pub spike_factor: u32,
}

impl Default for DetectSettings {
    fn default() -> Self {
        Self {
            auth_failures: 5,
            auth_window: Duration::from_secs(60),
            distinct_username_count: 5,
            login_failure_ratio: 80,
            slow_failures: 30,
            distinct_paths: 10,
            distinct_objects: 50,
            spike_factor: 4,
        }
    }
}

impl DetectSettings {
    /// The window, nanoseconds.
    pub(super) fn window_ns(&self) -> u64 {
        u64::try_from(self.auth_window.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Failures have at least the share that an attack has.
    pub(super) fn mostly_failures(&self, failures: u64, successes: u64) -> bool {
        failures * 100 >= (failures + successes) * u64::from(self.login_failure_ratio)
    }
}
