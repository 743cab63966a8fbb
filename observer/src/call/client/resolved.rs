//! Who the client is, of all that were named.

use std::net::SocketAddr;

use super::{Hop, Origin, TrustedProxies};

/// The client of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::call) struct Resolved {
    /// Its address, as far as somebody trusted tells; port 0 if that is not known.
    pub client: Option<SocketAddr>,
    /// The fields are those of a trusted proxy, so what they say of users counts too.
    pub trusted: bool,
    /// The peer is a trusted proxy.
    pub proxied: bool,
    /// The request names a client or a user, and its peer has no say in that.
    pub ignored: bool,
    /// Somebody pretends: see [`Resolved::of`].
    pub spoofed: bool,
}

impl Resolved {
    /// Goes from the peer outwards, from hop to hop, as long as who names the next one is trusted:
    /// the first that is not trusted is the client. What that one says of others is not believed.
    ///
    /// Spoofed: a hop that cannot be one (this host itself, no address) is named where no trusted
    /// proxy wrote it; a peer that is none of the proxies names a client; two lists that proxies
    /// keep name different ones; there are more hops than proxies.
    pub(in crate::call) fn of(
        origin: Option<&Origin>,
        peer: Option<SocketAddr>,
        proxied: Option<SocketAddr>,
        trusted: &TrustedProxies,
    ) -> Self {
        let vouches = trusted.trust(peer.map(|peer| peer.ip()));
        let mut found = Self {
            client: peer,
            trusted: vouches,
            proxied: vouches,
            ignored: false,
            spoofed: false,
        };
        if !found.trusted {
            let named = origin.is_some() || proxied.is_some();
            // Where none is trusted nobody said who may name clients.
            found.ignored = named && trusted.any();
            let impossible = origin.is_some_and(|origin| lists(origin).any(Hop::is_impossible));
            let from_elsewhere = peer.is_some_and(|peer| !peer.ip().is_loopback());
            found.spoofed = named && (trusted.any() || impossible && from_elsewhere);
            return found;
        }
        if let Some(proxied) = proxied {
            found.client = Some(proxied);
            if !trusted.trust(Some(proxied.ip())) {
                // The client itself wrote the fields, through a proxy that reads none.
                found.trusted = false;
                found.ignored = origin.is_some();
                return found;
            }
        }
        let Some(origin) = origin else { return found };
        let from_list = |hops: &[Hop]| walk(hops, trusted);
        let named = match (&*origin.forwarded_for, &*origin.forwarded) {
            ([], []) => match origin.single {
                Some((_, hop)) => {
                    found.spoofed = origin.disagree;
                    from_list(&[hop])
                }
                None => return found,
            },
            (list, []) | ([], list) => from_list(list),
            (list, other) => {
                let (one, two) = (from_list(list), from_list(other));
                found.spoofed = one.client.map(|c| c.ip()) != two.client.map(|c| c.ip());
                one
            }
        };
        found.client = named.client.or(found.client);
        found.spoofed |= named.spoofed || origin.too_long;
        found
    }
}

struct Walked {
    client: Option<SocketAddr>,
    spoofed: bool,
}

fn walk(hops: &[Hop], trusted: &TrustedProxies) -> Walked {
    let mut client = None;
    let mut rest = hops.iter();
    for hop in rest.by_ref() {
        match hop {
            Hop::Address(address) => {
                client = Some(*address);
                if !trusted.trust(Some(address.ip())) {
                    break;
                }
            }
            Hop::Hidden => break,
            Hop::Garbage => {
                return Walked {
                    client,
                    spoofed: true,
                };
            }
        }
    }
    Walked {
        client,
        spoofed: rest.any(|hop| hop.is_impossible()),
    }
}

fn lists(origin: &Origin) -> impl Iterator<Item = Hop> {
    let lists = origin.forwarded_for.iter().chain(&origin.forwarded);
    lists.copied().chain(origin.single.map(|(_, hop)| hop))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> TrustedProxies {
        TrustedProxies {
            networks: [("10.0.0.0".parse().unwrap(), 8)].into(),
            ..TrustedProxies::default()
        }
    }

    fn origin(fields: &[(&str, &str)]) -> Option<Origin> {
        let mut origin = Origin::default();
        for (name, value) in fields {
            match *name {
                "xff" => origin.add_forwarded_for(value.as_bytes()),
                "fwd" => origin.add_forwarded(value.as_bytes()),
                _ => origin.add_single(0, value.as_bytes()),
            }
        }
        (!fields.is_empty()).then_some(origin)
    }

    /// Address of the client, then what was odd.
    fn seen(peer: &str, proxied: Option<&str>, fields: &[(&str, &str)]) -> String {
        let Resolved {
            client,
            ignored,
            spoofed,
            ..
        } = Resolved::of(
            origin(fields).as_ref(),
            Some(SocketAddr::new(peer.parse().unwrap(), 40000)),
            proxied.map(|text| text.parse().unwrap()),
            &proxies(),
        );
        let mut text = client.map_or("-".to_owned(), |client| client.ip().to_string());
        for (odd, word) in [(ignored, " ignored"), (spoofed, " spoofed")] {
            if odd {
                text.push_str(word);
            }
        }
        text
    }

    #[test]
    fn the_client_is_the_nearest_hop_that_is_no_trusted_proxy() {
        for (peer, fields, expected) in [
            ("198.51.100.1", &[][..], "198.51.100.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[("xff", "203.0.113.5")], "203.0.113.5"),
            (
                "10.0.0.1",
                &[("xff", "203.0.113.5, 10.1.1.1")],
                "203.0.113.5",
            ),
            // What the client made up stands to the left.
            (
                "10.0.0.1",
                &[("xff", "1.1.1.1, 203.0.113.5")],
                "203.0.113.5",
            ),
            (
                "10.0.0.1",
                &[("xff", "1.1.1.1"), ("xff", "203.0.113.5")],
                "203.0.113.5",
            ),
            ("10.0.0.1", &[("xff", "10.3.3.3, 10.2.2.2")], "10.3.3.3"),
            ("10.0.0.1", &[("xff", "2001:db8::7")], "2001:db8::7"),
            (
                "10.0.0.1",
                &[("fwd", "for=192.0.2.60;proto=http;by=203.0.113.43")],
                "192.0.2.60",
            ),
            (
                "10.0.0.1",
                &[("fwd", "For=\"[2001:db8:cafe::17]:4711\"")],
                "2001:db8:cafe::17",
            ),
            (
                "10.0.0.1",
                &[("fwd", "for=1.1.1.1, for=192.0.2.60, for=10.9.9.9")],
                "192.0.2.60",
            ),
            // An open quote of the client hides nothing.
            (
                "10.0.0.1",
                &[("fwd", "for=\"x, for=192.0.2.60")],
                "192.0.2.60 spoofed",
            ),
            ("10.0.0.1", &[("ip", "203.0.113.5")], "203.0.113.5"),
            // Who hides behind a proxy is not known better than by the proxy.
            ("10.0.0.1", &[("xff", "unknown")], "10.0.0.1"),
            (
                "10.0.0.1",
                &[("fwd", "for=_hidden, for=10.2.2.2")],
                "10.2.2.2",
            ),
        ] {
            assert_eq!(seen(peer, None, fields), expected, "{peer} {fields:?}");
        }
    }

    #[test]
    fn whoever_is_not_trusted_names_nobody_and_pretending_is_told() {
        for (peer, fields, expected) in [
            (
                "198.51.100.1",
                &[("xff", "203.0.113.5")][..],
                "198.51.100.1 ignored spoofed",
            ),
            (
                "198.51.100.1",
                &[("ip", "127.0.0.1")],
                "198.51.100.1 ignored spoofed",
            ),
            (
                "10.0.0.1",
                &[("xff", "127.0.0.1, 203.0.113.5")],
                "203.0.113.5 spoofed",
            ),
            (
                "10.0.0.1",
                &[("xff", "<x>, 203.0.113.5")],
                "203.0.113.5 spoofed",
            ),
            ("10.0.0.1", &[("xff", "nonsense")], "10.0.0.1 spoofed"),
            // Behind a company's proxy, which tells the address inside: honest.
            (
                "10.0.0.1",
                &[("xff", "192.168.1.7, 203.0.113.5")],
                "203.0.113.5",
            ),
            (
                "10.0.0.1",
                &[("xff", "203.0.113.5"), ("fwd", "for=203.0.113.6")],
                "203.0.113.5 spoofed",
            ),
            (
                "10.0.0.1",
                &[("ip", "203.0.113.5"), ("ip", "203.0.113.6")],
                "203.0.113.5 spoofed",
            ),
        ] {
            assert_eq!(seen(peer, None, fields), expected, "{peer} {fields:?}");
        }
        let long = vec!["10.1.1.1"; 5000].join(",");
        assert_eq!(
            seen("10.0.0.1", None, &[("xff", &long)]),
            "10.1.1.1 spoofed"
        );
    }

    #[test]
    fn without_trusted_proxies_the_peer_is_the_client() {
        let none = TrustedProxies::default();
        let peer = "198.51.100.1:1".parse().ok();
        for (value, spoofed) in [("203.0.113.5", false), ("127.0.0.1", true)] {
            let named = origin(&[("xff", value)]);
            let found = Resolved::of(named.as_ref(), peer, None, &none);
            assert_eq!((found.client, found.trusted), (peer, false));
            assert_eq!((found.ignored, found.spoofed), (false, spoofed), "{value}");
        }
        let unix = TrustedProxies {
            unix_sockets: true,
            ..TrustedProxies::default()
        };
        let named = origin(&[("xff", "203.0.113.5")]);
        let found = Resolved::of(named.as_ref(), None, None, &unix);
        assert_eq!(found.client, "203.0.113.5:0".parse().ok());
    }

    #[test]
    fn the_opening_of_a_connection_names_the_client_if_its_peer_is_trusted() {
        let proxied = Some("203.0.113.5:5000");
        assert_eq!(seen("10.0.0.1", proxied, &[]), "203.0.113.5");
        assert_eq!(
            seen("198.51.100.1", proxied, &[]),
            "198.51.100.1 ignored spoofed"
        );
        // The fields are the client's own then.
        let fields = &[("xff", "1.1.1.1")][..];
        assert_eq!(seen("10.0.0.1", proxied, fields), "203.0.113.5 ignored");
        // Or those of the next proxy.
        let next = Some("10.4.4.4:5000");
        assert_eq!(seen("10.0.0.1", next, fields), "1.1.1.1");
    }
}
