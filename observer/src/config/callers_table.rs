//! The settings of whom proxies may name, and of routes that are declared.

use std::net::IpAddr;

use super::table::{Given, Setting, list, show_list, string, toml_string};
use super::values::quoted;
use crate::catalog::RouteRule;
use crate::kernel::Network;

/// The word for peers that have no address.
const UNIX: &str = "unix";
/// Longest name of a field.
const LONGEST_FIELD: usize = 64;

/// Those of proxies in front.
pub(super) const CALLERS: &[Setting] = &[
    Setting {
        key: "proxies.trusted",
        doc: &[
            "Networks of the proxies in front, which are believed when they name clients and users:",
            "[\"10.0.0.0/8\"]; \"unix\": whoever calls over a Unix socket.",
        ],
        set: |settings, given| {
            let peers = list(given, peer)?;
            settings.proxies.unix_sockets = peers.contains(&Peer::Unix);
            let networks = peers.into_iter().filter_map(|peer| match peer {
                Peer::Network(address, bits) => Some((address, bits)),
                Peer::Unix => None,
            });
            settings.proxies.networks = networks.collect();
            Ok(())
        },
        show: |settings| {
            let networks = settings.proxies.networks.iter();
            let networks = networks.map(|(address, bits)| format!("{address}/{bits}"));
            let unix = settings.proxies.unix_sockets.then(|| UNIX.to_owned());
            show_list(networks.chain(unix).map(|text| toml_string(&text)))
        },
        example: "",
    },
    Setting {
        key: "proxies.client_field",
        doc: &[
            "The one field in which they name the client, such as \"X-Real-IP\"; \"\": the usual ones,",
            "X-Forwarded-For first.",
        ],
        set: |settings, given| {
            let name = match string(given)? {
                "" => None,
                name => Some(field(Given::Text(name))?),
            };
            settings.proxies.client_field = name;
            Ok(())
        },
        show: |settings| {
            let name = settings.proxies.client_field.as_deref();
            Some(toml_string(name.unwrap_or_default()))
        },
        example: "",
    },
    Setting {
        key: "proxies.user_fields",
        doc: &[
            "Fields in which they name the user, besides X-Forwarded-User and others that are known:",
            "[\"X-User-Id\"].",
        ],
        set: |settings, given| {
            settings.proxies.user_fields = list(given, field)?.into();
            Ok(())
        },
        show: |settings| {
            let names = settings.proxies.user_fields.iter();
            show_list(names.map(|name| toml_string(name)))
        },
        example: "",
    },
];

/// A route that is declared.
pub(super) fn route_rule(given: Given<'_>) -> Result<RouteRule, String> {
    let text = string(given)?;
    RouteRule::parse(text).map_err(|why| format!("{} {why}", quoted(text)))
}

#[derive(PartialEq, Eq)]
enum Peer {
    Unix,
    Network(IpAddr, u8),
}

fn peer(given: Given<'_>) -> Result<Peer, String> {
    match string(given)? {
        UNIX => Ok(Peer::Unix),
        text => {
            let network: Network = text
                .parse()
                .map_err(|why| format!("{} {why}", quoted(text)))?;
            let (address, bits) = network.parts();
            Ok(Peer::Network(address, bits))
        }
    }
}

fn field(given: Given<'_>) -> Result<Box<str>, String> {
    let name = string(given)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > LONGEST_FIELD || !name.bytes().all(token) {
        return Err(format!("{} is no name of a field", quoted(name)));
    }
    Ok(name.into())
}
