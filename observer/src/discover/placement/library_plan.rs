//! Where the probes of one library go.

use super::ProbePoint;

/// Probe points of one library file, ready to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryPlan {
    /// Library and its version as far as known, such as `openssl 3.0.19`.
    pub library: String,
    /// Where the probes go. A [`super::Site::Entry`] is always followed by the `Return` or
    /// `CallReturn` of the same function.
    pub points: Vec<ProbePoint>,
    /// What a reader of the report should know: functions left out, slow places, and why.
    pub notes: Vec<String>,
}
