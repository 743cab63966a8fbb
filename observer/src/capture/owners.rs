//! Which process moves the bytes of each socket.

use std::net::SocketAddr;
use std::sync::Arc;

use super::bounded::Bounded;
use super::listing::Listing;
use crate::discover::Process;

/// Entries; one is two words and a share of its process.
const MOST_OWNERS: usize = 65_536;
/// How long a listing is of use: what moves no bytes for so long is named when it does, by the
/// probes, or by the next listing.
const LISTING_NS: u64 = 60_000_000_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Owners {
    known: Bounded<u64, Arc<Process>>,
    /// Who may own connections of which nothing was seen yet.
    listing: Listing,
    /// When the listing is old; set by the first tick after it came.
    until_ns: Option<u64>,
}

impl Default for Owners {
    fn default() -> Self {
        Self {
            known: Bounded::new(MOST_OWNERS),
            listing: Listing::default(),
            until_ns: None,
        }
    }
}

impl Owners {
    /// A probe saw this process move bytes.
    pub(super) fn insert(&mut self, cookie: u64, process: Arc<Process>) {
        self.known.insert(cookie, process);
    }

    pub(super) fn is_known(&self, cookie: u64) -> bool {
        self.known.get(&cookie).is_some()
    }

    /// The socket is gone.
    pub(super) fn remove(&mut self, cookie: u64) -> Option<Arc<Process>> {
        self.known.remove(&cookie)
    }

    /// Takes a new listing in place of the one before.
    pub(super) fn set_listing(&mut self, listing: Listing) {
        self.listing = listing;
        self.until_ns = None;
    }

    /// The process of a socket that shows bytes, if only the listing knows it; said once.
    pub(super) fn listed(
        &mut self,
        cookie: u64,
        local: SocketAddr,
        process: impl FnOnce(u32) -> Arc<Process>,
    ) -> Option<Arc<Process>> {
        if self.listing.is_empty() || self.is_known(cookie) {
            return None;
        }
        let process = process(self.listing.take(cookie, local)?);
        self.known.insert(cookie, Arc::clone(&process));
        Some(process)
    }

    /// Lets time pass.
    pub(super) fn tick(&mut self, now_ns: u64) {
        if self.listing.is_empty() {
            return;
        }
        let until_ns = *self.until_ns.get_or_insert(now_ns + LISTING_NS);
        if now_ns >= until_ns {
            self.listing = Listing::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> Listing {
        let mut listing = Listing::default();
        listing.connection(7, 70);
        listing.connection(8, 80);
        listing
    }

    fn process(pid: u32) -> Arc<Process> {
        Arc::new(Process {
            pid,
            ..Process::default()
        })
    }

    fn at() -> SocketAddr {
        ([127, 0, 0, 1], 80).into()
    }

    #[test]
    fn a_listed_process_is_said_once_and_only_where_no_probe_has_said_it() {
        let mut owners = Owners::default();
        owners.set_listing(listing());
        owners.insert(8, process(81));
        let mut said = |cookie| owners.listed(cookie, at(), process).map(|found| found.pid);
        assert_eq!(
            (said(7), said(7), said(8), said(9)),
            (Some(70), None, None, None)
        );
        assert_eq!(owners.remove(7).map(|found| found.pid), Some(70));
    }

    #[test]
    fn an_old_listing_says_nothing() {
        let mut owners = Owners::default();
        owners.set_listing(listing());
        owners.tick(5);
        owners.tick(LISTING_NS + 4);
        assert!(owners.listed(7, at(), process).is_some());
        owners.tick(LISTING_NS + 5);
        assert!(owners.listed(8, at(), process).is_none());
    }
}
