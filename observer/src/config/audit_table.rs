//! The settings of the audit log.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::table::{Given, Setting, boolean, duration, list, show_list, string, toml_string};
use super::values::{in_range, parse_size, show_size, show_time};
use crate::audit::{ReaderKey, SamplingRule, WitnessAddress};

/// Below this every disk is busy with syncing; above it too much is at stake.
const AUDIT_COMMIT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(10);
/// An idle log grows by this; a day of silence is the longest that still tells a stop from a lull.
const AUDIT_HEARTBEAT: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(86_400);
/// A new key costs three syncs and a small file.
const AUDIT_KEY_EPOCH: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(366 * 86_400);
/// Less is no log; ten years is more than any rule asks for.
const AUDIT_MAX_AGE: RangeInclusive<Duration> =
    Duration::from_secs(3600)..=Duration::from_secs(3660 * 86_400);
/// Two segments at least: one is being written.
const AUDIT_MAX_BYTES: RangeInclusive<u64> = (128 << 20)..=(64 << 40);

/// Each is a request to another host.
const WITNESS_EVERY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// Those of the audit log.
pub(super) const AUDIT: &[Setting] = &[
    Setting {
        key: "audit.enabled",
        doc: &["Write the audit log, in the folder `audit` under `state_dir`. Flag: --audit."],
        set: |settings, given| {
            settings.audit.enabled = boolean(given)?;
            Ok(())
        },
        show: |settings| Some(settings.audit.enabled.to_string()),
        example: "",
    },
    Setting {
        key: "audit.commit",
        doc: &["Records are safe on the disk after this time at most: 10ms to 10s."],
        set: |settings, given| {
            settings.audit.commit = duration(given, &AUDIT_COMMIT)?;
            Ok(())
        },
        show: |settings| Some(toml_string(&show_time(settings.audit.commit))),
        example: "",
    },
    Setting {
        key: "audit.heartbeat",
        doc: &["Without calls for this time, the log says that the agent is alive: 1s to 1d."],
        set: |settings, given| {
            settings.audit.heartbeat = duration(given, &AUDIT_HEARTBEAT)?;
            Ok(())
        },
        show: |settings| Some(toml_string(&show_time(settings.audit.heartbeat))),
        example: "",
    },
    Setting {
        key: "audit.key_epoch",
        doc: &[
            "The signing key is replaced after this time, and the old one destroyed: 1m to 366d.",
        ],
        set: |settings, given| {
            settings.audit.key_epoch = duration(given, &AUDIT_KEY_EPOCH)?;
            Ok(())
        },
        show: |settings| Some(toml_string(&show_time(settings.audit.key_epoch))),
        example: "",
    },
    Setting {
        key: "audit.max_age",
        doc: &["What is older than this is removed, in whole segments: 1h to 3660d."],
        set: |settings, given| {
            settings.audit.max_age = duration(given, &AUDIT_MAX_AGE)?;
            Ok(())
        },
        show: |settings| Some(toml_string(&show_time(settings.audit.max_age))),
        example: "",
    },
    Setting {
        key: "audit.max_bytes",
        doc: &[
            "The oldest is removed, in whole segments, while the log is larger: 128MiB to 65536GiB.",
        ],
        set: |settings, given| {
            let bytes = match given {
                Given::Integer(bytes) => bytes,
                given => parse_size(string(given)?)?,
            };
            settings.audit.max_bytes = in_range(bytes, &AUDIT_MAX_BYTES, show_size)?;
            Ok(())
        },
        show: |settings| Some(toml_string(&show_size(settings.audit.max_bytes))),
        example: "",
    },
    Setting {
        key: "audit.sample",
        doc: &[
            "Calls that succeed and have no record: \"0 /health\", \"1/100 GET nginx:/static/*\" (one",
            "of a hundred is kept). Failures and logins always have one; the rest is counted.",
        ],
        set: |settings, given| {
            settings.audit.sample = list(given, |one| SamplingRule::parse(string(one)?))?;
            Ok(())
        },
        show: |settings| {
            let rules = settings.audit.sample.iter();
            show_list(rules.map(|rule| toml_string(&rule.to_string())))
        },
        example: "",
    },
    Setting {
        key: "audit.readers",
        doc: &[
            "Keys of those who can read records (`observer audit keygen`). If any are given, records",
            "are sealed, and searches need --key; verification does not.",
        ],
        set: |settings, given| {
            settings.audit.readers = list(given, |one| ReaderKey::parse(string(one)?))?;
            Ok(())
        },
        show: |settings| {
            let readers = settings.audit.readers.iter();
            show_list(readers.map(|reader| toml_string(&reader.to_string())))
        },
        example: "",
    },
    Setting {
        key: "audit.witnesses",
        doc: &[
            "Other hosts that sign which checkpoint they saw last (C2SP tlog-witness), each as",
            "\"KEY http://host:port/prefix\"; `observer audit witness` is one.",
        ],
        set: |settings, given| {
            settings.audit.witnesses = list(given, |one| WitnessAddress::parse(string(one)?))?;
            Ok(())
        },
        show: |settings| {
            let witnesses = settings.audit.witnesses.iter();
            show_list(witnesses.map(|witness| toml_string(&witness.to_string())))
        },
        example: "",
    },
    Setting {
        key: "audit.witness_every",
        doc: &["How often they are asked, while the log grows: 1s to 1h."],
        set: |settings, given| {
            settings.audit.witness_every = duration(given, &WITNESS_EVERY)?;
            Ok(())
        },
        show: |settings| Some(toml_string(&show_time(settings.audit.witness_every))),
        example: "",
    },
];
