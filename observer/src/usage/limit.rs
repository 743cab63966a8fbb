//! A limit of the settings.

use std::time::Duration;

use super::dimension::Dimension;
use super::measure::Measured;
use super::period::Period;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Calls.
    Calls,
    /// Body bytes, both ways.
    Bytes,
    /// Calls that failed.
    Errors,
    /// Refused credentials.
    Failures,
}

impl Counted {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Calls, Self::Bytes, Self::Errors, Self::Failures];

    /// The word used in settings and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Bytes => "bytes",
            Self::Errors => "errors",
            Self::Failures => "failures",
        }
    }

    pub(super) const fn of(self, measured: Measured) -> u64 {
        match self {
            Self::Calls => measured.calls,
            Self::Bytes => measured.bytes,
            Self::Errors => measured.errors,
            Self::Failures => measured.failures,
        }
    }
}

/// Over what time a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitWindow {
    /// The last so much time. Starts empty at a start of the agent.
    Sliding(Duration),
    /// A part of the calendar: a quota. Goes on over restarts.
    Calendar(Period),
}

/// What is done about an excess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is told.
    Alert,
    /// It is told, and the client is dropped for a time.
    Block,
}

impl Action {
    /// The word used in settings and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Block => "block",
        }
    }
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Whom it is for: a name as in `observer usage`, the beginning of one with `*` after it, or
    /// `*` for each.
    pub key: String,
    /// By what it counts.
    pub per: Dimension,
    /// What it counts.
    pub count: Counted,
    /// So much may be used.
    pub limit: u64,
    /// In this time.
    pub window: LimitWindow,
    /// What is done beyond it.
    pub action: Action,
}

impl Limit {
    /// Whether it is for this name.
    pub(super) fn is_for(&self, name: &str) -> bool {
        match self.key.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == self.key,
        }
    }

    /// The window in words.
    pub fn window_text(&self) -> String {
        match self.window {
            LimitWindow::Calendar(period) => period.as_str().to_owned(),
            LimitWindow::Sliding(length) => format!("{}s", length.as_secs()),
        }
    }

    /// What stays the same while only the number or the action is changed: use goes on counting.
    pub fn id(&self) -> String {
        let Self {
            key,
            per,
            count,
            limit: _,
            window: _,
            action: _,
        } = self;
        let window = self.window_text();
        format!("{} {} {window} {key}", per.as_str(), count.as_str())
    }
}
