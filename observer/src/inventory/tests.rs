//! From calls to the inventory, its file, its table and its documents.

use std::fs;

use super::{
    Document, Documented, Inventory, Store, StoreError, Tally, findings, open_api, orphans, states,
    table,
};
use crate::call::{ApiCall, AuthScheme, Role};
use crate::catalog::sample;
use crate::detect::Judge;
use crate::stream::{Tls, TlsHello, TlsVersion};
use std::sync::Arc;

const DAY_MS: u64 = 86_400_000;

fn call(method: &str, route: &str, status: u16) -> ApiCall {
    let mut call = sample::call(method, route, Some(status));
    call.service = Some("shop".into());
    call.route = Some(route.into());
    call.auth.outcome = Judge::default().judge(&call);
    call
}

fn sum(calls: &[ApiCall]) -> Inventory {
    let mut inventory = Inventory::default();
    for call in calls {
        let mut tally = Tally::default();
        tally.push(call);
        inventory.merge(&tally.take());
    }
    inventory
}

fn shop() -> Inventory {
    let mut signed = call("GET", "/users/{id}", 200);
    signed.query = Some("page=*&limit=*".to_owned());
    signed.auth.scheme = AuthScheme::Basic;
    let mut out = call("GET", "/elsewhere", 200);
    out.role = Role::Client;
    sum(&[
        call("GET", "/users/{id}", 404),
        signed,
        call("POST", "/users", 500),
        call("GET", "{unmatched}", 404),
        out,
    ])
}

#[test]
fn what_is_served_is_summed_up_by_endpoint() {
    let inventory = shop();
    let service = &inventory.services["shop"];
    assert_eq!(inventory.endpoints(), 2);
    assert_eq!(service.unmatched, 1);
    let users = &service.endpoints["GET /users/{id}"];
    assert_eq!(
        (users.calls, users.client_errors, users.server_errors),
        (2, 1, 0)
    );
    assert_eq!(users.clear_text_credentials, 1);
    assert_eq!(
        users.parameters.keys().collect::<Vec<_>>(),
        ["limit", "page"]
    );
    assert_eq!(users.schemes.keys().collect::<Vec<_>>(), ["basic", "none"]);
    assert_eq!(users.callers["address:192.0.2.7"], 2);
    assert_eq!(
        service.programs["/usr/sbin/nginx"].unit.as_deref(),
        Some("nginx.service")
    );
    assert!(service.addresses.contains("192.0.2.1:8080"));
}

#[test]
fn what_is_wrong_with_a_service_is_told() {
    let of = |calls: &[ApiCall]| findings(&sum(calls).services["shop"]);
    assert_eq!(of(&[call("GET", "/a", 200)]), Vec::<&str>::new());

    let tls = |version: TlsVersion| {
        let mut call = call("GET", "/a", 200);
        call.scheme = "https";
        call.tls = Some(Arc::new(Tls::default()));
        call.hello = Some(Arc::new(TlsHello {
            version: Some(version),
            ..TlsHello::default()
        }));
        call
    };
    assert_eq!(
        of(&[tls(TlsVersion::Tls13), tls(TlsVersion::Tls12)]),
        Vec::<&str>::new()
    );
    for old in [TlsVersion::Tls11, TlsVersion::Tls10, TlsVersion::Ssl30] {
        assert_eq!(
            of(&[tls(TlsVersion::Tls13), tls(old)]),
            ["old_tls"],
            "{old:?}"
        );
    }

    let mut plain = call("GET", "/a", 200);
    plain.auth.scheme = AuthScheme::Basic;
    assert_eq!(
        of(std::slice::from_ref(&plain)),
        ["clear_text_credentials", "basic_auth"]
    );
    // A proxy on this host may have had it by TLS.
    plain.peer = Some(([127, 0, 0, 1], 4000).into());
    assert_eq!(of(std::slice::from_ref(&plain)), ["basic_auth"]);

    let mut through = call("GET", "/a", 200);
    through.peer = Some(([10, 0, 0, 1], 4000).into());
    assert_eq!(of(std::slice::from_ref(&through)), Vec::<&str>::new());
    let mut local = call("GET", "/a", 200);
    local.client = Some(([127, 0, 0, 1], 4000).into());
    assert_eq!(of(&[through.clone(), local]), Vec::<&str>::new());
    assert_eq!(of(&[through, call("GET", "/b", 200)]), ["proxy_bypassed"]);
}

#[test]
fn endpoints_have_every_state() {
    let inventory = sum(&[
        call("GET", "/users/{id}", 200),
        call("DELETE", "/users/{id}", 200),
    ]);
    let service = &inventory.services["shop"];
    let seen = service.first_seen_ms;
    let documented = |name: &str, deprecated| Documented {
        name: name.to_owned(),
        deprecated,
    };
    let document = Document {
        service: "shop".to_owned(),
        operations: vec![
            documented("GET /users/{userId}", false),
            documented("DELETE /users/{userId}", true),
            documented("GET /never", false),
        ],
    };
    let of = |name: &str, document, days| {
        states(
            name,
            &service.endpoints[name],
            document,
            seen + days * DAY_MS,
        )
    };
    let get = "GET /users/{id}";
    assert_eq!(of(get, None, 1), ["new"]);
    assert_eq!(of(get, None, 8), Vec::<&str>::new());
    assert_eq!(of(get, None, 31), ["dormant"]);
    assert_eq!(of(get, Some(&document), 8), ["documented"]);
    assert_eq!(of("DELETE /users/{id}", Some(&document), 8), ["zombie"]);
    assert_eq!(of(get, Some(&Document::default()), 8), ["shadow"]);
    assert_eq!(orphans(service, Some(&document)), ["GET /never"]);
}

#[test]
fn floods_are_bounded_and_counted() {
    let mut inventory = Inventory::default();
    let mut tally = Tally::default();
    for n in 0..30_000u32 {
        let mut call = call("GET", &format!("/e{n}"), 200);
        call.client = Some((n.to_be_bytes(), 1).into());
        call.query = Some(format!("k{n}=*"));
        tally.push(&call);
        call.route = Some("/one".into());
        tally.push(&call);
        if n % 1000 == 0 {
            inventory.merge(&tally.take());
        }
    }
    inventory.merge(&tally.take());
    assert_eq!(inventory.endpoints(), 20_000);
    assert_eq!(inventory.folded + tally.dropped(), 10_001);
    let one = &inventory.services["shop"].endpoints["GET /one"];
    assert_eq!((one.callers.len(), one.parameters.len()), (32, 32));
    assert_eq!(
        one.calls,
        one.callers.values().sum::<u64>() + one.other_callers
    );
}

#[test]
fn a_route_with_a_new_name_keeps_what_was_counted() {
    let mut inventory = sum(&[
        call("GET", "/tags/red", 200),
        call("GET", "/tags/blue", 200),
        call("GET", "/tags/{name}", 200),
    ]);
    inventory.rename("shop", "/tags/red", "/tags/{name}", 7);
    inventory.rename("shop", "/tags/blue", "/tags/{name}", 7);
    // A part that got a name of its own.
    inventory.rename("shop", "/tags/{name}", "/tags/search", 7);
    let endpoints = &inventory.services["shop"].endpoints;
    assert_eq!(endpoints.len(), 1);
    assert_eq!(endpoints["GET /tags/{name}"].calls, 3);
    let changes = inventory.services["shop"].changes.iter();
    let changes: Vec<_> = changes.map(|c| (&*c.old, &*c.new, c.merged)).collect();
    assert_eq!(
        changes,
        [
            ("/tags/red", "/tags/{name}", true),
            ("/tags/blue", "/tags/{name}", true),
            ("/tags/{name}", "/tags/search", false),
        ]
    );
}

#[test]
fn the_file_keeps_everything_and_a_damaged_one_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(&dir.path().join("state"));
    assert!(store.load().unwrap().is_none());
    let inventory = shop();
    store.save(&inventory).unwrap();
    assert_eq!(store.load().unwrap(), Some(inventory.clone()));
    assert_eq!(store.open(), inventory);

    let mut bytes = fs::read(store.path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(store.path(), &bytes).unwrap();
    assert!(matches!(store.load(), Err(StoreError::Damaged { .. })));
    assert_eq!(store.open(), Inventory::default());
    assert_eq!(
        fs::read(store.path().with_extension("damaged")).unwrap(),
        bytes
    );
    store.save(&inventory).unwrap();
    assert_eq!(store.open(), inventory);
    for cut in [0, 5, 30, bytes.len() - 1] {
        fs::write(store.path(), &bytes[..cut]).unwrap();
        assert!(store.load().is_err(), "{cut}");
    }
}

#[test]
fn endpoints_stand_against_documents_and_time() {
    let inventory = shop();
    let service = &inventory.services["shop"];
    let documented = |name: &str, deprecated| Documented {
        name: name.to_owned(),
        deprecated,
    };
    let document = Document {
        service: "shop".to_owned(),
        operations: vec![
            documented("GET /users/{userId}", false),
            documented("GET /carts", true),
        ],
    };
    let users = &service.endpoints["GET /users/{id}"];
    let seen = users.last_seen_ms;
    let at = |name, days| states(name, users, Some(&document), seen + days * DAY_MS);
    assert_eq!(at("GET /users/{id}", 0), ["documented", "new"]);
    assert_eq!(at("POST /users", 8), ["shadow"]);
    assert_eq!(at("GET /carts", 31), ["zombie", "dormant"]);
    assert_eq!(orphans(service, Some(&document)), ["GET /carts"]);
    assert_eq!(findings(service)[0], "clear_text_credentials");
}

#[test]
fn the_table_fits_its_width_and_shows_no_control_character() {
    let mut evil = call("GET", "/a\u{1b}[2J", 200);
    evil.service = Some("evil\u{1b}".into());
    let inventory = sum(&[evil, call("GET", &"/very-long".repeat(30), 200)]);
    for width in [60, 100] {
        let text = table(&inventory, &[], 0, width);
        assert!(
            text.lines().all(|line| line.chars().count() <= width),
            "{text}"
        );
        assert!(!text.contains('\u{1b}') && text.contains("GET"));
    }
}

#[test]
fn an_open_api_document_has_paths_parameters_and_schemes() {
    let inventory = shop();
    let document = open_api("shop", &inventory.services["shop"]);
    assert_eq!(document["openapi"], "3.1.0");
    let get = &document["paths"]["/users/{id}"]["get"];
    assert_eq!(get["parameters"][0]["schema"]["type"], "integer");
    assert_eq!(get["parameters"][1]["name"], "limit");
    assert_eq!(get["parameters"][1]["required"], false);
    assert_eq!(get["responses"]["404"]["x-request-count"], 1);
    assert_eq!(get["security"][0]["basic"], serde_json::json!([]));
    assert_eq!(
        document["components"]["securitySchemes"]["basic"]["scheme"],
        "basic"
    );
    assert!(document["paths"]["/users"]["post"]["responses"]["500"].is_object());
}
