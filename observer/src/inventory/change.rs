//! A route that got another name.

use serde::{Deserialize, Serialize};

/// A route that got another name, as evidence grew or the interface changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// Unix time, milliseconds.
    pub time_ms: u64,
    /// The name before.
    pub old: String,
    /// The name since.
    pub new: String,
    /// The new one takes in what the old one named (routes merged); else it is a part of what the
    /// old one named (a route split).
    pub merged: bool,
}
