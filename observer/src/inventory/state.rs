//! All services.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::change::Change;
use super::credential::Credential;
use super::endpoint::{Endpoint, count};
use super::service::{Program, Service};
use super::tally::Sum;

/// Services kept.
const MOST_SERVICES: usize = 1000;
/// Endpoints of all services kept: some 20 MiB.
const MOST_ENDPOINTS: usize = 20_000;
/// Credentials kept; some 5 MiB. Those not used for longest go first.
const MOST_CREDENTIALS: usize = 4096;
/// Programs, addresses, protocols and TLS libraries of a service.
const MOST_NAMES: usize = 16;
/// Changes of names of a service that are kept.
const MOST_CHANGES: usize = 64;
/// Endpoints and services that were not called for so long are forgotten: a year and a day.
const MAX_AGE_MS: u64 = 366 * 86_400_000;
/// Routes that are no endpoints.
const NO_ROUTE: [&str; 2] = ["{unmatched}", "{authority}"];

/// What this host serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    /// By name.
    pub services: BTreeMap<String, Service>,
    /// Credentials that were accepted, by fingerprint, or of tokens by subject.
    pub credentials: BTreeMap<String, Credential>,
    /// Calls of services or endpoints that found no place.
    pub folded: u64,
}

impl Inventory {
    /// Adds what was called since the last time. Says which programs are new, by service.
    pub fn merge(&mut self, sums: &[Sum]) -> Vec<(String, u32, Option<String>)> {
        let mut news = Vec::new();
        let mut endpoints = self.endpoints();
        for sum in sums {
            self.add(sum, &mut endpoints, &mut news);
        }
        news
    }

    /// Adds the credentials that were accepted since the last time.
    pub fn merge_credentials(&mut self, used: Vec<(String, Credential)>) {
        for (key, credential) in used {
            self.credentials.entry(key).or_default().merge(&credential);
        }
        let most = MOST_CREDENTIALS;
        if self.credentials.len() > most {
            // An eighth at a time: a flood of them is not sorted again for each.
            let mut times: Vec<u64> = self
                .credentials
                .values()
                .map(|credential| credential.last_seen_ms)
                .collect();
            times.sort_unstable();
            let last = times.len().saturating_sub(most - most / 8);
            let oldest = times.get(last).copied().unwrap_or(0);
            self.credentials
                .retain(|_, credential| credential.last_seen_ms >= oldest);
        }
    }

    /// Endpoints of all services.
    pub fn endpoints(&self) -> usize {
        self.services
            .values()
            .map(|service| service.endpoints.len())
            .sum()
    }

    fn add(
        &mut self,
        sum: &Sum,
        endpoints: &mut usize,
        news: &mut Vec<(String, u32, Option<String>)>,
    ) {
        let Sum {
            service: name,
            method,
            route,
            protocol,
            scheme,
            tls,
            tls_version,
            process,
            server,
            endpoint,
        } = sum;
        if !self.services.contains_key(&**name) && self.services.len() >= MOST_SERVICES {
            self.folded += endpoint.calls;
            return;
        }
        let service = self.services.entry(name.to_string()).or_default();
        if service.first_seen_ms == 0 || endpoint.first_seen_ms < service.first_seen_ms {
            service.first_seen_ms = endpoint.first_seen_ms;
        }
        service.last_seen_ms = service.last_seen_ms.max(endpoint.last_seen_ms);
        let over = if *scheme == "https" { " over TLS" } else { "" };
        let calls = endpoint.calls;
        count(
            &mut service.protocols,
            &format!("{protocol}{over}"),
            calls,
            MOST_NAMES,
        );
        if let Some(tls) = tls {
            let version = tls_version.as_deref().unwrap_or_default();
            let text = format!("{} {version}", tls.library);
            count(&mut service.tls, text.trim_end(), calls, MOST_NAMES);
        }
        if let Some(server) = server {
            insert(&mut service.addresses, server.to_string());
        }
        if let Some(process) = process {
            let key = process.exe.as_deref().unwrap_or(&process.name);
            let known = service.programs.len();
            if known < MOST_NAMES || service.programs.contains_key(key) {
                let program = service.programs.entry(key.to_owned()).or_default();
                if program.pid != process.pid {
                    news.push((name.to_string(), process.pid, process.exe.clone()));
                }
                let package = program.package.take();
                *program = Program {
                    name: process.name.clone(),
                    pid: process.pid,
                    unit: process.unit.clone(),
                    container: process.container.clone(),
                    container_name: process.container_name.clone(),
                    package,
                };
            }
        }
        if NO_ROUTE.contains(&&**route) {
            service.unmatched += calls;
            return;
        }
        let key = format!("{} {route}", if method.is_empty() { "?" } else { method });
        match service.endpoints.get_mut(&key) {
            Some(own) => own.merge(endpoint),
            None if *endpoints < MOST_ENDPOINTS => {
                *endpoints += 1;
                service.endpoints.insert(key, endpoint.clone());
            }
            None => self.folded += calls,
        }
    }

    /// Says what a program of a service is from, and where the service listens.
    pub fn describe(
        &mut self,
        service: &str,
        exe: Option<&str>,
        package: Option<String>,
        listening: Vec<String>,
    ) {
        let Some(service) = self.services.get_mut(service) else {
            return;
        };
        if let Some(program) = exe.and_then(|exe| service.programs.get_mut(exe)) {
            program.package = package;
        }
        for address in listening {
            insert(&mut service.listening, address);
        }
    }

    /// A route has another name now: what was counted under the old one goes to the new one.
    pub fn rename(&mut self, service: &str, old: &str, new: &str, time_ms: u64) {
        let Some(service) = self.services.get_mut(service) else {
            return;
        };
        let known = |change: &Change| change.old == old && change.new == new;
        if !service.changes.iter().any(known) {
            if service.changes.len() >= MOST_CHANGES {
                service.changes.remove(0);
            }
            service.changes.push(Change {
                time_ms,
                old: old.to_owned(),
                new: new.to_owned(),
                merged: covers(new, old),
            });
        }
        // A part of the old one that has a name of its own now: what was counted stays.
        if !covers(new, old) {
            return;
        }
        let moved: Vec<String> = service
            .endpoints
            .keys()
            .filter(|key| key.split_once(' ').is_some_and(|(_, route)| route == old))
            .cloned()
            .collect();
        for key in moved {
            if let (Some(endpoint), Some((method, _))) =
                (service.endpoints.remove(&key), key.split_once(' '))
            {
                let own: &mut Endpoint = service
                    .endpoints
                    .entry(format!("{method} {new}"))
                    .or_default();
                own.merge(&endpoint);
            }
        }
    }

    /// Forgets what was not called for a year.
    pub fn forget(&mut self, now_ms: u64) {
        let since = now_ms.saturating_sub(MAX_AGE_MS);
        for service in self.services.values_mut() {
            service
                .endpoints
                .retain(|_, endpoint| endpoint.last_seen_ms >= since);
        }
        self.services
            .retain(|_, service| service.last_seen_ms >= since);
        self.credentials
            .retain(|_, credential| credential.last_seen_ms >= since);
    }
}

/// Every path of `other` is one of `route`.
fn covers(route: &str, other: &str) -> bool {
    let mut others = other.split('/');
    route.split('/').all(|segment| {
        others
            .next()
            .is_some_and(|other| segment == other || segment.contains('{'))
    }) && others.next().is_none()
}

fn insert(names: &mut BTreeSet<String>, name: String) {
    if names.len() < MOST_NAMES {
        names.insert(name);
    }
}
