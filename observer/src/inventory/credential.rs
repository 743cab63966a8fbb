//! What is known of one credential: how old it is, what it is used for, what it may be used for.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::endpoint::count;
use crate::call::{ApiCall, AuthOutcome, Claims, Identity, IdentityKind};

/// Endpoints told apart; the calls of further ones are counted together.
const MOST_ENDPOINTS: usize = 32;
/// Scopes kept.
const MOST_SCOPES: usize = 32;

/// Sums over the calls in which a credential was accepted. Of JSON Web Tokens, which are replaced all
/// the time, those of one subject are one credential.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Credential {
    /// Kind of name, as in calls.
    pub kind: String,
    /// The public name.
    pub id: String,
    /// Service that accepted it last.
    pub service: String,
    /// Unix time of the first call, milliseconds.
    pub first_seen_ms: u64,
    /// Unix time of the latest call, milliseconds.
    pub last_seen_ms: u64,
    /// Calls.
    pub calls: u64,
    /// Calls by endpoint: service, method and route.
    pub endpoints: BTreeMap<String, u64>,
    /// Calls of endpoints that found no place.
    pub other_endpoints: u64,
    /// What its tokens say it may do.
    pub scopes: BTreeSet<String>,
    /// How long its last token is valid, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime_s: Option<i64>,
    /// How its last token is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
}

/// The credential of a call that was accepted, with the key it is kept under: the fingerprint, or of
/// a token its subject.
pub(super) fn of(call: &ApiCall) -> Option<(String, &Identity)> {
    if call.auth.outcome != AuthOutcome::Success {
        return None;
    }
    let all = call.identities.iter().chain(call.identity.as_ref());
    let identity: &Identity = all
        .map(AsRef::as_ref)
        .find(|one| one.fingerprint.is_some() && one.kind != IdentityKind::Session)?;
    let key = match (identity.kind, &identity.fingerprint) {
        (IdentityKind::Jwt, _) => format!("jwt:{}", identity.id),
        (_, Some(fingerprint)) => fingerprint.to_string(),
        (_, None) => return None,
    };
    Some((key, identity))
}

impl Credential {
    pub(super) fn add(&mut self, call: &ApiCall, identity: &Identity) {
        let time_ms = call.time_unix_ns / 1_000_000;
        let service = call.service.as_deref().unwrap_or_default();
        if self.calls == 0 {
            self.first_seen_ms = time_ms;
            self.kind = identity.kind.as_str().to_owned();
            self.id = identity.id.to_string();
        }
        if self.service != service {
            service.clone_into(&mut self.service);
        }
        self.last_seen_ms = self.last_seen_ms.max(time_ms);
        self.calls += 1;
        let route = call.route.as_deref().unwrap_or_default();
        let endpoint = format!("{service} {} {route}", call.method);
        if !count(&mut self.endpoints, &endpoint, 1, MOST_ENDPOINTS) {
            self.other_endpoints += 1;
        }
        if let Some(claims) = identity.claims.as_deref() {
            self.claim(claims);
        }
    }

    fn claim(&mut self, claims: &Claims) {
        for scope in &claims.scopes {
            if self.scopes.len() < MOST_SCOPES && !self.scopes.contains(&**scope) {
                self.scopes.insert(scope.to_string());
            }
        }
        if let (Some(issued), Some(expires)) = (claims.issued_s, claims.expires_s) {
            self.lifetime_s = Some(expires.saturating_sub(issued));
        }
        if self.algorithm.as_deref() != claims.algorithm.as_deref() {
            self.algorithm = claims.algorithm.as_deref().map(str::to_owned);
        }
    }

    /// Adds later sums of the same credential.
    pub(super) fn merge(&mut self, later: &Self) {
        let Self {
            kind,
            id,
            service,
            first_seen_ms,
            last_seen_ms,
            calls,
            endpoints,
            other_endpoints,
            scopes,
            lifetime_s,
            algorithm,
        } = later;
        if self.calls == 0 || *first_seen_ms < self.first_seen_ms {
            self.first_seen_ms = *first_seen_ms;
        }
        self.last_seen_ms = self.last_seen_ms.max(*last_seen_ms);
        kind.clone_into(&mut self.kind);
        id.clone_into(&mut self.id);
        service.clone_into(&mut self.service);
        self.calls = self.calls.saturating_add(*calls);
        self.other_endpoints = self.other_endpoints.saturating_add(*other_endpoints);
        for (endpoint, calls) in endpoints {
            if !count(&mut self.endpoints, endpoint, *calls, MOST_ENDPOINTS) {
                self.other_endpoints = self.other_endpoints.saturating_add(*calls);
            }
        }
        for scope in scopes {
            if self.scopes.len() < MOST_SCOPES {
                self.scopes.insert(scope.clone());
            }
        }
        self.lifetime_s = lifetime_s.or(self.lifetime_s);
        if algorithm.is_some() {
            self.algorithm.clone_from(algorithm);
        }
    }
}
