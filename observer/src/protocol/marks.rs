//! What was odd about one message, as a set.

/// A set of oddities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    /// Nothing odd.
    pub const NONE: Self = Self(0);
    /// The message ended early.
    pub const CUT: Self = Self(1);
    /// Bytes inside it were not captured, and nobody asked for that.
    pub const GAP: Self = Self(2);
    /// A line was folded or ended by a bare LF, or a field had to be passed over.
    pub const LAX: Self = Self(4);
    /// Its lengths contradict each other (RFC 9112 §6.3).
    pub const CONFLICT: Self = Self(8);
    /// It takes the connection out of HTTP.
    pub const UPGRADE: Self = Self(16);
    /// Its header block is longer, or in more pieces, than any honest sender needs.
    pub const FLOOD: Self = Self(32);
    /// Some of its fields refer to what was sent before the connection was observed.
    pub const UNKNOWN: Self = Self(64);
    /// An endpoint gave up on it (RFC 9113 §6.4, §6.8).
    pub const RESET: Self = Self(128);

    /// Adds oddities.
    pub const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// All of these are in the set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
