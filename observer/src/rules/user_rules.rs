//! Holds rules against calls.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::time::Duration;

use super::correlation::{Correlation, Kind, Member, Part};
use super::event_rule::EventRule;
use super::field::Field;
use super::group::{Group, Held};
use super::heading::Heading;
use super::rule_set::RuleSet;
use super::telling::Telling;
use crate::call::ApiCall;
use crate::detect::{Finding, client_network};
use crate::hashing::Keyed;
use crate::recent::RecentHashes;

/// What became of rules so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// Rules in force.
    pub rules: u64,
    /// Calls that a rule about single calls chose, each rule by itself.
    pub matched: u64,
    /// Groups and clients forgotten because a table was full.
    pub evicted: u64,
    /// Calls that a correlation could not group: they do not have one of its fields.
    pub ungrouped: u64,
}

impl RuleCounts {
    /// Names and values for the metrics.
    pub fn named(&self) -> [(&'static str, u64); 3] {
        let Self {
            rules: _,
            matched,
            evicted,
            ungrouped,
        } = *self;
        [
            ("matched", matched),
            ("evicted", evicted),
            ("ungrouped", ungrouped),
        ]
    }
}

/// Rules, and what they remember.
#[derive(Debug, Default)]
pub struct UserRules {
    set: RuleSet,
    hasher: Keyed,
    /// As the rules about single calls.
    telling: Vec<Telling>,
    /// As the correlations.
    groups: Vec<RecentHashes<Group>>,
    /// Which chose the call at hand: events, then correlations.
    chose: Vec<bool>,
    held: Vec<bool>,
    matched: u64,
    ungrouped: u64,
    /// Forgotten by tables that are gone.
    evicted: u64,
}

impl UserRules {
    /// Rules that have seen nothing.
    pub fn new(set: RuleSet) -> Self {
        let mut rules = Self::default();
        rules.set(set);
        rules
    }

    /// Other rules. Those that stayed as they were, and whose rules did, go on with what they
    /// remember.
    pub fn set(&mut self, set: RuleSet) {
        let old = std::mem::replace(&mut self.set, set);
        self.evicted = self.all_evicted();
        let mut telling: Vec<_> = std::mem::take(&mut self.telling)
            .into_iter()
            .map(Some)
            .collect();
        let mut groups: Vec<_> = std::mem::take(&mut self.groups)
            .into_iter()
            .map(Some)
            .collect();
        for rule in &self.set.events {
            let before = old
                .events
                .iter()
                .position(|other| other.definition == rule.definition);
            let kept = before.and_then(|at| telling.get_mut(at)?.take());
            self.evicted -= kept.as_ref().map_or(0, Telling::evicted);
            self.telling.push(kept.unwrap_or_else(Telling::new));
        }
        for rule in &self.set.correlations {
            let before = old
                .correlations
                .iter()
                .position(|other| other.definition == rule.definition);
            let kept = before.and_then(|at| groups.get_mut(at)?.take());
            self.evicted -= kept.as_ref().map_or(0, RecentHashes::evicted);
            self.groups
                .push(kept.unwrap_or_else(|| RecentHashes::of_hashes(Group::capacity(rule))));
        }
        self.chose = vec![false; self.set.events.len()];
        self.held = vec![false; self.set.correlations.len()];
    }

    /// The rules in force.
    pub fn set_in_force(&self) -> &RuleSet {
        &self.set
    }

    /// Takes one call into account, whose outcome is known.
    pub fn push(&mut self, call: &ApiCall, out: &mut impl FnMut(Finding)) {
        let Self {
            set,
            hasher,
            telling,
            groups,
            chose,
            held,
            matched,
            ungrouped,
            evicted: _,
        } = self;
        let mut any = false;
        for ((rule, chose), telling) in set.events.iter().zip(chose.iter_mut()).zip(telling) {
            *chose = rule.chooses(call);
            if !*chose {
                continue;
            }
            any = true;
            *matched += 1;
            if rule.told
                && let Some(count) = telling.add(call, hasher)
            {
                out(of_event(rule, call, count));
            }
        }
        if !any {
            return;
        }
        held.fill(false);
        for (at, (rule, groups)) in set.correlations.iter().zip(groups).enumerate() {
            let mut found = None;
            // From the last: one call is not two steps of a row.
            for (place, part) in rule.parts.iter().enumerate().rev() {
                let came = match part.member {
                    Member::Event(at) => chose.get(at),
                    Member::Correlation(at) => held.get(at),
                };
                if came != Some(&true) {
                    continue;
                }
                let (Some(key), Some(value)) = (key(part, call, hasher), value(part, call, hasher))
                else {
                    *ungrouped += 1;
                    continue;
                };
                if groups.get(&key).is_none() {
                    groups.insert(key, Group::of(rule));
                }
                let now = groups
                    .get(&key)
                    .and_then(|group| group.add(rule, call.time_unix_ns, place, value));
                found = found.or(now.map(|held| (held, part)));
                if rule.kind == Kind::Events {
                    // A call counts once, whichever of the rules chose it.
                    break;
                }
            }
            if let Some((what, part)) = found {
                if let Some(held) = held.get_mut(at) {
                    *held = true;
                }
                if rule.told {
                    out(of_correlation(rule, part, call, what));
                }
            }
        }
    }

    /// What became of rules so far.
    pub fn counts(&self) -> RuleCounts {
        RuleCounts {
            rules: self.set.len() as u64,
            matched: self.matched,
            evicted: self.all_evicted(),
            ungrouped: self.ungrouped,
        }
    }

    /// Groups remembered now.
    pub fn groups(&self) -> usize {
        self.groups.iter().map(RecentHashes::len).sum()
    }

    fn all_evicted(&self) -> u64 {
        let telling = self.telling.iter().map(Telling::evicted);
        let groups = self.groups.iter().map(RecentHashes::evicted);
        self.evicted + telling.chain(groups).sum::<u64>()
    }
}

/// The group of a call; `None` if it does not have one of the fields.
fn key(part: &Part, call: &ApiCall, hasher: &Keyed) -> Option<u64> {
    let mut hash = hasher.build_hasher();
    for field in &part.groups {
        field.first(call)?.hash(&mut hash);
    }
    Some(hash.finish())
}

fn value(part: &Part, call: &ApiCall, hasher: &Keyed) -> Option<u64> {
    match part.field {
        None => Some(0),
        Some(field) => Some(hasher.hash_one(field.first(call)?)),
    }
}

fn endpoint(call: &ApiCall) -> String {
    let route = call.route.as_deref().unwrap_or(&call.path);
    let service = call.service.as_deref().unwrap_or("an unknown service");
    format!("{} {route} of {service}", call.method)
}

fn finding(heading: &Heading, call: &ApiCall, message: String) -> Finding {
    let (client, prefix) = call.client.map(|at| client_network(at.ip())).unzip();
    Finding {
        time_unix_ns: call.time_unix_ns,
        rule: heading.name.to_string().into(),
        severity: heading.severity,
        mitre: heading.mitre.to_string().into(),
        role: call.role,
        client,
        client_prefix: prefix.unwrap_or(0),
        identity: None,
        service: call.service.clone(),
        count: 1,
        distinct: 0,
        span: Duration::ZERO,
        window: Duration::ZERO,
        routes: call.route.iter().cloned().collect(),
        message: message.into(),
    }
}

fn of_event(rule: &EventRule, call: &ApiCall, count: u64) -> Finding {
    let who = call.client.map_or("an unknown client".to_owned(), |at| {
        at.ip().to_canonical().to_string()
    });
    let message = format!("{}: {who} asked for {}", rule.heading.title, endpoint(call));
    Finding {
        count,
        ..finding(&rule.heading, call, message)
    }
}

fn of_correlation(rule: &Correlation, part: &Part, call: &ApiCall, held: Held) -> Finding {
    let Held { count, first } = held;
    let seconds = rule.timespan_ns / 1_000_000_000;
    let what = match (rule.kind, part.field) {
        (Kind::Events, _) => format!("{count} calls"),
        (Kind::Values, Some(field)) => format!("{count} different values of {}", field.name),
        (Kind::Ordered, _) => format!("{count} steps in their order"),
        _ => format!("{count} of its rules"),
    };
    let group: Vec<String> = part
        .groups
        .iter()
        .filter_map(|field| Some(format!("{} {}", field.name, field.first(call)?.shown())))
        .collect();
    let of = if group.is_empty() {
        String::new()
    } else {
        format!(" of {}", group.join(", "))
    };
    let message = format!(
        "{}: {what}{of} within {seconds} s, the last {}",
        rule.heading.title,
        endpoint(call)
    );
    // It is about what the calls have in common, and about nothing else.
    let grouped = |name: &str| {
        part.groups
            .iter()
            .any(|field| Some(*field) == Field::named(name))
    };
    let identity = ["user", "identity", "login", "fingerprint"]
        .into_iter()
        .filter(|name| grouped(name))
        .find_map(|name| Some(Field::named(name)?.first(call)?.shown().into()));
    let of_client = grouped("client");
    let found = finding(&rule.heading, call, message);
    Finding {
        client: found.client.filter(|_| of_client),
        identity,
        count,
        distinct: if rule.kind == Kind::Values { count } else { 0 },
        span: Duration::from_nanos(
            call.time_unix_ns
                .saturating_sub(first.unwrap_or(call.time_unix_ns)),
        ),
        window: Duration::from_nanos(rule.timespan_ns),
        ..found
    }
}
