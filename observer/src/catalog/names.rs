//! The table of services and their routes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::canonical;
use super::recent::Recent;
use super::service;
use crate::call::ApiCall;

/// Paths whose template is remembered: templating costs about a microsecond, a look-up a tenth.
const REMEMBERED_PATHS: usize = 4096;
/// Longer paths are not remembered, so the memory is bounded in bytes too (about 4 MiB).
const MAX_REMEMBERED_PATH: usize = 384;
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
}

impl CatalogCounts {
    /// Names and values for the metrics.
    pub fn named(&self) -> [(&'static str, u64); 3] {
        let Self {
            folded_routes,
            folded_services,
            unmatched,
        } = *self;
        [
            ("route_folded", folded_routes),
            ("service_folded", folded_services),
            ("route_unmatched", unmatched),
        ]
    }
}

/// How much the answer says about whether the path is an endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// It was served (1xx to 3xx).
    Served,
    /// It was refused or failed (401, 403, 500, …): a scanner gets these on any path too.
    Answered,
    /// Nothing says so: 400, 404, 410, or no answer.
    Absent,
}

impl Evidence {
    fn of(status: Option<u16>) -> Self {
        match status {
            Some(100..=399) => Self::Served,
            Some(400 | 404 | 410) | None => Self::Absent,
            Some(_) => Self::Answered,
        }
    }
}

#[derive(Debug)]
struct Service {
    name: Arc<str>,
    routes: HashSet<Arc<str>>,
}

/// Gives each call its route and its service, both from bounded tables of shared strings.
#[derive(Debug)]
pub struct Catalog {
    limits: CatalogLimits,
    services: HashMap<Arc<str>, Service>,
    templates: Recent<Box<str>, Arc<str>>,
    counts: CatalogCounts,
    other: Arc<str>,
    unmatched: Arc<str>,
    scratch: String,
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
            templates: Recent::new(REMEMBERED_PATHS),
            counts: CatalogCounts::default(),
            other: Arc::from(OTHER),
            unmatched: Arc::from(UNMATCHED),
            scratch: String::with_capacity(service::MAX_NAME),
        }
    }

    /// Fills in `route` and `service`.
    pub fn name(&mut self, call: &mut ApiCall) {
        let Self {
            limits,
            services,
            templates,
            counts,
            other,
            unmatched,
            scratch,
        } = self;

        service::write_name(call, scratch);
        if !services.contains_key(scratch.as_str()) && services.len() < limits.max_services {
            let name: Arc<str> = Arc::from(scratch.as_str());
            services.insert(
                Arc::clone(&name),
                Service {
                    name,
                    routes: HashSet::new(),
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
        let template = template(templates, call);
        let route = if let Some(known) = service.routes.get(&template) {
            Arc::clone(known)
        } else {
            // Paths that were never served may take half of the table: a scanner cannot keep
            // the real endpoints out.
            let room = match Evidence::of(call.status) {
                Evidence::Served => limits.max_routes_per_service,
                Evidence::Answered => limits.max_routes_per_service / 2,
                Evidence::Absent => 0,
            };
            if service.routes.len() < room {
                service.routes.insert(Arc::clone(&template));
                template
            } else if room == 0 {
                counts.unmatched += 1;
                Arc::clone(unmatched)
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

    /// What was folded so far.
    pub fn counts(&self) -> CatalogCounts {
        self.counts
    }
}

fn template(templates: &mut Recent<Box<str>, Arc<str>>, call: &ApiCall) -> Arc<str> {
    // CONNECT alone reads the same text in another way.
    if call.path.len() > MAX_REMEMBERED_PATH || call.method == "CONNECT" {
        return Arc::from(canonical::template(&call.method, &call.path));
    }
    if let Some(template) = templates.get(call.path.as_str()) {
        return Arc::clone(template);
    }
    let template: Arc<str> = Arc::from(canonical::template(&call.method, &call.path));
    templates.insert(call.path.as_str().into(), Arc::clone(&template));
    template
}

#[cfg(test)]
mod tests {
    use super::{Catalog, CatalogLimits};
    use crate::call::ApiCall;
    use crate::catalog::sample::call;
    use crate::discover::Process;
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
                route(&mut catalog, &format!("/wp-{n}.php"), 404),
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
            route(&mut catalog, &format!("/scan-{n}x"), 403);
        }
        assert_eq!(catalog.routes(), 5);
        for n in 0..5 {
            assert_eq!(
                route(&mut catalog, &format!("/real-{n}x"), 200),
                format!("/real-{n}x")
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
}
