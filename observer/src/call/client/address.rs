//! One hop, as a proxy names it.

use std::net::{IpAddr, SocketAddr};

/// Who a proxy says it was asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::call) enum Hop {
    /// An address; port 0 if none was given.
    Address(SocketAddr),
    /// The proxy does not say (RFC 7239 §6.2, §6.3).
    Hidden,
    /// No address at all: no proxy writes that.
    Garbage,
}

impl Hop {
    /// Reads a node of `Forwarded` (RFC 7239 §6) or an entry of `X-Forwarded-For`, which have the
    /// same forms in practice, quoted or not.
    pub(in crate::call) fn of(text: &str) -> Self {
        let text = text.trim().trim_matches('"').trim();
        if text.is_empty() || text.starts_with('_') || text.eq_ignore_ascii_case("unknown") {
            return Self::Hidden;
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Self::Address(SocketAddr::new(address.to_canonical(), 0));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            let ip = address.ip().to_canonical();
            return Self::Address(SocketAddr::new(ip, address.port()));
        }
        // The port may be hidden too (RFC 7239 §6.3).
        match text.rsplit_once(":_") {
            Some((node, _)) if !node.contains(":_") => Self::of(node),
            _ => Self::Garbage,
        }
    }

    /// Nobody asks from there through a proxy: the host itself, no address, or all hosts.
    pub(in crate::call) fn is_impossible(self) -> bool {
        match self {
            Self::Address(address) => {
                let ip = address.ip();
                let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
                ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || broadcast
            }
            Self::Hidden => false,
            Self::Garbage => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Hop;

    #[test]
    fn all_forms_of_a_node_are_read() {
        for (text, expected) in [
            ("192.0.2.43", "192.0.2.43:0"),
            (" 192.0.2.43:47011 ", "192.0.2.43:47011"),
            ("\"[2001:db8:cafe::17]\"", "[2001:db8:cafe::17]:0"),
            ("\"[2001:db8:cafe::17]:4711\"", "[2001:db8:cafe::17]:4711"),
            ("2001:db8:cafe::17", "[2001:db8:cafe::17]:0"),
            ("::ffff:192.0.2.1", "192.0.2.1:0"),
            ("\"192.0.2.43:_obfuscated\"", "192.0.2.43:0"),
        ] {
            let expected = expected.parse().map(Hop::Address);
            assert_eq!(Ok(Hop::of(text)), expected, "{text}");
        }
        for hidden in [
            "unknown",
            "Unknown",
            "_hidden",
            "_SEVKISEK",
            "",
            "\"_gazonk\"",
        ] {
            assert_eq!(Hop::of(hidden), Hop::Hidden, "{hidden}");
        }
        for garbage in ["localhost", "192.0.2", "192.0.2.1:x", "<script>", ":_:_:_a"] {
            assert_eq!(Hop::of(garbage), Hop::Garbage, "{garbage}");
        }
    }
}
