//! Tells when the audit log itself needs attention: what it counts becomes a finding.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::audit::AuditCounts;
use crate::call::Role;
use crate::detect::{Finding, rule};

/// A log that goes on failing is told again after this time; alerts have times of their own.
const AGAIN: Duration = Duration::from_secs(60);

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct AuditWatch {
    before: AuditCounts,
    told: Option<Instant>,
}

impl AuditWatch {
    /// Looks at the counts; a finding if something went wrong since it was last told.
    pub(super) fn look(&mut self, counts: AuditCounts, now: Instant) -> Option<Finding> {
        let Self { before, told } = self;
        let lost = counts.queue_full + counts.disk;
        let alarms = counts.alarms > before.alarms;
        let failing =
            counts.failed_writes > before.failed_writes || lost > before.queue_full + before.disk;
        let lately = told.is_some_and(|told| now.duration_since(told) < AGAIN);
        if !alarms && (!failing || lately) {
            return None;
        }
        (*before, *told) = (counts, Some(now));
        let message = match (alarms, counts.failed_writes) {
            (true, _) => {
                "the audit log is not the one that was signed or witnessed: `observer audit verify` tells more".to_owned()
            }
            (false, 0) => {
                format!("the audit log cannot keep up: {lost} calls are missing in it so far")
            }
            (false, _) => {
                format!("the audit log cannot be written: {lost} calls are missing in it so far")
            }
        };
        let rule = rule("audit_log_failing")?;
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        Some(Finding {
            time_unix_ns: time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(0)),
            rule: rule.name.into(),
            severity: rule.severity,
            mitre: rule.mitre.into(),
            role: Role::Server,
            client: None,
            client_prefix: 0,
            identity: None,
            service: Some("observer".into()),
            count: lost,
            distinct: 0,
            span: Duration::ZERO,
            window: AGAIN,
            routes: Vec::new(),
            message: message.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{AGAIN, AuditWatch};
    use crate::audit::AuditCounts;
    use std::time::Instant;

    #[test]
    fn a_failure_is_told_once_a_minute_and_an_alarm_at_once() {
        let mut watch = AuditWatch::default();
        let start = Instant::now();
        let mut counts = AuditCounts::default();
        assert_eq!(watch.look(counts, start), None);
        counts.failed_writes = 1;
        counts.disk = 7;
        let told = watch.look(counts, start).unwrap();
        assert!(
            told.message.contains("7 calls") && told.count == 7,
            "{told}"
        );
        counts.disk = 9;
        assert_eq!(watch.look(counts, start), None);
        assert!(watch.look(counts, start + AGAIN).is_some());
        assert_eq!(watch.look(counts, start + AGAIN * 3), None);
        counts.alarms = 1;
        let told = watch.look(counts, start + AGAIN).unwrap();
        assert!(told.message.contains("signed or witnessed"), "{told}");
    }
}
