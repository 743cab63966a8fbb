//! What is telling about a request or an answer, as bits: enough to judge by, nothing of its text.

use std::ops::{BitOr, BitOrAssign};

/// A set of signs. Of what they were read from, nothing is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Signs(u32);

impl Signs {
    /// Nothing is telling.
    pub const NONE: Self = Self(0);
    /// The user agent names itself a scanner of weaknesses.
    pub const SCANNER: Self = Self(1);
    /// The target climbs out of its folder, or names a system's own files.
    pub const TRAVERSAL: Self = Self(1 << 1);
    /// The target holds what SQL would run.
    pub const SQL: Self = Self(1 << 2);
    /// The target holds what a browser would run.
    pub const SCRIPT: Self = Self(1 << 3);
    /// Target or user agent hold what a shell, an expression language or a template would run.
    pub const CODE: Self = Self(1 << 4);
    /// The path names a file that is never meant to be served: hidden, a copy, a dump, a key.
    pub const PRIVATE_FILE: Self = Self(1 << 5);
    /// The target asks for another server, as a proxy is asked.
    pub const PROXY: Self = Self(1 << 6);
    /// The path is one through which programs of many hosts were taken over.
    pub const EXPLOIT_PATH: Self = Self(1 << 7);
    /// The traversal, SQL or code was hidden behind encodings that no honest client uses.
    pub const HIDDEN: Self = Self(1 << 8);
    /// A credential is part of the query.
    pub const QUERY_CREDENTIAL: Self = Self(1 << 9);
    /// `WWW-Authenticate` says `invalid_token` (RFC 6750 §3.1).
    pub const INVALID_TOKEN: Self = Self(1 << 16);
    /// `WWW-Authenticate` says that the token expired.
    pub const EXPIRED_TOKEN: Self = Self(1 << 17);
    /// `WWW-Authenticate` says `insufficient_scope` (RFC 6750 §3.1).
    pub const SCOPE: Self = Self(1 << 18);
    /// `WWW-Authenticate: Digest` says `stale=true`: the password was right (RFC 7616 §3.3).
    pub const STALE: Self = Self(1 << 19);
    /// The answer sets a cookie that names a session.
    pub const SETS_SESSION: Self = Self(1 << 20);
    /// The answer redirects to a page to log in.
    pub const TO_LOGIN: Self = Self(1 << 21);

    /// All of these are in the set.
    pub const fn has(self, signs: Self) -> bool {
        self.0 & signs.0 == signs.0
    }

    /// Any of these is in the set.
    pub const fn any(self, signs: Self) -> bool {
        self.0 & signs.0 != 0
    }
}

impl BitOr for Signs {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Signs {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
