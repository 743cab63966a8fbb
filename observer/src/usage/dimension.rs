//! By what usage is told apart.

/// What one row of usage stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// A caller: kind and name, such as `basic:ana`.
    Identity,
    /// A client's address; of IPv6 the /64.
    Client,
    /// Service, method and route.
    Endpoint,
    /// A service.
    Service,
}

impl Dimension {
    /// All of them, in the order shown.
    pub const ALL: [Self; 4] = [Self::Identity, Self::Client, Self::Endpoint, Self::Service];

    /// The word used in settings, flags and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Client => "client",
            Self::Endpoint => "endpoint",
            Self::Service => "service",
        }
    }

    /// The one of this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}
