//! What calls are named.

use super::{Catalog, CatalogLimits, MAX_PLACES_PER_SERVICE, RouteRule};
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
            container_name: None,
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
    let mut named = process(None, Some(id), "node");
    if let Some(process) = &mut named {
        process.container_name = Some("shop/web".to_owned());
    }
    assert_eq!(name(named), "shop/web");
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

#[test]
fn declared_routes_win_over_learned_ones_and_need_no_success() {
    let mut catalog = Catalog::default();
    let rule = |text: &str| RouteRule::parse(text).unwrap();
    catalog.declare(
        vec![rule("/people/{who}/orders"), rule("elsewhere /x/{y}")],
        vec![rule("svc /people/{name}/orders"), rule("svc /a/{b}/c")],
    );
    let mut asked = |path: &str, status| {
        let mut call = call("GET", path, Some(status));
        call.process = Some(Arc::new(Process {
            name: "svc".to_owned(),
            ..Process::default()
        }));
        catalog.name(&mut call);
        call.route
            .map(|route| route.to_string())
            .unwrap_or_default()
    };
    for _ in 0..2 {
        assert_eq!(asked("/people/zoe/orders", 200), "/people/{who}/orders");
        assert_eq!(asked("/a/17/c", 404), "/a/{b}/c");
        assert_eq!(asked("/x/word", 200), "/x/word");
    }
    assert_eq!(catalog.places(), 2);
}

#[test]
fn what_was_learned_outlives_a_restart() {
    let mut catalog = Catalog::default();
    for n in 0..400 {
        route(&mut catalog, &format!("/v1/people/ada{n}/orders"), 200);
    }
    let (service, text) = catalog.take_record().unwrap();
    // Nothing is new.
    assert_eq!((0..99).find_map(|_| catalog.take_record()), None);
    route(&mut catalog, "/v1/other", 200);
    assert!((0..99).find_map(|_| catalog.take_record()).is_some());

    let mut after = Catalog::default();
    assert!(after.restore(&service, &text) && !after.restore(&service, &text));
    assert!(!after.restore("broken", &text[..text.len() / 2 + 1]));
    let first = route(&mut after, "/v1/people/grace/orders", 200);
    assert_eq!(first, "/v1/people/{name}/orders");
    assert!(after.places() > 3 && after.places() <= catalog.places());
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
