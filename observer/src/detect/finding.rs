//! What a detection says.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::call::Role;

/// Names of all rules, so that a metric exists before the first finding.
pub const RULES: [&str; 1] = ["auth_failure_burst"];

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
    /// Name of the rule, one of [`RULES`].
    pub rule: &'static str,
    /// How much attention it asks for.
    pub severity: Severity,
    /// MITRE ATT&CK technique.
    pub mitre: &'static str,
    /// Which end was observed: `Server` if the failures came in, `Client` if this host made them.
    pub role: Role,
    /// Address of the client; for IPv6 the network.
    pub client: IpAddr,
    /// Bits of `client` that count: 32, or 64 for an IPv6 network.
    pub client_prefix: u8,
    /// Service of the last failure.
    pub service: Option<Arc<str>>,
    /// Failures since the burst began or was last reported.
    pub count: u64,
    /// Time from the first of these failures to the last.
    pub span: Duration,
    /// The window that the rule looks at.
    pub window: Duration,
    /// Different routes among the failures, in the order seen; at most
    /// [`Finding::MAX_ROUTES`].
    pub routes: Vec<Arc<str>>,
}

impl Finding {
    /// Routes that a finding lists: enough to see what was aimed at.
    pub const MAX_ROUTES: usize = 16;

    /// The client as text: an address, or an IPv6 network with its length.
    pub fn client_text(&self) -> String {
        match self.client {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("{address}/{}", self.client_prefix),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.client_text();
        let seconds = self.span.as_secs_f64();
        let routes = self.routes.len();
        let more = if routes >= Self::MAX_ROUTES {
            "or more "
        } else {
            ""
        };
        let plural = if routes == 1 { "" } else { "s" };
        let service = self.service.as_deref().unwrap_or("an unknown service");
        match self.role {
            Role::Server => write!(
                out,
                "{client} sent {} credentials that {service} refused",
                self.count
            )?,
            Role::Client => write!(
                out,
                "{service} on this host ({client}) sent {} credentials that were refused",
                self.count
            )?,
        }
        write!(
            out,
            " within {seconds:.1} s, on {routes} {more}route{plural}: someone may be guessing credentials"
        )
    }
}
