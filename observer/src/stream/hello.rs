//! What the two hellos of a TLS connection say in the clear.

/// A protocol version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// SSL 3.0 (RFC 6101).
    Ssl30,
    /// TLS 1.0 (RFC 2246).
    Tls10,
    /// TLS 1.1 (RFC 4346).
    Tls11,
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl TlsVersion {
    /// The version of a number on the wire (RFC 8446 4.2.1); `None` for GREASE and unknown ones.
    pub const fn of(number: u16) -> Option<Self> {
        Some(match number {
            0x0300 => Self::Ssl30,
            0x0301 => Self::Tls10,
            0x0302 => Self::Tls11,
            0x0303 => Self::Tls12,
            0x0304 => Self::Tls13,
            _ => return None,
        })
    }

    /// As OpenSSL names it, such as `TLSv1.3`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ssl30 => "SSLv3",
            Self::Tls10 => "TLSv1",
            Self::Tls11 => "TLSv1.1",
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }
}

/// What the hellos of a connection said, as far as they were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsHello {
    /// The host the client asked for (server name indication, RFC 6066 3), in lower case.
    pub server_name: Option<Box<str>>,
    /// The newest version the client offered.
    pub version_offered: Option<TlsVersion>,
    /// Protocols the client offered (ALPN, RFC 7301), in its order, the first eight.
    pub alpn_offered: Vec<Box<str>>,
    /// The version the server chose: the one in use.
    pub version: Option<TlsVersion>,
    /// The cipher suite the server chose, by its number in the IANA registry.
    pub cipher: Option<u16>,
    /// The protocol the server chose, where it says so in the clear (up to TLS 1.2).
    pub alpn: Option<Box<str>>,
    /// Whether the connection goes on from an earlier one (TLS 1.3: the server took a key that both
    /// had, RFC 8446 4.2.11; before: it gave back the session that the client named, RFC 5246
    /// 7.4.1.3 and RFC 5077 3.4). `None`: the hellos do not tell.
    pub resumed: Option<bool>,
}
