//! Tells of a rule about single calls once a minute for each client, however often it matches.

use std::hash::BuildHasher as _;

use crate::call::ApiCall;
use crate::detect::client_network;
use crate::hashing::Keyed;
use crate::recent::RecentHashes;

/// Clients remembered for each rule, at least: a flood from more of them is told more often.
const CLIENTS: usize = 2_048;
/// After a match was told, others of the same client are only counted for this time.
const QUIET_NS: u64 = 60_000_000_000;

/// What was told of one rule.
#[derive(Debug)]
pub(super) struct Telling {
    /// When it was last told, and matches since.
    told: RecentHashes<(u64, u64)>,
}

impl Telling {
    pub(super) fn new() -> Self {
        Self {
            told: RecentHashes::of_hashes(CLIENTS),
        }
    }

    /// Takes a match. Returns how many are to be told now.
    pub(super) fn add(&mut self, call: &ApiCall, hasher: &Keyed) -> Option<u64> {
        let client = call.client.map(|at| client_network(at.ip()));
        let key = hasher.hash_one((client, &call.service));
        let now = call.time_unix_ns;
        if let Some((at, untold)) = self.told.get(&key) {
            if now.abs_diff(*at) < QUIET_NS {
                *untold += 1;
                return None;
            }
            *at = now;
            return Some(1 + std::mem::take(untold));
        }
        self.told.insert(key, (now, 0));
        Some(1)
    }

    pub(super) fn evicted(&self) -> u64 {
        self.told.evicted()
    }
}
