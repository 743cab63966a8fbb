//! One alert.

use serde::{Deserialize, Serialize};

use crate::detect::Finding;

/// What was found about one subject, from the first time to the last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Name of the rule.
    pub rule: String,
    /// `low`, `medium` or `high`.
    pub severity: String,
    /// MITRE ATT&CK technique; empty if there is none.
    pub mitre: String,
    /// A client, an account, or an endpoint.
    pub subject: String,
    /// Address or network of the client, if it is about one.
    #[serde(default)]
    pub client: String,
    /// Routes of the last finding.
    #[serde(default)]
    pub routes: Vec<String>,
    /// Service, if it is known.
    pub service: String,
    /// One plain sentence, of the last finding.
    pub message: String,
    /// Unix time of the first finding, nanoseconds.
    pub first_unix_ns: u64,
    /// Of the last.
    pub last_unix_ns: u64,
    /// Findings.
    pub findings: u64,
    /// When it was last told, Unix time in nanoseconds; 0: not yet, because it is silenced.
    #[serde(default)]
    pub told_unix_ns: u64,
    /// Nothing was found any more for a while.
    pub resolved: bool,
}

impl Alert {
    pub(super) fn of(finding: &Finding) -> Self {
        Self {
            rule: finding.rule.to_string(),
            severity: finding.severity.as_str().to_owned(),
            mitre: finding.mitre.to_string(),
            subject: finding.subject(),
            client: finding.client_text(),
            routes: finding.routes.iter().map(ToString::to_string).collect(),
            service: finding.service.as_deref().unwrap_or_default().to_owned(),
            message: finding.message.to_string(),
            first_unix_ns: finding.time_unix_ns,
            last_unix_ns: finding.time_unix_ns,
            findings: 1,
            told_unix_ns: 0,
            resolved: false,
        }
    }

    /// Findings with the same key are one alert.
    pub(super) fn key(&self) -> String {
        format!("{}\n{}\n{}", self.rule, self.service, self.subject)
    }
}
