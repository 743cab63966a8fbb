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

impl OwnEvent {
    /// The record with this index.
    pub(super) fn record(&self, index: u64, time_ms: u64) -> (RecordHead, String) {
        let (activity, name, severity, details) = match self {
            Self::Start {
                settings,
                dropped_bytes,
            } => (
                3,
                "start",
                1,
                json!({"settings_sha256": settings, "dropped_bytes": dropped_bytes}),
            ),
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
        let head = RecordHead {
            time_ms,
            class: APPLICATION_LIFECYCLE,
            status: None,
        };
        let version = env!("CARGO_PKG_VERSION");
        let rest = json!({
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
        })
        .to_string();
        let mut record = String::new();
        head.push(&mut record);
        record.push(',');
        record.push_str(rest.get(1..).unwrap_or_default());
        (head, record)
    }

    /// One of each, for tests.
    #[cfg(test)]
    pub(super) fn samples() -> Vec<Self> {
        let hash = || "00".repeat(32);
        vec![
            Self::Start {
                settings: hash(),
                dropped_bytes: 3,
            },
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
            Self::Alarm {
                what: "text".to_owned(),
                checkpoint_size: 2,
                found_size: 1,
            },
            Self::KeyEpoch {
                epoch: 1,
                vkey: "name+id+key".to_owned(),
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
            "alarm" => Some(Self::Alarm {
                what: text("what")?,
                checkpoint_size: number("checkpoint_size")?,
                found_size: number("found_size")?,
            }),
            "start" => Some(Self::Start {
                settings: text("settings_sha256")?,
                dropped_bytes: number("dropped_bytes")?,
            }),
            _ => None,
        }
    }
}
