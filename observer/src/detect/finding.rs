//! What a detection says.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::call::Role;

/// How much attention a finding asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Look at it today.
    Medium,
    /// Look at it now.
    High,
}

impl Severity {
    /// The word used in JSON, metrics and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A detection with its evidence. `Display` gives the sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Unix time of the call that completed the evidence, nanoseconds.
    pub time_unix_ns: u64,
    /// Name of the rule, one of [`super::RULES`] or of the user's.
    pub rule: Cow<'static, str>,
    /// How much attention it asks for.
    pub severity: Severity,
    /// MITRE ATT&CK technique; empty if a rule of the user's names none.
    pub mitre: Cow<'static, str>,
    /// Which end was observed: `Server` if the calls came in, `Client` if this host made them.
    pub role: Role,
    /// Address of the client, if it is about one; for IPv6 the network.
    pub client: Option<IpAddr>,
    /// Bits of `client` that count: 32, or 64 for an IPv6 network, less for a wider one.
    pub client_prefix: u8,
    /// Account or fingerprint of the credential, if it is about one.
    pub identity: Option<Arc<str>>,
    /// Service of the last call.
    pub service: Option<Arc<str>>,
    /// Calls that are the evidence.
    pub count: u64,
    /// Different things among them (accounts, credentials, paths, …); 0 where that says nothing.
    pub distinct: u64,
    /// Time from the first of these calls to the last.
    pub span: Duration,
    /// The window that the rule looks at.
    pub window: Duration,
    /// Different routes among the calls, in the order seen; at most [`Finding::MAX_ROUTES`].
    pub routes: Vec<Arc<str>>,
    /// One plain sentence.
    pub message: Box<str>,
}

impl Finding {
    /// Routes that a finding lists: enough to see what was aimed at.
    pub const MAX_ROUTES: usize = 16;

    /// The client as text: an address, or a network with its length; empty if it is about none.
    pub fn client_text(&self) -> String {
        client_text(self.client, self.client_prefix)
    }

    /// What the finding is about, as one text: findings of one rule about one subject are one
    /// alert.
    pub fn subject(&self) -> String {
        match (&self.identity, self.client) {
            (Some(identity), _) => identity.to_string(),
            (None, Some(_)) => self.client_text(),
            (None, None) => format!(
                "{} {}",
                self.service.as_deref().unwrap_or("-"),
                self.routes.first().map_or("-", |route| route)
            ),
        }
    }
}

/// An address or network as text.
pub(super) fn client_text(client: Option<IpAddr>, prefix: u8) -> String {
    match client {
        None => String::new(),
        Some(IpAddr::V4(address)) if prefix == 32 => address.to_string(),
        Some(address) => format!("{address}/{prefix}"),
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}
