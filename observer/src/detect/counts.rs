//! What the detections could not keep or judge.

/// What the detections could not keep or judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DetectCounts {
    /// Sources, accounts, credentials and endpoints forgotten because a table was full.
    pub evicted: u64,
    /// Failures whose client is not known, in calls.
    pub failure_unattributed: u64,
}

impl DetectCounts {
    /// Names and values for the metrics.
    pub fn named(&self) -> [(&'static str, u64); 2] {
        let Self {
            evicted,
            failure_unattributed,
        } = *self;
        [
            ("evicted", evicted),
            ("failure_unattributed", failure_unattributed),
        ]
    }
}
