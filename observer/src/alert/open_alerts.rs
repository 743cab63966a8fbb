//! The alerts that are open.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::note::Alert;
use crate::detect::Finding;

/// Alerts open at once: more than any person reads. A further one replaces the oldest.
const MOST_OPEN: usize = 1024;
/// A list of open alerts is not longer, bytes.
const MOST_BYTES: u64 = 16 << 20;

/// Makes alerts of findings.
#[derive(Debug)]
pub struct OpenAlerts {
    open: BTreeMap<String, Alert>,
    cooldown_ns: u64,
    resolve_ns: u64,
}

impl OpenAlerts {
    /// No alerts. One that goes on is told again after `cooldown`; one of which nothing was found
    /// for `resolve` is over.
    pub fn new(cooldown: Duration, resolve: Duration) -> Self {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self {
            open: BTreeMap::new(),
            cooldown_ns: ns(cooldown),
            resolve_ns: ns(resolve),
        }
    }

    /// Goes on with the alerts of an earlier run.
    pub fn restore(&mut self, alerts: Vec<Alert>) {
        for alert in alerts.into_iter().take(MOST_OPEN) {
            self.open.insert(alert.key(), alert);
        }
    }

    /// Takes a finding; returns the alert if it is to be told now. `is_silent`: it is not to be
    /// told, until that ends.
    pub fn push(&mut self, finding: &Finding, is_silent: impl Fn(&Alert) -> bool) -> Option<Alert> {
        let new = Alert::of(finding);
        let key = new.key();
        if !self.open.contains_key(&key) && self.open.len() >= MOST_OPEN {
            let oldest = self.open.iter().min_by_key(|(_, alert)| alert.last_unix_ns);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.open.remove(&oldest);
            }
        }
        let alert = self
            .open
            .entry(key)
            .and_modify(|alert| {
                alert.findings += 1;
                alert.last_unix_ns = alert.last_unix_ns.max(new.last_unix_ns);
                alert.message.clone_from(&new.message);
                alert.routes.clone_from(&new.routes);
            })
            .or_insert(new);
        let since = alert.last_unix_ns.saturating_sub(alert.told_unix_ns);
        if alert.told_unix_ns != 0 && since < self.cooldown_ns || is_silent(alert) {
            return None;
        }
        alert.told_unix_ns = alert.last_unix_ns;
        Some(alert.clone())
    }

    /// The alerts that are over at this time; they are open no longer. Those that nobody was told
    /// of end as quietly.
    pub fn resolve(&mut self, now_unix_ns: u64) -> Vec<Alert> {
        let resolve = self.resolve_ns;
        let over = self.open.extract_if(.., |_, alert| {
            now_unix_ns.saturating_sub(alert.last_unix_ns) >= resolve
        });
        over.map(|(_, alert)| Alert {
            resolved: true,
            ..alert
        })
        .collect()
    }

    /// All that are open.
    pub fn list(&self) -> Vec<&Alert> {
        self.open.values().collect()
    }
}

/// Reads the list that a running agent keeps in its state folder.
///
/// # Errors
/// Those of reading; a list that is none.
pub fn read_open(state: &Path) -> io::Result<Vec<Alert>> {
    use io::Read as _;
    let mut text = String::new();
    std::fs::File::open(state.join("alerts").join("open.json"))?
        .take(MOST_BYTES)
        .read_to_string(&mut text)?;
    serde_json::from_str(&text).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::{MOST_OPEN, OpenAlerts};
    use crate::call::Role;
    use crate::detect::{Finding, RULES};
    use std::time::Duration;

    const SECOND: u64 = 1_000_000_000;

    fn finding(second: u64, subject: &str) -> Finding {
        Finding {
            time_unix_ns: 1_000_000 * SECOND + second * SECOND,
            rule: RULES[0].name.into(),
            severity: RULES[0].severity,
            mitre: RULES[0].mitre.into(),
            role: Role::Server,
            client: None,
            client_prefix: 0,
            identity: Some(subject.into()),
            service: Some("shop".into()),
            count: 1,
            distinct: 1,
            span: Duration::ZERO,
            window: Duration::ZERO,
            routes: Vec::new(),
            message: format!("at {second}").into(),
        }
    }

    fn open() -> OpenAlerts {
        OpenAlerts::new(Duration::from_secs(60), Duration::from_secs(100))
    }

    #[test]
    fn what_is_found_again_is_one_alert_told_again_after_its_cooldown() {
        let mut open = open();
        let told: Vec<u64> = (0..150)
            .filter(|second| open.push(&finding(*second, "alice"), |_| false).is_some())
            .collect();
        assert_eq!(told, [0, 60, 120]);
        assert!(
            open.push(&finding(150, "bob"), |_| false).is_some(),
            "another subject is another alert"
        );
        let list = open.list();
        assert_eq!(list.len(), 2);
        assert_eq!(
            (list[0].findings, list[0].message.as_str()),
            (150, "at 149")
        );
    }

    #[test]
    fn an_alert_is_over_once_nothing_was_found_for_its_time() {
        let mut open = open();
        open.push(&finding(0, "alice"), |_| false);
        let at = |second: u64| (1_000_000 + second) * SECOND;
        assert!(open.resolve(at(99)).is_empty());
        let over = open.resolve(at(100));
        assert!(over.len() == 1 && over[0].resolved && open.list().is_empty());
        let again = open.push(&finding(110, "alice"), |_| false);
        assert!(
            again.is_some_and(|alert| alert.findings == 1),
            "it is a new alert"
        );
    }

    #[test]
    fn a_silenced_alert_is_listed_and_told_once_the_silence_ends() {
        let mut open = open();
        for second in 0..10 {
            assert!(open.push(&finding(second, "alice"), |_| true).is_none());
        }
        assert_eq!(open.list().len(), 1);
        let told = open.push(&finding(10, "alice"), |_| false);
        assert_eq!(told.map(|alert| alert.findings), Some(11));
    }

    #[test]
    fn a_restart_neither_tells_again_nor_forgets() {
        let mut before = open();
        before.push(&finding(0, "alice"), |_| false);
        before.push(&finding(0, "bob"), |_| true);
        let mut after = open();
        after.restore(before.list().into_iter().cloned().collect());
        assert!(after.push(&finding(30, "alice"), |_| false).is_none());
        assert!(after.push(&finding(30, "bob"), |_| false).is_some());
        assert!(after.push(&finding(61, "alice"), |_| false).is_some());
    }

    #[test]
    fn an_attacker_with_many_names_takes_bounded_memory() {
        let mut open = open();
        for n in 0..3_000 {
            open.push(&finding(n, &format!("user{n}")), |_| false);
        }
        assert_eq!(open.list().len(), MOST_OPEN);
        assert!(open.list().iter().any(|alert| alert.subject == "user2999"));
    }
}
