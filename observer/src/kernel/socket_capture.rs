//! Where the bytes of sockets are taken.

/// Where the bytes of sockets are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SocketCapture {
    /// TCP from packets, Unix sockets and kernel TLS from socket functions, as far as each loads;
    /// TCP from socket functions too where packets do not.
    #[default]
    Auto,
    /// Packets only.
    Packets,
    /// Socket functions only.
    Functions,
    /// Socket functions only, and those by kprobes, whatever else the kernel has.
    Kprobes,
}

impl SocketCapture {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Packets, Self::Functions, Self::Kprobes];

    /// The word used in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Packets => "packets",
            Self::Functions => "functions",
            Self::Kprobes => "kprobes",
        }
    }

    /// Whether TCP is to be taken at socket functions only.
    pub(super) const fn by_functions(self) -> bool {
        matches!(self, Self::Functions | Self::Kprobes)
    }
}
