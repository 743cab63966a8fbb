//! Settings of the audit log.

use std::time::Duration;

use super::sampling::SamplingRule;
use super::sealing::ReaderKey;
use super::witness::WitnessAddress;

/// How the log is written and how long it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// The log is written at all.
    pub enabled: bool,
    /// Longest time a record is not on the disk: what a crash of the machine can take.
    pub commit: Duration,
    /// Time without a record after which the agent says that it is alive.
    pub heartbeat: Duration,
    /// Time after which the signing key is replaced and the old one destroyed.
    pub key_epoch: Duration,
    /// Whole segments older than this are removed.
    pub max_age: Duration,
    /// Whole segments are removed, oldest first, while all together are larger, bytes.
    pub max_bytes: u64,
    /// Calls that are left out. Failures never are.
    pub sample: Vec<SamplingRule>,
    /// Who can read records; if there is nobody, they are not sealed.
    pub readers: Vec<ReaderKey>,
    /// Who signs which checkpoint they saw.
    pub witnesses: Vec<WitnessAddress>,
    /// How often they are asked, while the log grows.
    pub witness_every: Duration,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            commit: Duration::from_millis(200),
            heartbeat: Duration::from_secs(60),
            key_epoch: Duration::from_secs(86_400),
            max_age: Duration::from_secs(366 * 86_400),
            max_bytes: 16 << 30,
            sample: Vec::new(),
            readers: Vec::new(),
            witnesses: Vec::new(),
            witness_every: Duration::from_secs(10),
        }
    }
}
