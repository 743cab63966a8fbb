//! Who has the connections of this host, as a look at all of them found: for those that were open
//! before the probes, and for all where no probe can tell who moves the bytes.

use std::net::SocketAddr;

use hashbrown::HashMap;

/// What a look at the open sockets of this host found. Bounded by what looks.
#[derive(Debug, Default)]
pub struct Listing {
    /// Process by cookie, of connections.
    connections: HashMap<u64, u32>,
    /// Process by address, of listeners; `None` if there are several, in network namespaces of
    /// their own.
    listeners: HashMap<SocketAddr, Option<u32>>,
}

impl Listing {
    /// A connection of this process.
    pub fn connection(&mut self, cookie: u64, pid: u32) {
        self.connections.insert(cookie, pid);
    }

    /// This process accepts connections at an address.
    pub fn listener(&mut self, at: SocketAddr, pid: u32) {
        self.listeners
            .entry(at)
            .and_modify(|known| {
                if *known != Some(pid) {
                    *known = None;
                }
            })
            .or_insert(Some(pid));
    }

    /// Connections that are listed.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty() && self.listeners.is_empty()
    }

    /// The process of a connection, which is asked for once: if it is not listed itself, then of
    /// the listener at its own end, or at all addresses of its port.
    pub(super) fn take(&mut self, cookie: u64, local: SocketAddr) -> Option<u32> {
        if let Some(pid) = self.connections.remove(&cookie) {
            return Some(pid);
        }
        let any: [SocketAddr; 2] = [
            ([0, 0, 0, 0], local.port()).into(),
            ([0_u16; 8], local.port()).into(),
        ];
        let mut known = [local].into_iter().chain(any);
        known.find_map(|at| self.listeners.get(&at).copied())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("address")
    }

    #[test]
    fn a_connection_is_known_by_itself_or_by_what_listens_at_its_end() {
        let mut listing = Listing::default();
        listing.connection(7, 70);
        listing.listener(at("10.0.0.1:80"), 80);
        listing.listener(at("[::]:443"), 443);
        assert_eq!(listing.take(7, at("10.0.0.1:5000")), Some(70));
        assert_eq!(listing.take(7, at("10.0.0.1:5000")), None);
        assert_eq!(listing.take(8, at("10.0.0.1:80")), Some(80));
        assert_eq!(listing.take(8, at("10.0.0.2:80")), None);
        assert_eq!(listing.take(8, at("10.0.0.2:443")), Some(443));
    }

    #[test]
    fn listeners_of_one_address_in_two_namespaces_name_nobody() {
        let mut listing = Listing::default();
        for pid in [1, 1] {
            listing.listener(at("0.0.0.0:80"), pid);
        }
        assert_eq!(listing.take(8, at("10.0.0.1:80")), Some(1));
        listing.listener(at("0.0.0.0:80"), 2);
        listing.listener(at("0.0.0.0:80"), 2);
        assert_eq!(listing.take(8, at("10.0.0.1:80")), None);
    }
}
