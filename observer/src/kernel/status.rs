//! What the kernel half can say of itself: probes, ledger, TLS libraries.

use std::sync::Arc;

use crate::discover::placement::LibraryPlan;

/// What became of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// Loaded and attached: it runs.
    Attached,
    /// The kernel accepted the program; it is attached when there is something to attach to.
    Loaded,
    /// It does not run, and why.
    Failed(String),
    /// It was not tried, and why.
    NotTried(String),
    /// It does not run because another probe does its work: which, and why that one.
    Replaced(String),
}

/// One row of the probe table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeStatus {
    /// Name of the program in the kernel half.
    pub name: &'static str,
    /// What it hooks, such as `cgroup_skb/ingress` or `tp_btf/sock_send_length`.
    pub hook: &'static str,
    /// What it is for, one line.
    pub purpose: &'static str,
    /// The agent cannot capture anything without it.
    pub required: bool,
    /// What became of it.
    pub outcome: ProbeOutcome,
}

/// Calls and bytes of one line of the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Segments, or calls of a library function.
    pub calls: u64,
    /// Payload bytes.
    pub bytes: u64,
}

/// The books of one source of bytes: `seen = delivered + filtered + skipped + lost`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceLedger {
    /// `packets`, `functions` or `tls`.
    pub source: &'static str,
    /// All that passed the probe.
    pub seen: Count,
    /// Handed to the user half.
    pub delivered: Count,
    /// Left out on purpose, by reason.
    pub filtered: Vec<(&'static str, Count)>,
    /// Bodies that nobody needs.
    pub skipped: Count,
    /// Wanted but not delivered, by reason.
    pub lost: Vec<(&'static str, Count)>,
    /// Among those lost to a full ring: what began with a request of HTTP/1. So the number of
    /// requests is known where their content is not.
    pub lost_requests: Count,
}

/// A TLS library in a process: attached or not, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsAttachment {
    /// Process id.
    pub pid: u32,
    /// Process name.
    pub process: String,
    /// Library and version as far as known, such as `openssl 3.0.19`.
    pub library: String,
    /// Path of the mapped file as the process sees it.
    pub path: String,
    /// Where its probes go, if places were found.
    pub plan: Option<Arc<LibraryPlan>>,
    /// `None`: attached. `Some`: why not, and what would help.
    pub refused: Option<String>,
}
