//! Each posture with its innocent twin.

use std::sync::Arc;

use super::{HOUR, Posture};
use crate::call::{ApiCall, AuthOutcome, AuthScheme, Claims, Identity, IdentityKind};
use crate::catalog::sample;
use crate::stream::{TlsHello, TlsVersion};

fn call(method: &str, route: &str) -> ApiCall {
    let mut call = sample::call(method, route, Some(200));
    call.service = Some("shop".into());
    call.route = Some(route.into());
    call
}

fn with(mut call: ApiCall, kind: IdentityKind, user: &str, secret: &str) -> ApiCall {
    call.auth.scheme = if kind == IdentityKind::Basic {
        AuthScheme::Basic
    } else {
        AuthScheme::Bearer
    };
    call.auth.outcome = AuthOutcome::Success;
    let identity = Arc::new(Identity {
        kind,
        id: user.into(),
        fingerprint: Some(secret.into()),
        earlier: None,
        class: None,
        source: "header:authorization".into(),
        verified: true,
        claims: Some(Arc::new(Claims {
            algorithm: (kind == IdentityKind::Jwt).then(|| "HS256".into()),
            ..Claims::default()
        })),
    });
    call.identity = Some(Arc::clone(&identity));
    call.identities = vec![identity];
    call
}

fn found(posture: &mut Posture, calls: impl IntoIterator<Item = ApiCall>) -> Vec<String> {
    let mut found = Vec::new();
    for call in calls {
        posture.push(&call, &mut |finding| found.push(finding.rule.to_string()));
    }
    found
}

#[test]
fn weak_credentials_are_told_once_for_each_endpoint() {
    let mut posture = Posture::default();
    let basic = || with(call("GET", "/a"), IdentityKind::Basic, "ana", "fp1");
    let token = || with(call("GET", "/b"), IdentityKind::Jwt, "ana", "fp2");
    let calls = [basic(), token(), basic(), token()];
    assert_eq!(
        found(&mut posture, calls),
        ["basic_auth", "symmetric_token"]
    );
    // A password that was refused says nothing of the endpoint.
    let mut refused = with(call("GET", "/c"), IdentityKind::Basic, "ana", "fp1");
    refused.status = Some(401);
    refused.auth.outcome = AuthOutcome::Failed;
    assert!(found(&mut posture, [refused]).is_empty());
}

#[test]
fn versions_of_tls_that_are_withdrawn_are_told_once_for_each_service() {
    let mut posture = Posture::default();
    let over = |version| {
        let mut call = call("GET", "/a");
        call.hello = Some(Arc::new(TlsHello {
            version: Some(version),
            ..TlsHello::default()
        }));
        call
    };
    assert!(found(&mut posture, [over(TlsVersion::Tls12), call("GET", "/a")]).is_empty());
    let old = [over(TlsVersion::Tls10), over(TlsVersion::Tls11)];
    assert_eq!(found(&mut posture, old), ["old_tls"]);
}

#[test]
fn an_endpoint_that_takes_changes_from_anybody_is_told_where_others_ask() {
    let anybody = || (0..30).map(|_| call("POST", "/comments"));
    // A service that never asks is meant to be open.
    assert!(found(&mut Posture::default(), anybody()).is_empty());
    let mut posture = Posture::default();
    let asked = (0..30).map(|_| with(call("GET", "/b"), IdentityKind::Token, "t", "fp"));
    assert!(found(&mut posture, asked).is_empty());
    assert!(found(&mut posture, (0..30).map(|_| call("GET", "/news"))).is_empty());
    let logins = (0..30).map(|_| call("POST", "/login"));
    assert!(found(&mut posture, logins).is_empty());
    assert_eq!(found(&mut posture, anybody()), ["open_endpoint"]);
}

#[test]
fn an_old_version_that_is_still_called_is_told_once_a_newer_one_is_in_use() {
    let mut posture = Posture::default();
    let of = |route: &'static str, n: u32| (0..n).map(move |_| call("GET", route));
    assert!(found(&mut posture, of("/api/v1/orders/{id}", 30)).is_empty());
    assert!(found(&mut posture, of("/api/v2/orders/{id}", 30)).is_empty());
    assert!(found(&mut posture, of("/api/v1/items", 30)).is_empty());
    let told = found(&mut posture, of("/api/v1/orders/{id}", 30));
    assert_eq!(told, ["old_api_version"]);
}

#[test]
fn a_password_that_was_replaced_and_still_works_is_told() {
    let mut posture = Posture::default();
    let login = |at: u64, secret: &str| {
        let mut call = with(call("GET", "/a"), IdentityKind::Basic, "ana", secret);
        call.time_unix_ns += at;
        call
    };
    let rules = found(
        &mut posture,
        [
            login(0, "old"),
            login(1, "new"),
            // Programs need a while to learn the new one.
            login(2, "old"),
            login(2 * HOUR, "new"),
            login(3 * HOUR, "old"),
            login(4 * HOUR, "old"),
        ],
    );
    assert_eq!(rules, ["basic_auth", "replaced_credential"]);
}

#[test]
fn a_call_past_the_gateway_is_told_and_a_service_without_one_is_left_alone() {
    let from = |n: u64, address: [u8; 4], users: u64| {
        let user = format!("user{}", n % users);
        let mut call = with(call("GET", "/a"), IdentityKind::Token, &user, &user);
        call.client = Some((address, 4000).into());
        call
    };
    let mut posture = Posture::default();
    let stray = (0..3).map(|n| from(n, [198, 51, 100, 9], 1));
    assert!(found(&mut posture, stray).is_empty());
    let usual = (0..1000).map(|n| from(n, [192, 0, 2, 1], 40));
    assert!(found(&mut posture, usual).is_empty());
    let past = (0..5).map(|n| from(n, [198, 51, 100, 7], 1));
    assert_eq!(found(&mut posture, past), ["gateway_bypass"]);
    // One program that calls most is no gateway, nor is any of many clients.
    let mut posture = Posture::default();
    let busy = (0..1000).map(|n| from(n, [192, 0, 2, 1], 1));
    assert!(found(&mut posture, busy).is_empty());
    let many = (0..1000).map(|n| from(n, [203, 0, 113, (n % 200) as u8], 40));
    assert!(found(&mut posture, many).is_empty());
}
