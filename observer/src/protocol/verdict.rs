//! What a connection speaks, told as soon as it is known.

/// What a connection speaks. All but [`Verdict::Http1`] and [`Verdict::Http2`] mean: no more
/// calls will come of it, the capture may stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2 (RFC 9113).
    Http2,
    /// TLS records: its plaintext must be taken from the library.
    Tls,
    /// It left HTTP, by Upgrade (RFC 9110 §7.8) or CONNECT (§9.3.6).
    Upgraded,
    /// Something else.
    NotHttp,
}

impl Verdict {
    /// The word used in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Tls => "tls",
            Self::Upgraded => "upgraded",
            Self::NotHttp => "not_http",
        }
    }

    /// More calls may come.
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http1 | Self::Http2)
    }
}
