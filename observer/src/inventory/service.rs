//! What is known of one service.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::change::Change;
use super::endpoint::Endpoint;

/// A program that serves, or served, calls of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Program {
    /// Name of the process.
    pub name: String,
    /// Process id of the one seen last.
    pub pid: u32,
    /// systemd unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Container id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// What people call the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// Package that the executable is from; `None` if it is from none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
}

/// Sums over the calls of a service, and what serves them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Unix time of the first call, milliseconds.
    pub first_seen_ms: u64,
    /// Unix time of the latest call, milliseconds.
    pub last_seen_ms: u64,
    /// By path of the executable, or name of the process where that is not known.
    pub programs: BTreeMap<String, Program>,
    /// Addresses on which its processes listen.
    pub listening: BTreeSet<String>,
    /// Addresses that calls came to.
    pub addresses: BTreeSet<String>,
    /// Calls by protocol, such as `http/1.1 over TLS`.
    pub protocols: BTreeMap<String, u64>,
    /// Calls by TLS library and version of the protocol.
    pub tls: BTreeMap<String, u64>,
    /// Calls on paths that were never served.
    pub unmatched: u64,
    /// Routes that got another name, the latest last.
    pub changes: Vec<Change>,
    /// By method and route, such as `GET /users/{id}`.
    pub endpoints: BTreeMap<String, Endpoint>,
}
