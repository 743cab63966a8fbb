//! Names of rows: what a call counts for.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use super::dimension::Dimension;
use crate::call::{ApiCall, Identity, IdentityKind, write_ip_v4};

/// Longest name kept, bytes.
const NAME: usize = 200;

/// A client's address; of IPv6 the /64, because one host has a whole one to choose from (RFC 4291
/// §2.5.4). With the bits that count.
pub fn client_network(address: IpAddr) -> (IpAddr, u8) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (IpAddr::V4(v4), 32),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits() & !u128::from(u64::MAX);
            (IpAddr::V6(Ipv6Addr::from_bits(bits)), 64)
        }
    }
}

/// Writes the name of a client.
pub(super) fn write_client(address: IpAddr, out: &mut String) {
    // Writing to a string does not fail.
    let _ = match client_network(address) {
        (IpAddr::V4(address), _) => {
            write_ip_v4(address, out);
            Ok(())
        }
        (address, 64) => write!(out, "{address}/64"),
        (address, _) => write!(out, "{address}"),
    };
}

/// Writes the name of what a call counts for; false if it counts for nothing of the kind.
pub(super) fn write_name(dimension: Dimension, call: &ApiCall, out: &mut String) -> bool {
    out.clear();
    let service = call.service.as_deref().unwrap_or("unknown");
    match dimension {
        Dimension::Identity => match call.identity.as_deref() {
            Some(Identity { kind, id, .. }) => {
                for part in [kind.as_str(), ":", id] {
                    out.push_str(part);
                }
            }
            None => return false,
        },
        Dimension::Client => match call.client {
            Some(client) => write_client(client.ip(), out),
            None => return false,
        },
        Dimension::Endpoint => {
            let route = call.route.as_deref().unwrap_or("unknown");
            for part in [service, " ", &call.method, " ", route] {
                out.push_str(part);
            }
        }
        Dimension::Service => out.push_str(service),
    }
    if out.len() > NAME {
        let mut end = NAME;
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        out.truncate(end);
    }
    true
}

/// The caller's name is more than claimed: the server took the credential, or the name is the
/// fingerprint of the credential itself. A stranger cannot use up the limit of such a caller.
pub(super) fn is_proven(identity: &Identity) -> bool {
    identity.verified
        || matches!(
            identity.kind,
            IdentityKind::ApiKey | IdentityKind::Token | IdentityKind::Session
        )
}
