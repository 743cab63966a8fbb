//! Remembers the connections of this host whose server side delivers requests, so that their
//! client side need not be told again.

use std::collections::VecDeque;
use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::hashing::Keyed;
use crate::stream::Flow;

/// Most connections remembered; the oldest is forgotten first. More than the ephemeral ports of
/// one address pair.
const CAPACITY: usize = 65_536;

/// How long after the server side closed its addresses still mean the same connection: the
/// client side closes within moments, and ports are not used again for a minute (TIME_WAIT).
const LINGER_NS: u64 = 10_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Link(u64),
    /// Client, server.
    Ends(SocketAddr, SocketAddr),
}

/// Server sides seen.
#[derive(Debug, Default)]
pub(super) struct LocalPairs {
    /// When the server side closed; `u64::MAX` while it is open.
    closed_ns: HashMap<Key, u64, Keyed>,
    order: VecDeque<Key>,
}

impl LocalPairs {
    /// The server side of this connection delivered a request; `flow` is as that side sees it.
    pub(super) fn served(&mut self, flow: &Flow) {
        self.put(Key::Ends(flow.remote, flow.local), u64::MAX);
        if let Some(link) = flow.link {
            self.put(Key::Link(link), u64::MAX);
        }
    }

    /// The server side closed.
    pub(super) fn closed(&mut self, flow: &Flow, now_ns: u64) {
        let link = flow.link.map(Key::Link);
        for key in [Some(Key::Ends(flow.remote, flow.local)), link]
            .into_iter()
            .flatten()
        {
            if let Some(closed_ns) = self.closed_ns.get_mut(&key) {
                *closed_ns = now_ns;
            }
        }
    }

    /// The server side tells the calls of this connection; `flow` is as the client side sees it.
    pub(super) fn serves(&self, flow: &Flow, now_ns: u64) -> bool {
        let known = |key: Key| {
            let closed_ns = self.closed_ns.get(&key).copied();
            closed_ns.is_some_and(|closed_ns| now_ns <= closed_ns.saturating_add(LINGER_NS))
        };
        flow.link.is_some_and(|link| known(Key::Link(link)))
            || known(Key::Ends(flow.local, flow.remote))
    }

    fn put(&mut self, key: Key, closed_ns: u64) {
        if self.closed_ns.insert(key, closed_ns).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.closed_ns.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(local: u16, remote: u16, link: Option<u64>) -> Flow {
        let end = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Flow {
            local: end(local),
            remote: end(remote),
            link,
        }
    }

    #[test]
    fn the_other_side_is_known_by_link_or_by_mirrored_addresses() {
        let mut pairs = LocalPairs::default();
        pairs.served(&flow(80, 5000, Some(7)));
        assert!(pairs.serves(&flow(5000, 80, None), 0));
        assert!(pairs.serves(&flow(6000, 81, Some(7)), 0));
        assert!(!pairs.serves(&flow(80, 5000, None), 0));
        assert!(!pairs.serves(&flow(5001, 80, Some(8)), 0));
    }

    #[test]
    fn a_closed_server_side_is_forgotten_after_a_while() {
        let mut pairs = LocalPairs::default();
        pairs.served(&flow(80, 5000, None));
        pairs.closed(&flow(80, 5000, None), 100);
        assert!(pairs.serves(&flow(5000, 80, None), 100));
        assert!(!pairs.serves(&flow(5000, 80, None), 101 + LINGER_NS));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut pairs = LocalPairs::default();
        for link in 0..CAPACITY as u64 * 2 {
            pairs.served(&flow(80, 5000, Some(link)));
        }
        assert_eq!(pairs.closed_ns.len(), CAPACITY);
        assert_eq!(pairs.order.len(), CAPACITY);
    }
}
