//! The proxies that are believed.

use std::net::IpAddr;
use std::sync::Arc;

/// Which peers are believed when they name a client or a user. By default none is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Their networks: address and how many of its bits count.
    pub networks: Arc<[(IpAddr, u8)]>,
    /// Whoever calls over a Unix socket is believed too.
    pub unix_sockets: bool,
    /// The one field that names the client; `None`: the usual ones.
    pub client_field: Option<Box<str>>,
    /// Fields that name a user, besides the usual ones.
    pub user_fields: Arc<[Box<str>]>,
}

impl TrustedProxies {
    /// Some peer is trusted.
    pub fn any(&self) -> bool {
        self.unix_sockets || !self.networks.is_empty()
    }

    /// This peer is trusted; `None`: it has no address.
    pub fn trust(&self, peer: Option<IpAddr>) -> bool {
        match peer.map(|peer| peer.to_canonical()) {
            Some(peer) => self.networks.iter().any(|network| holds(network, peer)),
            None => self.unix_sockets,
        }
    }
}

fn holds((network, bits): &(IpAddr, u8), address: IpAddr) -> bool {
    let same = |one: u128, other: u128, width: u32| {
        let ignored = width.saturating_sub(u32::from(*bits));
        one.checked_shr(ignored) == other.checked_shr(ignored)
    };
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => same(
            u128::from(network.to_bits()),
            u128::from(address.to_bits()),
            32,
        ),
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            same(network.to_bits(), address.to_bits(), 128)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::TrustedProxies;

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        let trusted = TrustedProxies {
            networks: [
                ("10.0.0.0", 8),
                ("192.0.2.7", 32),
                ("fd00::", 8),
                ("2001:db8::1", 128),
            ]
            .map(|(ip, bits)| (ip.parse().unwrap(), bits))
            .into(),
            ..TrustedProxies::default()
        };
        for (peer, expected) in [
            ("10.255.0.1", true),
            ("::ffff:10.1.1.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("fdab::1", true),
            ("fe80::1", false),
            ("2001:db8::1", true),
            ("2001:db8::2", false),
        ] {
            assert_eq!(trusted.trust(peer.parse().ok()), expected, "{peer}");
        }
        assert!(!trusted.trust(None) && trusted.any());
        assert!(!TrustedProxies::default().any());
        let all = TrustedProxies {
            networks: [("0.0.0.0".parse().unwrap(), 0)].into(),
            ..TrustedProxies::default()
        };
        assert!(all.trust("203.0.113.9".parse().ok()));
        assert!(!all.trust("2001:db8::1".parse().ok()));
    }
}
