//! What the agent says of itself in the log: OCSF Application Lifecycle (6002).

use serde_json::json;

use super::record_head::{APPLICATION_LIFECYCLE, RecordHead};

/// Something that happened to the agent or to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnEvent {
    /// The log was opened.
    Start {
        /// SHA-256 of the settings in force, hexadecimal.
        settings: String,
        /// Bytes at the end of the log that were not a whole record and were dropped.
        dropped_bytes: u64,
        /// The run before was not ended in order: what it had not committed is missing.
        cut_off: bool,
    },
    /// The clock of the host was set back by this, milliseconds: times before and after this
    /// record do not follow each other.
    ClockBack {
        /// From the latest time before to the time of this record.
        back_ms: u64,
    },
    /// The log was closed in order.
    Stop,
    /// The agent is alive and saw nothing.
    Heartbeat,
    /// The settings differ from those of the run before.
    SettingsChange {
        /// SHA-256 before, hexadecimal.
        before: String,
        /// SHA-256 now.
        now: String,
    },
    /// Records are missing here, and this many.
    Loss {
        /// Records.
        records: u64,
        /// `queue_full`: the log could not keep up; `disk`: it could not be written.
        reason: &'static str,
    },
    /// Records were safe on the disk later than they should be, since the last such record.
    CommitLate {
        /// Commits that ended too late.
        commits: u64,
        /// The longest time from a record that was given until it was safe, milliseconds.
        worst_ms: u64,
        /// The time that was promised, milliseconds.
        window_ms: u64,
    },
    /// Calls that a rule of the settings left out since the last such record.
    LeftOut {
        /// The rule.
        rule: String,
        /// Calls.
        calls: u64,
    },
    /// The log is not what its last checkpoint says it was.
    Alarm {
        /// What is wrong.
        what: String,
        /// Size that the checkpoint gives.
        checkpoint_size: u64,
        /// Size that was found.
        found_size: u64,
    },
    /// Checkpoints after this record are signed with another key.
    KeyEpoch {
        /// Number of the new epoch; the first is 0.
        epoch: u32,
        /// Public half of the new key.
        vkey: String,
    },
    /// Records after this one are sealed with another data key.
    DataKey {
        /// Name of the key, and of its file.
        id: String,
        /// SHA-256 of that file, hexadecimal.
        sha256: String,
    },
    /// Somebody has reviewed the log.
    Review {
        /// Who.
        reviewer: String,
        /// What they have to say.
        remarks: String,
        /// Records that there were.
        size: u64,
    },
    /// Alerts are silenced, or are told again.
    Silence {
        /// Begun, else ended before its time.
        begun: bool,
        /// What it covers.
        what: String,
        /// When it ends, RFC 3339.
        until: String,
        /// Who asked for it.
        by: String,
        /// Why.
        comment: String,
    },
    /// Other rules of users are in force.
    RulesChange {
        /// SHA-256 of the rules before, hexadecimal; empty at a start.
        before: String,
        /// SHA-256 now.
        now: String,
        /// How many there are.
        rules: u64,
    },
    /// Rules of users were changed and are wrong: those before stay in force.
    RulesRefused {
        /// Which file and line, and what is wrong.
        error: String,
    },
    /// Traffic was not captured, since the last such record.
    CaptureLoss {
        /// Segments and library calls.
        events: u64,
    },
    /// Segments with all records before `first` are removed.
    Retention {
        /// First index that is kept.
        first: u64,
    },
}

type Parts = (u32, &'static str, u32, serde_json::Value);

/// A record of activity, its name, severity and details.
fn record_of(
    (activity, name, severity, details): Parts,
    index: Option<u64>,
    time_ms: u64,
) -> (RecordHead, String) {
    let head = RecordHead {
        time_ms,
        class: APPLICATION_LIFECYCLE,
        status: None,
    };
    let version = env!("CARGO_PKG_VERSION");
    let mut rest = json!({
        "category_uid": 6,
        "activity_id": activity,
        "activity_name": name,
        "type_uid": APPLICATION_LIFECYCLE * 100 + activity,
        "severity_id": severity,
        "metadata": {
            "version": super::ocsf::SCHEMA_VERSION,
            "product": {"name": "observer", "version": version},
            "log_name": super::ocsf::LOG_NAME,
            "sequence": index,
        },
        "app": {"name": "observer", "version": version},
        "unmapped": details,
    });
    if index.is_none()
        && let Some(metadata) = rest.get_mut("metadata").and_then(|it| it.as_object_mut())
    {
        metadata.remove("sequence");
    }
    let rest = rest.to_string();
    let mut record = String::new();
    head.push(&mut record);
    record.push(',');
    record.push_str(rest.get(1..).unwrap_or_default());
    (head, record)
}

/// A checkpoint as a record, for those who get records and should hold an anchor: no record of the
/// log.
pub fn checkpoint_record(note: &str, time_ms: u64) -> String {
    record_of(
        (99, "checkpoint", 1, json!({"checkpoint": note})),
        None,
        time_ms,
    )
    .1
}

impl OwnEvent {
    /// The record with this index.
    pub(super) fn record(&self, index: u64, time_ms: u64) -> (RecordHead, String) {
        let (activity, name, severity, details) = match self {
            Self::Start {
                settings,
                dropped_bytes,
                cut_off,
            } => (
                3,
                "start",
                1,
                json!({"settings_sha256": settings, "dropped_bytes": dropped_bytes, "cut_off": cut_off}),
            ),
            Self::ClockBack { back_ms } => (99, "clock_back", 3, json!({"back_ms": back_ms})),
            Self::Stop => (4, "stop", 1, json!({})),
            Self::Heartbeat => (99, "heartbeat", 1, json!({})),
            Self::SettingsChange { before, now } => (
                99,
                "settings_change",
                2,
                json!({"before_sha256": before, "settings_sha256": now}),
            ),
            Self::Loss { records, reason } => {
                (99, "loss", 3, json!({"records": records, "reason": reason}))
            }
            Self::CommitLate {
                commits,
                worst_ms,
                window_ms,
            } => (
                99,
                "commit_late",
                2,
                json!({"commits": commits, "worst_ms": worst_ms, "window_ms": window_ms}),
            ),
            Self::LeftOut { rule, calls } => {
                (99, "left_out", 1, json!({"records": calls, "reason": rule}))
            }
            Self::Alarm {
                what,
                checkpoint_size,
                found_size,
            } => (
                99,
                "alarm",
                5,
                json!({"what": what, "checkpoint_size": checkpoint_size, "found_size": found_size}),
            ),
            Self::KeyEpoch { epoch, vkey } => {
                (99, "key_epoch", 1, json!({"epoch": epoch, "vkey": vkey}))
            }
            Self::DataKey { id, sha256 } => {
                (99, "data_key", 1, json!({"id": id, "sha256": sha256}))
            }
            Self::Review {
                reviewer,
                remarks,
                size,
            } => (
                99,
                "review",
                1,
                json!({"reviewer": reviewer, "remarks": remarks, "size": size}),
            ),
            Self::Silence {
                begun,
                what,
                until,
                by,
                comment,
            } => (
                99,
                if *begun { "silence" } else { "silence_end" },
                2,
                json!({"what": what, "until": until, "by": by, "comment": comment}),
            ),
            Self::RulesChange { before, now, rules } => (
                99,
                "rules_change",
                2,
                json!({"before_sha256": before, "rules_sha256": now, "rules": rules}),
            ),
            Self::RulesRefused { error } => (99, "rules_refused", 3, json!({"error": error})),
            Self::CaptureLoss { events } => (99, "capture_loss", 3, json!({"events": events})),
            Self::Retention { first } => (99, "retention", 1, json!({"first": first})),
        };
        record_of((activity, name, severity, details), Some(index), time_ms)
    }

    /// One of each, for tests.
    #[cfg(test)]
    pub(super) fn samples() -> Vec<Self> {
        let hash = || "00".repeat(32);
        vec![
            Self::Start {
                settings: hash(),
                dropped_bytes: 3,
                cut_off: true,
            },
            Self::ClockBack { back_ms: 3_600_000 },
            Self::Stop,
            Self::Heartbeat,
            Self::SettingsChange {
                before: hash(),
                now: hash(),
            },
            Self::Loss {
                records: 7,
                reason: "disk",
            },
            Self::CommitLate {
                commits: 2,
                worst_ms: 700,
                window_ms: 200,
            },
            Self::LeftOut {
                rule: "1/100 GET /health".to_owned(),
                calls: 8,
            },
            Self::Alarm {
                what: "text".to_owned(),
                checkpoint_size: 2,
                found_size: 1,
            },
            Self::KeyEpoch {
                epoch: 1,
                vkey: "name+id+key".to_owned(),
            },
            Self::DataKey {
                id: "0011223344556677".to_owned(),
                sha256: hash(),
            },
            Self::Review {
                reviewer: "A. Reviewer".to_owned(),
                remarks: "nothing odd".to_owned(),
                size: 9,
            },
            Self::Silence {
                begun: true,
                what: "rule scanner".to_owned(),
                until: "2026-11-22T10:20:30Z".to_owned(),
                by: "root".to_owned(),
                comment: "a test of our own".to_owned(),
            },
            Self::Silence {
                begun: false,
                what: "rule scanner".to_owned(),
                until: "2026-11-22T10:20:30Z".to_owned(),
                by: "root".to_owned(),
                comment: String::new(),
            },
            Self::RulesChange {
                before: String::new(),
                now: hash(),
                rules: 3,
            },
            Self::RulesRefused {
                error: "a.yml:3: text".to_owned(),
            },
            Self::CaptureLoss { events: 4 },
            Self::Retention { first: 9 },
        ]
    }

    /// Reads those events back that say how to read the log.
    pub(super) fn parse(record: &[u8]) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_slice(record).ok()?;
        let details = value.get("unmapped")?;
        let number = |key: &str| details.get(key).and_then(serde_json::Value::as_u64);
        let text = |key: &str| details.get(key)?.as_str().map(str::to_owned);
        match value.get("activity_name")?.as_str()? {
            "key_epoch" => Some(Self::KeyEpoch {
                epoch: u32::try_from(number("epoch")?).ok()?,
                vkey: text("vkey")?,
            }),
            "retention" => Some(Self::Retention {
                first: number("first")?,
            }),
            "loss" => Some(Self::Loss {
                records: number("records")?,
                reason: match text("reason")?.as_str() {
                    "disk" => "disk",
                    _ => "queue_full",
                },
            }),
            "commit_late" => Some(Self::CommitLate {
                commits: number("commits")?,
                worst_ms: number("worst_ms")?,
                window_ms: number("window_ms")?,
            }),
            "data_key" => Some(Self::DataKey {
                id: text("id")?,
                sha256: text("sha256")?,
            }),
            "left_out" => Some(Self::LeftOut {
                rule: text("reason")?,
                calls: number("records")?,
            }),
            "alarm" => Some(Self::Alarm {
                what: text("what")?,
                checkpoint_size: number("checkpoint_size")?,
                found_size: number("found_size")?,
            }),
            "start" => Some(Self::Start {
                settings: text("settings_sha256")?,
                dropped_bytes: number("dropped_bytes")?,
                cut_off: details.get("cut_off")?.as_bool()?,
            }),
            "clock_back" => Some(Self::ClockBack {
                back_ms: number("back_ms")?,
            }),
            "stop" => Some(Self::Stop),
            _ => None,
        }
    }
}
