//! Where calls are judged.

/// Which thread names, judges and counts calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallsPlace {
    /// As suits the processors of the host.
    #[default]
    Auto,
    /// One of their own.
    Apart,
    /// The capture thread.
    Capture,
}

impl CallsPlace {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Apart, Self::Capture];

    /// The word used in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Apart => "apart",
            Self::Capture => "capture",
        }
    }
}
