//! The table of services and their routes.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

use super::canonical;
use super::routes::{Answer, Learner};
use super::service;
use crate::call::ApiCall;
use crate::recent::Recent;

/// Paths whose place is remembered: finding it costs about a microsecond, a look-up a tenth.
const REMEMBERED_PATHS: usize = 8192;
/// Places of paths learned for one service (about 200 bytes each). 5,000 endpoints need 7,000.
/// A decision looks at all of them, within 60 ms.
const MAX_PLACES_PER_SERVICE: usize = 8_192;
/// Places of all services together: about 20 MiB.
const MAX_PLACES: usize = 98_304;
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
    routes: HashSet<Arc<str>>,
    learner: Learner,
}

/// Where a path leads, as long as the generation of its learner holds.
#[derive(Debug)]
struct Known {
    generation: u32,
    place: u32,
    route: Option<Arc<str>>,
}

/// Gives each call its route and its service, both from bounded tables of shared strings.
#[derive(Debug)]
pub struct Catalog {
    limits: CatalogLimits,
    services: HashMap<Arc<str>, Service>,
    /// By hash of service and path: with a secret key, 64 bits of it are not met by chance, and a
    /// path of any length takes the same room.
    known: Recent<u64, Known>,
    hasher: RandomState,
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
            services: HashMap::new(),
            known: Recent::new(REMEMBERED_PATHS),
            hasher: RandomState::new(),
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
        if !services.contains_key(scratch.as_str()) && services.len() < limits.max_services {
            let name: Arc<str> = Arc::from(scratch.as_str());
            services.insert(
                Arc::clone(&name),
                Service {
                    name,
                    routes: HashSet::new(),
                    learner: Learner::new(MAX_PLACES_PER_SERVICE),
                },
            );
        }
        let Some(service) = services.get_mut(scratch.as_str()) else {
            counts.folded_services += 1;
            call.service = Some(Arc::clone(other));
            call.route = Some(Arc::clone(other));
            return;
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
        } = service;
        let named = if let Some(form) = canonical::other_form(&call.method, &call.path) {
            Some(Arc::from(form))
        } else {
            let before = learner.len();
            let key = hasher.hash_one((&**name, call.path.as_str()));
            if learner.is_due() {
                counts.values += learner.settle() as u64;
            }
            let generation = learner.generation();
            let found = known.get(&key);
            let place = match &found {
                Some(known) if known.generation == generation => Some(known.place),
                _ => {
                    canonical::segments(&call.path, segments);
                    if *places < MAX_PLACES {
                        learner.reach(segments)
                    } else {
                        learner.find(segments)
                    }
                }
            };
            *places = (*places + learner.len()).saturating_sub(before);
            let Some(place) = place else {
                counts.unlearned += 1;
                call.route = Some(Arc::clone(other));
                return;
            };
            learner.observe(place, &call.method, Answer::of(call.status));
            let route = match &found {
                // An endpoint stays one until the next decision.
                Some(Known {
                    generation: then,
                    route: Some(route),
                    ..
                }) if *then == generation => Some(Arc::clone(route)),
                _ => {
                    canonical::segments(&call.path, segments);
                    learner.template(segments, place)
                }
            };
            let now = Known {
                generation,
                place,
                route: route.clone(),
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
            route
        };
        let Some(template) = named else {
            counts.unmatched += 1;
            call.route = Some(Arc::clone(unmatched));
            return;
        };
        let route = if let Some(known) = routes.get(&template) {
            Arc::clone(known)
        } else {
            // Paths that were never served may take half of the table: a scanner cannot keep
            // the real endpoints out.
            let room = match call.status {
                Some(100..=399) => limits.max_routes_per_service,
                _ => limits.max_routes_per_service / 2,
            };
            if routes.len() < room {
                routes.insert(Arc::clone(&template));
                template
            } else {
                counts.folded_routes += 1;
                Arc::clone(other)
            }
        };
        call.route = Some(route);
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
mod tests {
    use super::{Catalog, CatalogLimits, MAX_PLACES_PER_SERVICE};
    use crate::call::ApiCall;
    use crate::catalog::routes::MAX_TEMPLATE;
    use crate::catalog::sample::call;
    use crate::discover::Process;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn named(catalog: &mut Catalog, path: &str, status: Option<u16>) -> ApiCall {
        let mut call = call("GET", path, status);
        catalog.name(&mut call);
        call
    }

    fn route(catalog: &mut Catalog, path: &str, status: u16) -> String {
        named(catalog, path, Some(status))
            .route
            .map(|r| r.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn calls_to_one_endpoint_share_one_interned_route() {
        let mut catalog = Catalog::default();
        let first = named(&mut catalog, "/users/1", Some(200));
        let second = named(&mut catalog, "/users/2", Some(404));
        assert_eq!(first.route.as_deref(), Some("/users/{id}"));
        assert!(Arc::ptr_eq(&first.route.unwrap(), &second.route.unwrap()));
        assert!(Arc::ptr_eq(
            &first.service.unwrap(),
            &second.service.unwrap()
        ));
        assert_eq!(catalog.routes(), 1);
    }

    #[test]
    fn paths_only_ever_answered_404_take_no_place() {
        let mut catalog = Catalog::default();
        for n in 0..2000 {
            assert_eq!(
                route(
                    &mut catalog,
                    &format!("/wp-{n}.php"),
                    if n % 3 == 0 { 403 } else { 404 }
                ),
                "{unmatched}"
            );
        }
        assert_eq!((catalog.routes(), catalog.counts().unmatched), (0, 2000));
        assert_eq!(
            named(&mut catalog, "/gone", None).route.as_deref(),
            Some("{unmatched}")
        );
        assert_eq!(route(&mut catalog, "/wp-1.php", 200), "/wp-1.php");
        assert_eq!(route(&mut catalog, "/wp-1.php", 404), "/wp-1.php");
    }

    #[test]
    fn a_full_table_folds_and_counts_and_refused_paths_cannot_fill_it() {
        let limits = CatalogLimits {
            max_services: 2,
            max_routes_per_service: 10,
        };
        let mut catalog = Catalog::new(limits);
        for n in 0..50 {
            route(&mut catalog, &format!("/v{n}"), 401);
        }
        assert_eq!(catalog.routes(), 5);
        for n in 0..5 {
            assert_eq!(
                route(&mut catalog, &format!("/v1.{n}"), 200),
                format!("/v1.{n}")
            );
        }
        assert_eq!(route(&mut catalog, "/one-more", 200), "{other}");
        assert_eq!(catalog.counts().folded_routes, 46);
    }

    #[test]
    fn services_over_the_cap_are_folded() {
        let mut catalog = Catalog::new(CatalogLimits {
            max_services: 3,
            max_routes_per_service: 10,
        });
        for port in 1..=20u16 {
            let mut call = call("GET", "/", Some(200));
            call.process = None;
            call.server = Some(([10, 0, 0, 1], port).into());
            catalog.name(&mut call);
            let expected = if port <= 3 {
                format!("port-{port}")
            } else {
                "{other}".to_owned()
            };
            assert_eq!(call.service.as_deref(), Some(expected.as_str()));
        }
        assert_eq!(
            (catalog.services(), catalog.counts().folded_services),
            (3, 17)
        );
    }

    #[test]
    fn a_service_is_named_by_unit_then_container_then_process_then_port() {
        let mut catalog = Catalog::default();
        let mut name = |process: Option<Process>| {
            let mut call = call("GET", "/", Some(200));
            call.process = process.map(Arc::new);
            catalog.name(&mut call);
            call.service.map(|s| s.to_string()).unwrap_or_default()
        };
        let process = |unit: Option<&str>, container: Option<&str>, comm: &str| {
            Some(Process {
                pid: 1,
                name: comm.to_owned(),
                exe: None,
                container: container.map(str::to_owned),
                unit: unit.map(str::to_owned),
            })
        };
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(name(process(Some("nginx.service"), None, "nginx")), "nginx");
        assert_eq!(
            name(process(Some("getty@tty1.service"), None, "x")),
            "getty@tty1"
        );
        assert_eq!(
            name(process(Some("docker-0123.scope"), Some(id), "node")),
            "0123456789ab"
        );
        assert_eq!(name(process(Some("session-3.scope"), None, "curl")), "curl");
        assert_eq!(
            name(process(Some("user@1000.service"), None, "curl")),
            "curl"
        );
        assert_eq!(
            name(process(None, None, "evil\u{1b}[2J {x}\"")),
            "evil_[2J__x_\""
        );
        assert_eq!(name(None), "port-8080");
        assert_eq!(name(process(None, None, "")), "port-8080");
    }

    #[test]
    fn a_route_gets_a_better_name_as_evidence_grows_and_both_are_kept() {
        let mut catalog = Catalog::default();
        let people = (0..400).map(|n| format!("/v1/people/{}{n}/orders", ["ada", "alan"][n % 2]));
        let people: Vec<String> = people.collect();
        assert_eq!(route(&mut catalog, &people[0], 200), people[0]);
        for path in &people {
            route(&mut catalog, path, 200);
        }
        assert_eq!(
            route(&mut catalog, &people[0], 200),
            "/v1/people/{name}/orders"
        );
        assert_eq!(
            route(&mut catalog, "/v1/people/grace77/orders", 200),
            "/v1/people/{name}/orders"
        );
        assert!(catalog.routes() < 100, "{}", catalog.routes());
        let counts = catalog.counts();
        assert!(counts.values > 10 && counts.renamed > 0, "{counts:?}");
        let change = (people[0].as_str(), "/v1/people/{name}/orders");
        assert!(catalog.renames().any(|renamed| renamed == change));
    }

    #[test]
    fn a_flood_of_distinct_paths_takes_bounded_room() {
        let mut catalog = Catalog::default();
        for n in 0..30_000_u32 {
            let word = |seed: u32| {
                let letters = (0..8).map(|at| seed.wrapping_mul(0x9e37_79b9).rotate_left(at * 4));
                letters
                    .map(|x| char::from(b'a' + (x % 26) as u8))
                    .collect::<String>()
            };
            let path = format!("/{}/{}/{}", word(n % 700), word(n), word(n + 1));
            route(&mut catalog, &path, [200, 404, 403][n as usize % 3]);
            assert!(catalog.places() <= MAX_PLACES_PER_SERVICE);
            assert!(catalog.routes() <= 500);
        }
    }

    proptest! {
        #[test]
        fn any_calls_get_short_printable_names(
            calls in proptest::collection::vec(("[A-Z]{1,8}", ".{0,80}|(/[a-z0-9.:(){}%]{0,9}){0,7}", 100u16..600), 0..200)
        ) {
            let mut catalog = Catalog::default();
            for (method, path, status) in calls {
                let mut call = call(&method, &path, Some(status));
                catalog.name(&mut call);
                let name = call.route.unwrap_or_default();
                prop_assert!(!name.is_empty() && name.len() <= MAX_TEMPLATE);
                prop_assert!(name.bytes().all(|b| b.is_ascii_graphic()));
            }
        }
    }
}
