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
    /// Each with when it was last told.
    open: BTreeMap<String, (Alert, u64)>,
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
            let told = alert.last_unix_ns;
            self.open.insert(alert.key(), (alert, told));
        }
    }

    /// Takes a finding; returns the alert if it is to be told now.
    pub fn push(&mut self, finding: &Finding) -> Option<Alert> {
        let new = Alert::of(finding);
        let key = new.key();
        if let Some((alert, told)) = self.open.get_mut(&key) {
            alert.findings += 1;
            alert.last_unix_ns = alert.last_unix_ns.max(new.last_unix_ns);
            alert.message = new.message;
            if alert.last_unix_ns.saturating_sub(*told) < self.cooldown_ns {
                return None;
            }
            *told = alert.last_unix_ns;
            return Some(alert.clone());
        }
        if self.open.len() >= MOST_OPEN {
            let oldest = self
                .open
                .iter()
                .min_by_key(|(_, (alert, _))| alert.last_unix_ns);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.open.remove(&oldest);
            }
        }
        self.open.insert(key, (new.clone(), new.last_unix_ns));
        Some(new)
    }

    /// The alerts that are over at this time; they are open no longer.
    pub fn resolve(&mut self, now_unix_ns: u64) -> Vec<Alert> {
        let resolve = self.resolve_ns;
        let over = self.open.extract_if(.., |_, (alert, _)| {
            now_unix_ns.saturating_sub(alert.last_unix_ns) >= resolve
        });
        over.map(|(_, (alert, _))| Alert {
            resolved: true,
            ..alert
        })
        .collect()
    }

    /// All that are open.
    pub fn list(&self) -> Vec<&Alert> {
        self.open.values().map(|(alert, _)| alert).collect()
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
