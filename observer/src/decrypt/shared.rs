//! What all connections share that may be opened.

use std::sync::Arc;

use super::{DecryptCounts, KeyLog};

/// Memory of records that are not whole yet, of all connections, bytes: a thousand connections
/// with a large record under way in both directions.
const LIMIT: usize = 32 << 20;

/// Secrets, counters, and the memory that records under way take.
#[derive(Debug, Default)]
pub struct DecryptShared {
    /// The secrets.
    pub keys: Arc<KeyLog>,
    /// Counters.
    pub counts: DecryptCounts,
    /// Memory in use, bytes.
    pub bytes: usize,
}

impl DecryptShared {
    /// Nothing but the secrets.
    pub fn new(keys: Arc<KeyLog>) -> Self {
        Self {
            keys,
            ..Self::default()
        }
    }

    pub(super) fn account(&mut self, before: usize, after: usize) {
        self.bytes = self.bytes.saturating_sub(before).saturating_add(after);
    }

    pub(super) fn is_over_budget(&self) -> bool {
        self.bytes > LIMIT
    }
}
