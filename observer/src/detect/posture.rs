//! How services stand: weak credentials, open endpoints, old versions, ways past a gateway. Each is
//! told once for a while, as a state of affairs and not as an attack.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _};

use super::distinct::Distinct;
use super::facts::Facts;
use super::finding::Finding;
use super::rule::{
    BASIC_AUTH, GATEWAY_BYPASS, OLD_API_VERSION, OLD_TLS, OPEN_ENDPOINT, REPLACED_CREDENTIAL, Rule,
    SYMMETRIC_TOKEN,
};
use crate::call::{ApiCall, AuthOutcome, AuthScheme, IdentityKind, Role};
use crate::hashing::Keyed;
use crate::recent::RecentHashes;
use crate::stream::TlsVersion;

/// Endpoints and APIs remembered, about 100 bytes each.
const ENDPOINTS: usize = 7_168;
/// Services.
const SERVICES: usize = 896;
/// Users with a password.
const USERS: usize = 7_168;
/// What is told is told again after this: a week.
const REARM: u64 = 7 * 86_400 * 1_000_000_000;
/// Successful calls without a credential that show that an endpoint is open, and with one that show
/// that its service asks for them.
const SETTLED: u64 = 20;
/// Calls that show who stands in front of a service.
const FRONTED: u64 = 500;
/// Callers that come through one address: more than a program has, so it is a gateway.
const CALLERS: usize = 10;
/// Callers behind an address are counted over this: an hour.
const HOUR: u64 = 3600 * 1_000_000_000;
/// Per cent of calls that come through the gateway of a service that has one.
const SHARE: u64 = 98;

/// What is known of an endpoint.
#[derive(Debug, Default)]
struct Standing {
    without: u64,
    with: u64,
    told: [u64; 4],
}

/// What is known of a service.
#[derive(Debug, Default)]
struct Site {
    with: u64,
    calls: u64,
    front: u64,
    front_calls: u64,
    front_callers: Distinct,
    told: [u64; 2],
}

/// The newest version of an API that answers.
#[derive(Debug, Default)]
struct Versions {
    newest: u32,
    calls: u64,
}

/// The credential of a user, and the one before.
#[derive(Debug, Default)]
struct Passwords {
    newest: u64,
    since: u64,
    before: u64,
    told: u64,
}

/// Watches how services stand.
#[derive(Debug)]
pub struct Posture {
    hasher: Keyed,
    known: Known,
}

/// What is remembered, by keyed hash.
#[derive(Debug)]
struct Known {
    endpoints: RecentHashes<Standing>,
    services: RecentHashes<Site>,
    versions: RecentHashes<Versions>,
    users: RecentHashes<Passwords>,
}

impl Default for Posture {
    fn default() -> Self {
        Self {
            hasher: Keyed::default(),
            known: Known {
                endpoints: RecentHashes::of_hashes(ENDPOINTS),
                services: RecentHashes::of_hashes(SERVICES),
                versions: RecentHashes::of_hashes(ENDPOINTS),
                users: RecentHashes::of_hashes(USERS),
            },
        }
    }
}

fn entry<V: Default>(table: &mut RecentHashes<V>, key: u64) -> Option<&mut V> {
    Some(table.entry(key, V::default))
}

/// It was not told lately; now it is.
fn due(told: &mut u64, now: u64) -> bool {
    let due = *told == 0 || now.abs_diff(*told) >= REARM;
    if due {
        *told = now;
    }
    due
}

impl Posture {
    /// Takes one call into account, whose outcome is known. Only what a server of this host answered
    /// with success says how it stands.
    pub fn push(&mut self, call: &ApiCall, out: &mut impl FnMut(Finding)) {
        let answered =
            matches!(call.status, Some(200..=299)) && matches!(call.grpc_status, None | Some(0));
        if call.role != Role::Server || !answered || call.body_error.is_some() {
            return;
        }
        let Self { hasher, known } = self;
        let facts = Facts::of(call, hasher);
        let mut tell = |rule: Rule, about_client: bool, message: String| {
            let finding = facts.finding(rule, message);
            out(if about_client {
                finding
            } else {
                Finding {
                    client: None,
                    client_prefix: 0,
                    ..finding
                }
            });
        };
        let service = hasher.hash_one(&call.service);
        known.credentials(&facts, service, &mut tell);
        known.versions(&facts, &mut tell);
        known.gateway(&facts, service, &mut tell);
    }

    /// Entries forgotten because a table was full.
    pub fn evicted(&self) -> u64 {
        let Known {
            endpoints,
            services,
            versions,
            users,
        } = &self.known;
        endpoints.evicted() + services.evicted() + versions.evicted() + users.evicted()
    }
}

impl Known {
    fn credentials(
        &mut self,
        facts: &Facts<'_>,
        service_key: u64,
        tell: &mut impl FnMut(Rule, bool, String),
    ) {
        let Self {
            endpoints,
            services,
            versions: _,
            users,
        } = self;
        let (call, now) = (facts.call, facts.now);
        let (endpoint, service) = (|| facts.endpoint(), facts.service());
        let Some(site) = entry(services, service_key) else {
            return;
        };
        let Some(standing) = entry(endpoints, facts.endpoint_key()) else {
            return;
        };
        let [basic, symmetric, open, _] = &mut standing.told;
        let old = call
            .hello
            .as_deref()
            .and_then(|hello| hello.version)
            .filter(|version| *version < TlsVersion::Tls12);
        if let Some(version) = old
            && let [told, _] = &mut site.told
            && due(told, now)
        {
            tell(
                OLD_TLS,
                false,
                format!(
                    "{service} answers over {}, which is broken and withdrawn (RFC 8996): ask for TLS 1.2 at least",
                    version.as_str()
                ),
            );
        }
        if facts.accepted {
            standing.with += 1;
            site.with += 1;
        }
        if facts.accepted && call.auth.scheme == AuthScheme::Basic && due(basic, now) {
            tell(
                BASIC_AUTH,
                false,
                format!(
                    "{} of {service} takes passwords with each request (Basic): one request that is seen gives the password away; use tokens that end",
                    endpoint()
                ),
            );
        }
        let claims = facts.credential.and_then(|(_, one)| one.claims.as_deref());
        if facts.accepted
            && let Some(algorithm) = claims.and_then(|claims| claims.algorithm.as_deref())
            && ["HS256", "HS384", "HS512"]
                .iter()
                .any(|one| algorithm.eq_ignore_ascii_case(one))
            && due(symmetric, now)
        {
            tell(
                SYMMETRIC_TOKEN,
                false,
                format!(
                    "{} of {service} takes tokens signed with a shared secret ({algorithm}): whoever can check them can make them",
                    endpoint()
                ),
            );
        }
        let nobody = call.auth.outcome == AuthOutcome::None && call.auth.scheme == AuthScheme::None;
        let changes = matches!(&*call.method, "POST" | "PUT" | "PATCH" | "DELETE");
        if nobody && changes && !facts.login {
            standing.without += 1;
            if standing.without >= SETTLED
                && standing.with == 0
                && site.with >= SETTLED
                && due(open, now)
            {
                tell(
                    OPEN_ENDPOINT,
                    false,
                    format!(
                        "{} of {service} takes changes from anybody, while others of its endpoints ask for a credential",
                        endpoint()
                    ),
                );
            }
        }
        if facts.accepted
            && let Some((key, identity)) = facts.credential
            && identity.kind == IdentityKind::Basic
            && let Some((account, _)) = facts.account
            && let Some(user) = entry(users, account)
        {
            if user.newest == 0 {
                user.newest = key;
                user.since = now;
            } else if user.before == key {
                if now.saturating_sub(user.since) >= HOUR && due(&mut user.told, now) {
                    tell(
                        REPLACED_CREDENTIAL,
                        true,
                        format!(
                            "{service} still takes a password from {} that its user replaced {} hours ago",
                            facts.client_text(),
                            now.saturating_sub(user.since) / HOUR
                        ),
                    );
                }
            } else if user.newest != key {
                user.before = user.newest;
                user.newest = key;
                user.since = now;
            }
        }
    }

    /// A version of an API that has a newer one.
    fn versions(&mut self, facts: &Facts<'_>, tell: &mut impl FnMut(Rule, bool, String)) {
        let call = facts.call;
        let Some(route) = call.route.as_deref() else {
            return;
        };
        let number = |segment: &str| -> Option<u32> {
            let digits = segment.strip_prefix(['v', 'V'])?;
            (digits.len() <= 3).then(|| digits.parse().ok())?
        };
        let Some(version) = route.split('/').find_map(number) else {
            return;
        };
        let mut hasher = facts.hasher.build_hasher();
        (&call.service, &call.method).hash(&mut hasher);
        for segment in route.split('/') {
            // One name for all versions.
            number(segment).map_or(segment, |_| "v").hash(&mut hasher);
        }
        let Some(known) = entry(&mut self.versions, hasher.finish()) else {
            return;
        };
        if version > known.newest {
            *known = Versions {
                newest: version,
                calls: 0,
            };
        }
        if version == known.newest {
            known.calls += 1;
        } else if known.calls >= SETTLED
            && let Some(standing) = entry(&mut self.endpoints, facts.endpoint_key())
            && let [_, _, _, told] = &mut standing.told
            && due(told, facts.now)
        {
            tell(
                OLD_API_VERSION,
                false,
                format!(
                    "{} of {} is still called, though it has a version {}: what was mended there may not be here",
                    facts.endpoint(),
                    facts.service(),
                    known.newest
                ),
            );
        }
    }

    /// A call past the gateway that nearly all calls of the service come through.
    fn gateway(
        &mut self,
        facts: &Facts<'_>,
        service_key: u64,
        tell: &mut impl FnMut(Rule, bool, String),
    ) {
        let call = facts.call;
        let Some((address, _)) = facts.source else {
            return;
        };
        let source = match call.peer {
            Some(peer) => facts.hasher.hash_one(peer.ip()),
            None => facts.hasher.hash_one(address),
        };
        // What was called through a proxy has a caller each, what was not may have a name.
        let caller = match call.peer {
            Some(_) => Some(facts.source_key()),
            None => facts.caller_key(),
        };
        let Some(site) = entry(&mut self.services, service_key) else {
            return;
        };
        site.calls += 1;
        if site.front == 0 {
            site.front = source;
        }
        if site.front == source {
            site.front_calls += 1;
            if let Some(caller) = caller {
                site.front_callers.add(caller, facts.now, HOUR);
            }
            return;
        }
        if site.calls < FRONTED {
            // Another one may be the gateway: whoever calls most stays (Boyer and Moore 1981).
            site.front_calls = site.front_calls.saturating_sub(1);
            if site.front_calls == 0 {
                site.front = source;
                site.front_callers.clear();
            }
            return;
        }
        let through = site.front_calls * 100 >= site.calls * SHARE;
        let many = site.front_callers.count(facts.now, HOUR) >= CALLERS;
        if let [_, told] = &mut site.told
            && through
            && many
            && !address.is_loopback()
            && due(told, facts.now)
        {
            tell(
                GATEWAY_BYPASS,
                true,
                format!(
                    "{} was called by {} directly, while {} of its {} calls came through one gateway: what that one checks was passed by",
                    facts.service(),
                    facts.client_text(),
                    site.front_calls,
                    site.calls
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests;
