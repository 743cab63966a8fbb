//! All detections, over four tables: sources, accounts, credentials and endpoints.

use super::account::Account;
use super::counts::DetectCounts;
use super::credential::Credential;
use super::crowd::Crowd;
use super::endpoint::Endpoint;
use super::facts::{Facts, wider};
use super::finding::Finding;
use super::objects::Objects;
use super::pace::Pace;
use super::rule::SUCCESS_AFTER_FAILURES;
use super::settings::DetectSettings;
use super::source::Source;
use crate::call::{ApiCall, AuthScheme};
use crate::hashing::Keyed;
use crate::recent::RecentHashes;

// Seven eighths of a power of two, each: a hash table of one entry more has twice the memory.

/// Sources remembered, at least; twice as many at most, of 150 bytes each if they are honest. An
/// attacker with more addresses is caught by what is known of the accounts and the endpoint.
const SOURCES: usize = 57_344;
/// Networks with failures.
const NETWORKS: usize = 3_584;
/// Accounts with failures, about 300 bytes each.
const ACCOUNTS: usize = 14_336;
/// Credentials that were accepted, about 150 bytes each.
const CREDENTIALS: usize = 57_344;
/// Endpoints: the catalog names at most 500 for each service. About 700 bytes each.
const ENDPOINTS: usize = 7_168;
/// Pairs of a caller and an endpoint with objects.
const PAIRS: usize = 14_336;

/// Callers whose credentials were accepted, 40 bytes each.
const CALLERS: usize = 65_536;

/// Watches calls for misuse.
#[derive(Debug)]
pub struct Detector {
    settings: DetectSettings,
    hasher: Keyed,
    sources: RecentHashes<Source>,
    networks: RecentHashes<Crowd>,
    accounts: RecentHashes<Account>,
    credentials: RecentHashes<Credential>,
    endpoints: RecentHashes<Endpoint>,
    objects: RecentHashes<Objects>,
    callers: RecentHashes<Pace>,
    unattributed: u64,
}

/// The entry of a key, made if there is none.
fn entry<V: Default>(table: &mut RecentHashes<V>, key: u64) -> Option<&mut V> {
    Some(table.entry(key, V::default))
}

impl Detector {
    /// A detector that has seen nothing.
    pub fn new(settings: DetectSettings) -> Self {
        Self {
            settings,
            hasher: Keyed::default(),
            sources: RecentHashes::of_hashes(SOURCES),
            networks: RecentHashes::of_hashes(NETWORKS),
            accounts: RecentHashes::of_hashes(ACCOUNTS),
            credentials: RecentHashes::of_hashes(CREDENTIALS),
            endpoints: RecentHashes::of_hashes(ENDPOINTS),
            objects: RecentHashes::of_hashes(PAIRS),
            callers: RecentHashes::of_hashes(CALLERS),
            unattributed: 0,
        }
    }

    /// Other thresholds; what is known stays.
    pub fn set(&mut self, settings: DetectSettings) {
        self.settings = settings;
    }

    /// Takes one call into account, whose outcome is known.
    pub fn push(&mut self, call: &ApiCall, out: &mut impl FnMut(Finding)) {
        let Self {
            settings,
            hasher,
            sources,
            networks,
            accounts,
            credentials,
            endpoints,
            objects,
            callers,
            unattributed,
        } = self;
        let facts = Facts::of(call, hasher);
        let trusted = facts
            .credential
            .and_then(|(key, _)| credentials.get(&key))
            .is_some_and(|credential| credential.is_trusted());
        if facts.accepted
            && let Some((key, _)) = facts.credential
            && let Some(credential) = entry(credentials, key)
        {
            credential.accepted(&facts, out);
        }
        if facts.accepted
            && let Some(caller) = facts.caller_key()
            && let Some(pace) = entry(callers, caller)
        {
            pace.push(&facts, settings, out);
        }
        if facts.refused && facts.source.is_none() {
            *unattributed += 1;
        }
        let mut guessed = false;
        if facts.source.is_some()
            && let Some(source) = entry(sources, facts.source_key())
        {
            guessed = source.guessed(facts.now);
            source.push(&facts, trusted, settings, out);
        }
        if let Some((key, _)) = facts.account {
            if facts.refused {
                if let Some(account) = entry(accounts, key) {
                    account.refused(&facts, trusted, settings, out);
                }
            } else if facts.accepted
                && let Some(account) = accounts.get(&key)
            {
                account.accepted(&facts, trusted, out);
            }
        } else if facts.accepted && facts.login && guessed {
            let message = format!(
                "a login at {} was accepted from {} right after many that were refused: a password may have been guessed",
                facts.service(),
                facts.client_text()
            );
            out(facts.finding(SUCCESS_AFTER_FAILURES, message));
        }
        if let Some((address, _)) = facts.source {
            if facts.refused {
                if let Some(network) = entry(networks, facts.network_key()) {
                    network.refused(&facts, trusted, Some(wider(address)), settings, out);
                }
            } else if facts.accepted
                && let Some(network) = networks.get(&facts.network_key())
            {
                network.accepted(facts.now);
            }
        }
        let Some(endpoint) = entry(endpoints, facts.endpoint_key()) else {
            return;
        };
        endpoint.push(&facts, settings, out);
        if facts.refused {
            endpoint.crowd.refused(&facts, trusted, None, settings, out);
        } else if facts.accepted && call.auth.scheme != AuthScheme::None || facts.login {
            endpoint.crowd.accepted(facts.now);
        }
        if call
            .route
            .as_deref()
            .is_some_and(|route| route.contains('{') && !route.starts_with('{'))
        {
            let caller = facts.caller_key().unwrap_or(facts.source_key());
            if let Some(pair) = entry(objects, caller ^ facts.endpoint_key().rotate_left(1)) {
                pair.push(&facts, &mut endpoint.usual, settings, out);
            }
        }
    }

    /// What could not be kept or judged so far.
    pub fn counts(&self) -> DetectCounts {
        DetectCounts {
            evicted: self.sources.evicted()
                + self.networks.evicted()
                + self.accounts.evicted()
                + self.credentials.evicted()
                + self.endpoints.evicted()
                + self.objects.evicted()
                + self.callers.evicted(),
            failure_unattributed: self.unattributed,
        }
    }

    /// Entries of the tables: names and sizes.
    pub fn entries(&self) -> [(&'static str, u64); 7] {
        [
            ("sources", self.sources.len() as u64),
            ("networks", self.networks.len() as u64),
            ("accounts", self.accounts.len() as u64),
            ("credentials", self.credentials.len() as u64),
            ("endpoints", self.endpoints.len() as u64),
            ("callers_of_objects", self.objects.len() as u64),
            ("callers", self.callers.len() as u64),
        ]
    }
}
