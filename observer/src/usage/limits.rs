//! Holds calls against the limits of the settings.

use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;

use super::dimension::Dimension;
use super::limit::{Action, Limit, LimitWindow};
use super::measure::Measured;
use super::name::{client_network, is_proven, write_name};
use super::sliding::Sliding;
use crate::call::{ApiCall, Role};
use crate::hashing::Keyed;
use crate::recent::RecentHashes;

/// Names that all limits together remember at least, twice as many at most, about 250 bytes each.
/// A flood of new names pushes out the ones used longest ago; who is over a limit was used just now.
const NAMES: usize = 14_336;
/// An excess that goes on is told again after this, nanoseconds.
const REARM: u64 = 300_000_000_000;

/// What one name used of a limit.
#[derive(Debug)]
struct Spent {
    name: Arc<str>,
    sliding: Sliding<1>,
    /// Number of the period, and what was used in it.
    quota: (u64, u64),
    changed: bool,
    told: u64,
}

impl Spent {
    fn as_quota(&self, limit: usize) -> Quota {
        let (period, used) = self.quota;
        Quota {
            limit,
            name: Arc::clone(&self.name),
            period,
            used,
        }
    }
}

/// A call beyond a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// The limit, by its place in the settings.
    pub limit: usize,
    /// Who or what is beyond it.
    pub name: Arc<str>,
    /// What was used.
    pub used: u64,
    /// The client that made the call, with the bits that count.
    pub client: Option<(IpAddr, u8)>,
    /// It is to be told: it is new, or it goes on for some minutes.
    pub telling: bool,
}

/// What was used of a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The limit, by its place in the settings.
    pub limit: usize,
    /// Who used it.
    pub name: Arc<str>,
    /// Number of the period ([`super::Period::number`]).
    pub period: u64,
    /// What was used in it.
    pub used: u64,
}

/// All limits, and who used what of them.
#[derive(Debug, Default)]
pub struct Limits {
    limits: Vec<(Limit, RecentHashes<Spent>)>,
    hasher: Keyed,
    scratch: String,
    changed: Vec<(usize, u64)>,
}

impl Limits {
    /// Nothing was used yet.
    pub fn new(limits: Vec<Limit>) -> Self {
        let most = NAMES / limits.len().max(1);
        Self {
            limits: limits
                .into_iter()
                .map(|limit| (limit, RecentHashes::of_hashes(most)))
                .collect(),
            ..Self::default()
        }
    }

    /// The limits.
    pub fn limits(&self) -> impl Iterator<Item = &Limit> {
        self.limits.iter().map(|(limit, _)| limit)
    }

    /// Counts a call that is named and judged. Only calls that come in are limited; a caller's
    /// limit is used up only by calls that prove to be of this caller.
    pub fn push(&mut self, call: &ApiCall, out: &mut impl FnMut(Excess)) {
        if call.role != Role::Server {
            return;
        }
        let Self {
            limits,
            hasher,
            scratch,
            changed,
        } = self;
        let now = call.time_unix_ns;
        let measured = Measured::of(call);
        for (at, (limit, spent)) in limits.iter_mut().enumerate() {
            let Limit {
                key: _,
                per,
                count,
                limit: most,
                window,
                action: _,
            } = &*limit;
            let more = count.of(measured);
            let claimed =
                *per == Dimension::Identity && !call.identity.as_deref().is_some_and(is_proven);
            if more == 0 || claimed || !write_name(*per, call, scratch) || !limit.is_for(scratch) {
                continue;
            }
            let key = hasher.hash_one(scratch.as_str());
            let spent = entry(spent, key, scratch);
            let used = match window {
                LimitWindow::Sliding(length) => {
                    let length = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
                    let [used] = spent.sliding.add(now, length, [more]);
                    used
                }
                LimitWindow::Calendar(period) => {
                    let number = period.number(now);
                    let (own, used) = &mut spent.quota;
                    if *own != number {
                        (*own, *used) = (number, 0);
                    }
                    *used = used.saturating_add(more);
                    if !std::mem::replace(&mut spent.changed, true) {
                        changed.push((at, key));
                    }
                    *used
                }
            };
            if used > *most {
                let telling = spent.told == 0 || now.abs_diff(spent.told) >= REARM;
                if telling {
                    spent.told = now;
                }
                out(Excess {
                    limit: at,
                    name: Arc::clone(&spent.name),
                    used,
                    client: call.client.map(|client| client_network(client.ip())),
                    telling,
                });
            }
        }
    }

    /// One of the limits blocks.
    pub fn blocks(&self) -> bool {
        self.limits().any(|limit| limit.action == Action::Block)
    }

    /// The limit at a place.
    pub fn limit(&self, at: usize) -> Option<&Limit> {
        self.limits.get(at).map(|(limit, _)| limit)
    }

    /// Goes on with a quota of an earlier run.
    pub fn restore(&mut self, quota: &Quota) {
        let key = self.hasher.hash_one(&*quota.name);
        let table = self.limits.get_mut(quota.limit).map(|(_, spent)| spent);
        if let Some(table) = table {
            entry(table, key, &quota.name).quota = (quota.period, quota.used);
        }
    }

    /// All quotas of the present that were used.
    pub fn quotas(&self) -> Vec<Quota> {
        let mut all = Vec::new();
        for (at, (limit, spent)) in self.limits.iter().enumerate() {
            if matches!(limit.window, LimitWindow::Calendar(_)) {
                all.extend(spent.values().map(|spent| spent.as_quota(at)));
            }
        }
        all
    }

    /// Takes the quotas that changed since they were last taken.
    pub fn take_changed(&mut self) -> Vec<Quota> {
        let Self {
            limits, changed, ..
        } = self;
        let taken = changed.drain(..).filter_map(|(limit, key)| {
            let (_, spent) = limits.get_mut(limit)?;
            let spent = spent.get(&key)?;
            spent.changed = false;
            Some(spent.as_quota(limit))
        });
        taken.collect()
    }

    /// Names forgotten because a table was full.
    pub fn evicted(&self) -> u64 {
        let tables = self.limits.iter().map(|(_, spent)| spent);
        tables.map(RecentHashes::evicted).sum()
    }
}

fn entry<'a>(spent: &'a mut RecentHashes<Spent>, key: u64, name: &str) -> &'a mut Spent {
    spent.entry(key, || Spent {
        name: name.into(),
        sliding: Sliding::default(),
        quota: (0, 0),
        changed: false,
        told: 0,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Excess, Limits};
    use crate::call::{ApiCall, Identity, IdentityKind};
    use crate::catalog::sample;
    use crate::usage::{Action, Counted, Dimension, Limit, LimitWindow, Period};

    const SECOND: u64 = 1_000_000_000;

    fn limit(per: Dimension, most: u64, window: LimitWindow) -> Limit {
        Limit {
            key: "*".to_owned(),
            per,
            count: Counted::Calls,
            limit: most,
            window,
            action: Action::Alert,
        }
    }

    fn call(at: u64, user: &str, verified: bool) -> ApiCall {
        let mut call = sample::call("GET", "/", Some(200));
        call.time_unix_ns += at;
        call.service = Some("shop".into());
        call.route = Some("/".into());
        call.identity = Some(Arc::new(Identity {
            kind: IdentityKind::Basic,
            id: user.into(),
            fingerprint: None,
            earlier: None,
            class: None,
            source: "header:authorization".into(),
            verified,
            claims: None,
        }));
        call
    }

    fn excesses(limits: &mut Limits, calls: impl Iterator<Item = ApiCall>) -> Vec<Excess> {
        let mut found = Vec::new();
        for call in calls {
            limits.push(&call, &mut |excess| found.push(excess));
        }
        found
    }

    #[test]
    fn what_is_beyond_a_limit_is_told_once_and_again_while_it_goes_on() {
        let window = LimitWindow::Sliding(Duration::from_secs(60));
        let mut limits = Limits::new(vec![limit(Dimension::Identity, 10, window)]);
        let slow = (0..60).map(|n| call(n * 10 * SECOND, "ana", true));
        assert_eq!(excesses(&mut limits, slow), []);
        let fast = (0..1000).map(|n| call(700 * SECOND + n * SECOND, "ana", true));
        let found = excesses(&mut limits, fast);
        assert_eq!(found.len(), 990);
        assert_eq!((&*found[0].name, found[0].used), ("basic:ana", 11));
        assert_eq!(found[0].client, Some(([192, 0, 2, 7].into(), 32)));
        let told = found.iter().filter(|excess| excess.telling).count();
        assert_eq!(told, 4);
    }

    #[test]
    fn a_stranger_who_only_claims_a_name_does_not_use_up_its_limit() {
        let window = LimitWindow::Sliding(Duration::from_secs(60));
        let mut limits = Limits::new(vec![
            limit(Dimension::Identity, 5, window),
            limit(Dimension::Client, 50, window),
        ]);
        let claims = (0..60).map(|n| call(n, "ana", false));
        let found = excesses(&mut limits, claims);
        assert_eq!(found.len(), 10);
        assert!(found.iter().all(|excess| excess.limit == 1));
    }

    #[test]
    fn a_limit_is_for_the_names_it_says() {
        let window = LimitWindow::Sliding(Duration::from_secs(60));
        let own = Limit {
            key: "basic:a*".to_owned(),
            count: Counted::Bytes,
            ..limit(Dimension::Identity, 3000, window)
        };
        let mut limits = Limits::new(vec![own]);
        let found = excesses(
            &mut limits,
            ["ana", "bob", "ana", "bob"]
                .map(|user| call(0, user, true))
                .into_iter(),
        );
        assert_eq!(found.len(), 1);
        assert_eq!((&*found[0].name, found[0].used), ("basic:ana", 4116));
    }

    #[test]
    fn a_quota_goes_on_over_a_restart_and_starts_anew_with_its_period() {
        let day = LimitWindow::Calendar(Period::Day);
        let settings = || vec![limit(Dimension::Client, 5, day)];
        let mut limits = Limits::new(settings());
        excesses(&mut limits, (0..3).map(|n| call(n, "ana", true)));
        excesses(&mut limits, (0..2).map(|n| call(n, "bob", true)));
        let kept = limits.take_changed();
        assert_eq!((kept.len(), kept[0].used), (1, 5));
        assert_eq!(limits.take_changed(), []);
        let mut limits = Limits::new(settings());
        for quota in &kept {
            limits.restore(quota);
        }
        let found = excesses(&mut limits, std::iter::once(call(0, "ana", true)));
        assert_eq!((found.len(), found[0].used), (1, 6));
        let tomorrow = call(14 * 3600 * SECOND, "ana", true);
        assert_eq!(excesses(&mut limits, std::iter::once(tomorrow)), []);
        // Another limit's quota, or one that is no more, harms nothing.
        limits.restore(&super::Quota {
            limit: 9,
            ..kept[0].clone()
        });
    }

    #[test]
    fn a_flood_of_names_is_bounded_and_the_one_over_its_limit_is_still_found() {
        let window = LimitWindow::Sliding(Duration::from_secs(60));
        let mut limits = Limits::new(vec![limit(Dimension::Identity, 100, window)]);
        let calls = (0..200_000_u64).map(|n| {
            let user = if n % 500 == 0 {
                "busy".to_owned()
            } else {
                n.to_string()
            };
            call(n * 100_000, &user, true)
        });
        let found = excesses(&mut limits, calls);
        assert!(found.iter().all(|excess| &*excess.name == "basic:busy"));
        assert_eq!(found.len(), 300);
        assert!(limits.evicted() > 100_000);
    }
}
