//! The last checkpoint of a log that is being written, for those who take it elsewhere.

use std::sync::{Arc, Mutex, PoisonError};

use super::edge::Edge;

/// A checkpoint that is on the disk, and the tree as it was then.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) note: Arc<str>,
    pub(super) edge: Arc<Edge>,
}

/// A place where the writer of the log puts its last checkpoint. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Anchor(Arc<Mutex<Option<Signed>>>);

impl Anchor {
    /// The last checkpoint, a signed note; `None` before the first.
    pub fn checkpoint(&self) -> Option<Arc<str>> {
        self.signed().map(|signed| signed.note)
    }

    /// Records under it; 0 before the first.
    pub fn size(&self) -> u64 {
        self.signed().map_or(0, |signed| signed.edge.size())
    }

    pub(super) fn signed(&self) -> Option<Signed> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn put(&self, signed: Signed) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(signed);
    }
}
