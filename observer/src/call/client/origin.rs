//! What the fields of a request say of where it comes from.

use std::sync::Arc;

use super::Hop;
use crate::call::Identity;

/// Hops that are looked at, the nearest first; honest requests pass three or four proxies.
const MOST_HOPS: usize = 32;
/// Users and certificates that a request may name through its proxies.
const MOST_VOUCHED: usize = 4;

/// Said by the request; who may say so is decided when its peer is known.
#[derive(Debug, Default)]
pub(in crate::call) struct Origin {
    /// `X-Forwarded-For`, the nearest hop first.
    pub forwarded_for: Vec<Hop>,
    /// `Forwarded`, the nearest hop first.
    pub forwarded: Vec<Hop>,
    /// A field that names the client alone, with its rank: the one that is trusted least by others
    /// comes last.
    pub single: Option<(u8, Hop)>,
    /// Fields that name the client alone name different ones.
    pub disagree: bool,
    /// There are more hops than are looked at.
    pub too_long: bool,
    /// Users and certificates that proxies name, the best first.
    pub vouched: Vec<Arc<Identity>>,
    /// A proxy says that it could not verify the certificate.
    pub unverified: bool,
}

impl Origin {
    /// Adds a field `X-Forwarded-For`. Of several the last one is the nearest.
    pub(in crate::call) fn add_forwarded_for(&mut self, value: &[u8]) {
        let text = String::from_utf8_lossy(value);
        let hops = text.rsplit(',').map(Hop::of);
        self.too_long |= prepend(&mut self.forwarded_for, hops);
    }

    /// Adds a field `Forwarded` (RFC 7239 §4). It is taken apart from its end: what the nearest
    /// proxy appended cannot be hidden by a quote that a client left open.
    pub(in crate::call) fn add_forwarded(&mut self, value: &[u8]) {
        let text = String::from_utf8_lossy(value);
        let hops = text.rsplit(',').map(|element| {
            let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))
                .map_or(Hop::Hidden, |(_, node)| Hop::of(node))
        });
        self.too_long |= prepend(&mut self.forwarded, hops);
    }

    /// Adds a field that names the client alone.
    pub(in crate::call) fn add_single(&mut self, rank: u8, value: &[u8]) {
        let hop = std::str::from_utf8(value).map_or(Hop::Garbage, Hop::of);
        match self.single {
            Some((known, other)) => {
                self.disagree |= other != hop;
                if rank < known {
                    self.single = Some((rank, hop));
                }
            }
            None => self.single = Some((rank, hop)),
        }
    }

    /// Adds a user or a certificate.
    pub(in crate::call) fn add_vouched(&mut self, identity: Arc<Identity>) {
        if self.vouched.len() < MOST_VOUCHED && !self.vouched.contains(&identity) {
            self.vouched.push(identity);
            self.vouched.sort_by_key(|identity| identity.kind);
        }
    }

    /// Memory it takes, bytes.
    pub(in crate::call) fn memory(&self) -> usize {
        size_of::<Self>()
            + (self.forwarded_for.capacity() + self.forwarded.capacity()) * size_of::<Hop>()
            + self.vouched.capacity() * size_of::<usize>()
    }
}

/// Puts nearer hops before those known; true if some had no room.
fn prepend(hops: &mut Vec<Hop>, nearer: impl Iterator<Item = Hop>) -> bool {
    let mut all: Vec<Hop> = nearer.take(MOST_HOPS + 1).collect();
    all.append(hops);
    let over = all.len() > MOST_HOPS;
    all.truncate(MOST_HOPS);
    *hops = all;
    over
}
