//! Whether the agent does its work.

use std::sync::{Arc, Mutex, PoisonError};

/// State that `/healthz` shows. Cheap to clone; clones share it. It begins as not ready.
#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<Option<String>>>);

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some("starting".to_owned()))))
    }
}

impl Health {
    /// The agent captures.
    pub fn ready(&self) {
        self.set(None);
    }

    /// The agent does not do its work, and why.
    pub fn failed(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    /// `None` if all is well, else the reason.
    pub fn problem(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, problem: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}
