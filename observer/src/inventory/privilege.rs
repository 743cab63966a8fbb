//! What is wrong with credentials: too old, replaced and still used, unused, allowed more than used.

use std::collections::BTreeSet;

use super::credential::Credential;
use super::state::Inventory;

const DAY_MS: u64 = 86_400_000;
/// A secret that is used for longer than this without a change: ninety days.
const ROTATION_MS: u64 = 90 * DAY_MS;
/// Programs may need so long to learn the new one: a day.
const OVERLAP_MS: u64 = DAY_MS;
/// Not used for so long: nobody would miss it. Thirty days.
const UNUSED_MS: u64 = 30 * DAY_MS;
/// Calls that show what a caller needs.
const SETTLED: u64 = 50;
/// A token that is valid for longer than this outlives its purpose, seconds.
const LONG_S: i64 = 86_400;

/// What is wrong with the credential that is kept under `key`, in short words; of scopes that are
/// never needed, each as `unused_scope:NAME`.
pub fn credential_findings(
    inventory: &Inventory,
    key: &str,
    credential: &Credential,
    now_ms: u64,
) -> Vec<String> {
    let Credential {
        kind,
        id,
        first_seen_ms,
        last_seen_ms,
        calls,
        other_endpoints,
        lifetime_s,
        algorithm,
        ..
    } = credential;
    let mut found = Vec::new();
    let token = kind == "jwt";
    let unused = now_ms.saturating_sub(*last_seen_ms) >= UNUSED_MS;
    if unused {
        found.push("unused".to_owned());
    }
    if !token && !unused && last_seen_ms.saturating_sub(*first_seen_ms) >= ROTATION_MS {
        found.push("not_rotated".to_owned());
    }
    let replaced = |other: &Credential| {
        other.kind == *kind
            && other.id == *id
            && other.service == credential.service
            && other.first_seen_ms > *first_seen_ms
            && *last_seen_ms >= other.first_seen_ms.saturating_add(OVERLAP_MS)
    };
    // Where the name is the fingerprint, nobody knows what replaces it.
    if !token
        && inventory
            .credentials
            .iter()
            .any(|(other_key, other)| other_key != key && replaced(other))
    {
        found.push("used_after_replacement".to_owned());
    }
    if lifetime_s.is_some_and(|lifetime| lifetime > LONG_S) {
        found.push("long_lived".to_owned());
    }
    match algorithm.as_deref() {
        Some(algorithm) if algorithm.eq_ignore_ascii_case("none") => {
            found.push("unsigned".to_owned());
        }
        Some("HS256" | "HS384" | "HS512") => found.push("symmetric".to_owned()),
        _ => {}
    }
    if *calls >= SETTLED && *other_endpoints == 0 {
        let unused = unused_scopes(inventory, credential);
        found.extend(
            unused
                .into_iter()
                .map(|scope| format!("unused_scope:{scope}")),
        );
    }
    found
}

/// Scopes that endpoints need which the credential never called. An endpoint is taken to need the
/// scopes that all of its callers have.
fn unused_scopes(inventory: &Inventory, credential: &Credential) -> Vec<String> {
    let mut needed = BTreeSet::new();
    let mut used = BTreeSet::new();
    for (service, known) in &inventory.services {
        for (name, endpoint) in &known.endpoints {
            let scopes = endpoint.common_scopes.iter().flatten();
            let called = credential
                .endpoints
                .contains_key(&format!("{service} {name}"));
            for scope in scopes.filter(|scope| credential.scopes.contains(*scope)) {
                if called {
                    used.insert(scope.clone());
                } else {
                    needed.insert(scope.clone());
                }
            }
        }
    }
    needed.difference(&used).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{DAY_MS, credential_findings};
    use crate::call::{ApiCall, AuthOutcome, AuthScheme, Claims, Identity, IdentityKind};
    use crate::catalog::sample;
    use crate::inventory::{Inventory, Tally};

    const DAY_NS: u64 = DAY_MS * 1_000_000;

    fn call(route: &str, day: u64, kind: IdentityKind, id: &str, secret: &str) -> ApiCall {
        let mut call = sample::call("GET", route, Some(200));
        call.time_unix_ns += day * DAY_NS;
        call.service = Some("shop".into());
        call.route = Some(route.into());
        call.auth.scheme = AuthScheme::Bearer;
        call.auth.outcome = AuthOutcome::Success;
        call.identities = vec![Arc::new(Identity {
            kind,
            id: id.into(),
            fingerprint: Some(secret.into()),
            earlier: None,
            class: None,
            source: "header:authorization".into(),
            verified: true,
            claims: None,
        })];
        call
    }

    fn scoped(route: &str, id: &str, scopes: &[&str]) -> ApiCall {
        let mut call = call(route, 0, IdentityKind::Jwt, id, "fp");
        let identity = Arc::make_mut(&mut call.identities[0]);
        identity.claims = Some(Arc::new(Claims {
            scopes: scopes.iter().map(|scope| Box::from(*scope)).collect(),
            issued_s: Some(0),
            expires_s: Some(7 * 86_400),
            algorithm: Some("RS256".into()),
            ..Claims::default()
        }));
        call
    }

    fn inventory(calls: impl IntoIterator<Item = ApiCall>) -> (Inventory, u64) {
        let mut inventory = Inventory::default();
        let mut tally = Tally::default();
        let mut now_ms = 0;
        for call in calls {
            now_ms = now_ms.max(call.time_unix_ns / 1_000_000);
            tally.push(&call);
            inventory.merge(&tally.take());
            inventory.merge_credentials(tally.take_credentials());
        }
        (inventory, now_ms)
    }

    fn findings(inventory: &Inventory, key: &str, now_ms: u64) -> Vec<String> {
        credential_findings(inventory, key, &inventory.credentials[key], now_ms)
    }

    #[test]
    fn keys_that_are_old_unused_or_used_after_their_replacement_are_named() {
        let basic = |day, secret| call("/a", day, IdentityKind::Basic, "ana", secret);
        let key = |day, secret| call("/a", day, IdentityKind::ApiKey, secret, secret);
        let (inventory, now_ms) = inventory([
            basic(0, "old"),
            basic(40, "new"),
            basic(42, "old"),
            key(0, "steady"),
            key(99, "steady"),
            key(100, "fresh"),
            basic(100, "new"),
        ]);
        assert_eq!(
            findings(&inventory, "old", now_ms),
            ["unused", "used_after_replacement"]
        );
        assert_eq!(findings(&inventory, "steady", now_ms), ["not_rotated"]);
        assert!(findings(&inventory, "fresh", now_ms).is_empty());
        assert!(findings(&inventory, "new", now_ms).is_empty());
    }

    #[test]
    fn scopes_that_are_granted_and_never_needed_are_named() {
        let mut calls = Vec::new();
        for _ in 0..60 {
            calls.push(scoped("/orders", "reader", &["orders:read", "users:admin"]));
            calls.push(scoped("/orders", "other", &["orders:read"]));
            calls.push(scoped("/users", "admin", &["users:admin", "orders:read"]));
            calls.push(scoped("/users", "second", &["users:admin"]));
        }
        let (inventory, now_ms) = inventory(calls);
        assert_eq!(
            findings(&inventory, "jwt:reader", now_ms),
            ["long_lived", "unused_scope:users:admin"]
        );
        assert_eq!(
            findings(&inventory, "jwt:admin", now_ms),
            ["long_lived", "unused_scope:orders:read"]
        );
        assert_eq!(findings(&inventory, "jwt:other", now_ms), ["long_lived"]);
    }

    #[test]
    fn credentials_are_bounded_and_those_used_last_stay() {
        let calls = (0..5000_u64).map(|n| {
            let mut call = call(
                "/a",
                0,
                IdentityKind::ApiKey,
                &n.to_string(),
                &n.to_string(),
            );
            call.time_unix_ns += n * 1_000_000;
            call
        });
        let (inventory, _) = inventory(calls);
        assert!(inventory.credentials.len() <= 4096);
        assert!(inventory.credentials.contains_key("4999"));
        assert!(!inventory.credentials.contains_key("0"));
    }
}
