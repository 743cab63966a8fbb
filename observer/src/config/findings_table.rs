//! The settings of what is noticed.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::table::{Given, Setting, integer, string, toml_string};
use super::values::{in_range, show_time, time};

/// One failure is no burst; each failure wanted costs memory for each client.
const AUTH_FAILURES: RangeInclusive<u64> = 2..=256;
/// A window of hours would hold the failures of a whole day's typing errors.
const AUTH_WINDOW: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// One is nothing; more than sixty different things of one client are not told apart.
const DISTINCT: RangeInclusive<u64> = 2..=60;
const PER_CENT: RangeInclusive<u64> = 1..=100;
const SLOW_FAILURES: RangeInclusive<u64> = 5..=10_000;
const SPIKE_FACTOR: RangeInclusive<u64> = 2..=100;

/// Those of findings.
pub(super) const FINDINGS: &[Setting] = &[
    Setting {
        key: "detect.auth_failures",
        doc: &["Refused credentials of one client that make a burst: 2 to 256."],
        set: |settings, given| {
            let count = in_range(integer(given)?, &AUTH_FAILURES, |n| n.to_string())?;
            settings.detect.auth_failures = u32::try_from(count).unwrap_or(u32::MAX);
            Ok(())
        },
        show: |settings| Some(settings.detect.auth_failures.to_string()),
        example: "",
    },
    Setting {
        key: "detect.auth_window",
        doc: &["Time within which they must fall: 1s to 1h."],
        set: |settings, given| {
            let window = match given {
                Given::Integer(_) => return Err("needs a unit: write \"60s\"".to_owned()),
                given => time(string(given)?)?,
            };
            settings.detect.auth_window = in_range(window, &AUTH_WINDOW, show_time)?;
            Ok(())
        },
        show: |settings| Some(toml_string(&show_time(settings.detect.auth_window))),
        example: "",
    },
    Setting {
        key: "detect.distinct_username_count",
        doc: &["Accounts that one client must fail at within that time to be spraying: 2 to 60."],
        set: |settings, given| {
            let count = in_range(integer(given)?, &DISTINCT, |n| n.to_string())?;
            settings.detect.distinct_username_count = u32::try_from(count).unwrap_or(u32::MAX);
            Ok(())
        },
        show: |settings| Some(settings.detect.distinct_username_count.to_string()),
        example: "",
    },
    Setting {
        key: "detect.login_failure_ratio",
        doc: &[
            "Share of failures, per cent, that an attack has; many people behind one address mostly succeed: 1 to 100.",
        ],
        set: |settings, given| {
            let count = in_range(integer(given)?, &PER_CENT, |n| n.to_string())?;
            settings.detect.login_failure_ratio = u32::try_from(count).unwrap_or(u32::MAX);
            Ok(())
        },
        show: |settings| Some(settings.detect.login_failure_ratio.to_string()),
        example: "",
    },
    Setting {
        key: "detect.slow_failures",
        doc: &["Different credentials refused within a day that are a slow attack: 5 to 10000."],
        set: |settings, given| {
            let count = in_range(integer(given)?, &SLOW_FAILURES, |n| n.to_string())?;
            settings.detect.slow_failures = u32::try_from(count).unwrap_or(u32::MAX);
            Ok(())
        },
        show: |settings| Some(settings.detect.slow_failures.to_string()),
        example: "",
    },
    Setting {
        key: "detect.distinct_paths",
        doc: &["Paths that do not exist, asked for by one client within a minute: 2 to 60."],
        set: |settings, given| {
            let count = in_range(integer(given)?, &DISTINCT, |n| n.to_string())?;
            settings.detect.distinct_paths = u32::try_from(count).unwrap_or(u32::MAX);
            Ok(())
        },
        show: |settings| Some(settings.detect.distinct_paths.to_string()),
        example: "",
    },
    Setting {
        key: "detect.distinct_objects",
        doc: &["Objects of one endpoint that one caller asks for within ten minutes: 2 to 60."],
        set: |settings, given| {
            let count = in_range(integer(given)?, &DISTINCT, |n| n.to_string())?;
            settings.detect.distinct_objects = u32::try_from(count).unwrap_or(u32::MAX);
            Ok(())
        },
        show: |settings| Some(settings.detect.distinct_objects.to_string()),
        example: "",
    },
    Setting {
        key: "detect.spike_factor",
        doc: &["Times the usual that the calls of a minute must be to be a spike: 2 to 100."],
        set: |settings, given| {
            let count = in_range(integer(given)?, &SPIKE_FACTOR, |n| n.to_string())?;
            settings.detect.spike_factor = u32::try_from(count).unwrap_or(u32::MAX);
            Ok(())
        },
        show: |settings| Some(settings.detect.spike_factor.to_string()),
        example: "",
    },
    Setting {
        key: "detect.rules",
        doc: &[
            "Folder of Sigma rules (.yml), read again when they change. What is wrong in them is an error,",
            "and the rules before stay in force. deploy/rules has examples and the names of fields.",
        ],
        set: |settings, given| {
            let text = string(given)?;
            if text.is_empty() {
                return Err("is empty: use the path of a folder".to_owned());
            }
            settings.rules = Some(PathBuf::from(text));
            Ok(())
        },
        show: |settings| {
            settings
                .rules
                .as_ref()
                .map(|at| toml_string(&at.to_string_lossy()))
        },
        example: "\"/etc/observer/rules\"",
    },
];
