//! The table of services and their routes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use super::canonical;
use super::declared::{Declared, RouteRule};
use super::routes::{Answer, Learner};
use super::service;
use crate::call::ApiCall;
use crate::hashing::{Keyed, Seeded};
use crate::recent::RecentHashes;

/// Paths whose place is remembered: finding it costs about a microsecond, a look-up a tenth.
const REMEMBERED_PATHS: usize = 8192;
/// Places of paths learned for one service (about 200 bytes each). 5,000 endpoints need 7,000.
const MAX_PLACES_PER_SERVICE: usize = 8_192;
/// Places of all services together: about 20 MiB.
const MAX_PLACES: usize = 98_304;
/// Segments that one call's step of a decision compares at least: some 100 µs, and a decision on
/// all places is made within a tenth of the calls that made it due.
const SEGMENTS_A_STEP: usize = 48;
/// Times that [`Catalog::take_record`] is asked until the same service is told again, and one more
/// for so many places.
const ROUNDS_BETWEEN: u64 = 2;
const PLACES_A_ROUND: u64 = 256;
/// Changes of names that are kept to be shown.
const MAX_RENAMES: usize = 64;
/// The same until they are taken: what is lost stays under its old name.
const MAX_NEW_RENAMES: usize = 256;
/// Name of a route or service that was folded because its table is full.
const OTHER: &str = "{other}";
/// Name of all paths of a service that never were an endpoint.
const UNMATCHED: &str = "{unmatched}";

/// Bounds of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogLimits {
    /// Services kept; calls of any further one go to the service `{other}`.
    pub max_services: usize,
    /// Routes kept for each service; calls of any further one go to the route `{other}`.
    pub max_routes_per_service: usize,
}

impl Default for CatalogLimits {
    fn default() -> Self {
        Self {
            max_services: 500,
            max_routes_per_service: 500,
        }
    }
}

/// What the catalog folded so far, in calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CatalogCounts {
    /// Calls named `{other}` because their service's table of routes is full.
    pub folded_routes: u64,
    /// Calls of a service that found no place.
    pub folded_services: u64,
    /// Calls named `{unmatched}`: their path was never answered as an endpoint.
    pub unmatched: u64,
    /// Calls named `{other}` because there is no room to learn their path.
    pub unlearned: u64,
    /// Words found to be values and folded into one name, in words.
    pub values: u64,
    /// Paths that got another name as evidence grew.
    pub renamed: u64,
}

impl CatalogCounts {
    /// Names and values for the metrics.
    pub fn named(&self) -> [(&'static str, u64); 6] {
        let Self {
            folded_routes,
            folded_services,
            unmatched,
            unlearned,
            values,
            renamed,
        } = *self;
        [
            ("route_folded", folded_routes),
            ("service_folded", folded_services),
            ("route_unmatched", unmatched),
            ("route_unlearned", unlearned),
            ("route_values", values),
            ("route_renamed", renamed),
        ]
    }
}

#[derive(Debug)]
struct Service {
    name: Arc<str>,
    /// Routes that were given out; they stay, because what was counted under them stays.
    routes: HashSet<Arc<str>, Seeded>,
    learner: Learner,
    /// What the settings and what documents say.
    ruled: Declared,
    documented: Declared,
    /// The revision of what was handed out to be kept, and when it may be again.
    kept: u64,
    keep_from: u64,
}

impl Service {
    fn new(name: &str, learner: Learner, rules: &[RouteRule], documents: &[RouteRule]) -> Self {
        let declared = |rules: &[RouteRule]| {
            let mut declared = Declared::default();
            for rule in rules {
                if rule
                    .service
                    .as_deref()
                    .is_none_or(|service| service == name)
                {
                    declared.add(&rule.template);
                }
            }
            declared
        };
        Self {
            name: name.into(),
            routes: HashSet::default(),
            kept: learner.revision(),
            learner,
            ruled: declared(rules),
            documented: declared(documents),
            keep_from: 0,
        }
    }
}

/// Where a path leads, as long as the generation of its learner holds.
#[derive(Debug)]
struct Known {
    generation: u32,
    /// `None`: the path is declared, and nothing is learned from it.
    place: Option<u32>,
    route: Option<Arc<str>>,
    /// The route is one that was given out.
    listed: bool,
}

/// The route of this template, if it was given out or there is room for one more.
fn list(
    routes: &mut HashSet<Arc<str>, Seeded>,
    template: &Arc<str>,
    declared: bool,
    status: Option<u16>,
    limits: &CatalogLimits,
) -> Option<Arc<str>> {
    if let Some(known) = routes.get(template) {
        return Some(Arc::clone(known));
    }
    // Paths that were never served may take half of the table: a scanner cannot keep the real
    // endpoints out.
    let room = match status {
        Some(100..=399) => limits.max_routes_per_service,
        _ => limits.max_routes_per_service / 2,
    };
    (declared || routes.len() < room).then(|| {
        routes.insert(Arc::clone(template));
        Arc::clone(template)
    })
}

/// Gives each call its route and its service, both from bounded tables of shared strings.
#[derive(Debug)]
pub struct Catalog {
    limits: CatalogLimits,
    services: HashMap<Arc<str>, Service, Seeded>,
    rules: Vec<RouteRule>,
    documents: Vec<RouteRule>,
    /// Times it was asked for what is to be kept.
    rounds: u64,
    /// By hash of service and path: with a secret key, 64 bits of it are not met by chance, and a
    /// path of any length takes the same room.
    known: RecentHashes<Known>,
    hasher: Keyed,
    places: usize,
    renames: VecDeque<(Arc<str>, Arc<str>)>,
    /// Since they were taken last.
    new_renames: Vec<(String, String, String)>,
    counts: CatalogCounts,
    other: Arc<str>,
    unmatched: Arc<str>,
    scratch: String,
    segments: Vec<String>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self::new(CatalogLimits::default())
    }
}

impl Catalog {
    /// An empty catalog.
    pub fn new(limits: CatalogLimits) -> Self {
        Self {
            limits,
            services: HashMap::default(),
            rules: Vec::new(),
            documents: Vec::new(),
            rounds: 0,
            known: RecentHashes::of_hashes(REMEMBERED_PATHS),
            hasher: Keyed::default(),
            places: 0,
            renames: VecDeque::new(),
            new_renames: Vec::new(),
            counts: CatalogCounts::default(),
            other: Arc::from(OTHER),
            unmatched: Arc::from(UNMATCHED),
            scratch: String::with_capacity(service::MAX_NAME),
            segments: Vec::with_capacity(8),
        }
    }

    /// Fills in `route` and `service`, and learns from the call.
    pub fn name(&mut self, call: &mut ApiCall) {
        let Self {
            limits,
            services,
            rules,
            documents,
            rounds: _,
            known,
            hasher,
            places,
            renames,
            new_renames,
            counts,
            other,
            unmatched,
            scratch,
            segments,
        } = self;

        service::write_name(call, scratch);
        let room = services.len() < limits.max_services;
        let service = match services.get_mut(scratch.as_str()) {
            Some(service) => service,
            None if room => {
                let learner = Learner::new(MAX_PLACES_PER_SERVICE);
                let service = Service::new(scratch, learner, rules, documents);
                let name = Arc::clone(&service.name);
                services.entry(name).or_insert(service)
            }
            None => {
                counts.folded_services += 1;
                call.service = Some(Arc::clone(other));
                call.route = Some(Arc::clone(other));
                return;
            }
        };
        call.service = Some(Arc::clone(&service.name));

        if call.path.is_empty() {
            // Not known, so no endpoint either.
            counts.unmatched += 1;
            call.route = Some(Arc::clone(unmatched));
            return;
        }
        let Service {
            name,
            routes,
            learner,
            ruled,
            documented,
            kept: _,
            keep_from: _,
        } = service;
        if let Some(form) = canonical::other_form(&call.method, &call.path) {
            let listed = list(routes, &Arc::from(form), false, call.status, limits);
            counts.folded_routes += u64::from(listed.is_none());
            call.route = Some(listed.unwrap_or_else(|| Arc::clone(other)));
            return;
        }
        let mut before = learner.len();
        let key = hasher.hash_one((&**name, call.path.as_str()));
        if learner.is_due() {
            counts.values += learner.settle_some(SEGMENTS_A_STEP) as u64;
            *places = (*places + learner.len()).saturating_sub(before);
            before = learner.len();
        }
        let generation = learner.generation();
        let found = known.get(&key);
        let current = found
            .as_ref()
            .filter(|known| known.place.is_none() || known.generation == generation);
        if let Some(Known {
            place,
            route: Some(route),
            listed: true,
            ..
        }) = current
        {
            // Most calls: an endpoint stays one until the next decision.
            if let Some(place) = *place {
                learner.observe(place, &call.method, Answer::of(call.status));
            }
            call.route = Some(Arc::clone(route));
            return;
        }
        let (place, mut route) = match current {
            Some(known) => (known.place, known.route.clone()),
            None => {
                canonical::segments(&call.path, segments);
                match ruled.find(segments).or_else(|| documented.find(segments)) {
                    Some(route) => (None, Some(Arc::clone(route))),
                    None => {
                        let place = if *places < MAX_PLACES {
                            learner.reach(segments)
                        } else {
                            learner.find(segments)
                        };
                        *places = (*places + learner.len()).saturating_sub(before);
                        if place.is_none() {
                            counts.unlearned += 1;
                            call.route = Some(Arc::clone(other));
                            return;
                        }
                        (place, None)
                    }
                }
            }
        };
        if let Some(place) = place {
            learner.observe(place, &call.method, Answer::of(call.status));
            if route.is_none() {
                canonical::segments(&call.path, segments);
                route = learner.template(segments, place);
            }
        }
        let declared = place.is_none();
        let listed = route
            .as_ref()
            .and_then(|template| list(routes, template, declared, call.status, limits));
        let now = Known {
            generation,
            place,
            listed: listed.is_some(),
            route: listed.clone().or_else(|| route.clone()),
        };
        match found {
            Some(known) => {
                if let (Some(old), Some(new)) = (&known.route, &route)
                    && old != new
                {
                    counts.renamed += 1;
                    let change = (Arc::clone(old), Arc::clone(new));
                    if new_renames.len() < MAX_NEW_RENAMES {
                        let told = (name.to_string(), old.to_string(), new.to_string());
                        if !new_renames.contains(&told) {
                            new_renames.push(told);
                        }
                    }
                    if !renames.contains(&change) {
                        renames.truncate(MAX_RENAMES - 1);
                        renames.push_front(change);
                    }
                }
                *known = now;
            }
            None => {
                known.insert(key, now);
            }
        }
        call.route = Some(match (listed, route) {
            (Some(route), _) => route,
            (None, Some(_)) => {
                counts.folded_routes += 1;
                Arc::clone(other)
            }
            (None, None) => {
                counts.unmatched += 1;
                Arc::clone(unmatched)
            }
        });
    }

    /// Names that win over what is learned: first `rules`, then `documents`. Only for services that
    /// are not called yet.
    pub fn declare(&mut self, rules: Vec<RouteRule>, documents: Vec<RouteRule>) {
        self.rules = rules;
        self.documents = documents;
    }

    /// Takes back what [`Catalog::take_record`] gave out in a run before; false if it is none.
    pub fn restore(&mut self, service: &str, record: &str) -> bool {
        if self.services.contains_key(service) || self.services.len() >= self.limits.max_services {
            return false;
        }
        let room = MAX_PLACES.saturating_sub(self.places);
        let Some(learner) = Learner::read_record(record, MAX_PLACES_PER_SERVICE)
            .filter(|learner| learner.len() <= room)
        else {
            return false;
        };
        self.places += learner.len();
        let service = Service::new(service, learner, &self.rules, &self.documents);
        self.services.insert(Arc::clone(&service.name), service);
        true
    }

    /// What was learned of a service, to be kept, if there is news of any. To be asked twice a
    /// second; of one service it comes again after some rounds only, large ones later. Writing
    /// takes 0.1 µs a place.
    pub fn take_record(&mut self) -> Option<(Arc<str>, String)> {
        self.rounds += 1;
        let rounds = self.rounds;
        let due = |service: &&mut Service| {
            service.learner.revision() != service.kept && service.keep_from <= rounds
        };
        // The one that waits longest.
        let service = self
            .services
            .values_mut()
            .filter(due)
            .min_by_key(|service| service.keep_from)?;
        service.kept = service.learner.revision();
        let pause = ROUNDS_BETWEEN + service.learner.len() as u64 / PLACES_A_ROUND;
        service.keep_from = rounds + pause;
        let mut text = String::with_capacity(service.learner.len() * 32);
        service.learner.write_record(&mut text);
        Some((Arc::clone(&service.name), text))
    }

    /// Services in the table.
    pub fn services(&self) -> usize {
        self.services.len()
    }

    /// Routes in the tables of all services.
    pub fn routes(&self) -> usize {
        self.services
            .values()
            .map(|service| service.routes.len())
            .sum()
    }

    /// Places of paths learned, of all services.
    pub fn places(&self) -> usize {
        self.places
    }

    /// The last routes that got another name, old and new, the latest first; at most 64.
    pub fn renames(&self) -> impl Iterator<Item = (&str, &str)> {
        self.renames.iter().map(|(old, new)| (&**old, &**new))
    }

    /// Service, old and new name of the routes that were renamed since this was asked last.
    pub fn take_renames(&mut self) -> Vec<(String, String, String)> {
        std::mem::take(&mut self.new_renames)
    }

    /// What was folded so far.
    pub fn counts(&self) -> CatalogCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests;
