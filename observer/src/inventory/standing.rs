//! How an endpoint stands against what is documented, and against time.

use super::documents::Document;
use super::endpoint::Endpoint;
use super::service::Service;

/// First seen less long ago than this is new: a week.
const NEW_MS: u64 = 7 * 86_400_000;
/// Last seen longer ago than this is dormant: thirty days.
const DORMANT_MS: u64 = 30 * 86_400_000;

/// The states of an endpoint: `documented`, `shadow` (called and not documented), `zombie`
/// (called though deprecated), `new`, `dormant`. Without a document of the service only the last
/// two.
pub fn states(
    name: &str,
    endpoint: &Endpoint,
    document: Option<&Document>,
    now_ms: u64,
) -> Vec<&'static str> {
    let mut states = Vec::new();
    if let Some(document) = document {
        states.push(match document.find(name) {
            None => "shadow",
            Some(documented) if documented.deprecated => "zombie",
            Some(_) => "documented",
        });
    }
    if now_ms.saturating_sub(endpoint.first_seen_ms) < NEW_MS {
        states.push("new");
    }
    if now_ms.saturating_sub(endpoint.last_seen_ms) > DORMANT_MS {
        states.push("dormant");
    }
    states
}

/// What is documented of a service and was never called (`orphan`).
pub fn orphans<'a>(service: &Service, document: Option<&'a Document>) -> Vec<&'a str> {
    let called = |operation: &str| {
        let alone = Document {
            service: String::new(),
            operations: vec![super::Documented {
                name: operation.to_owned(),
                deprecated: false,
            }],
        };
        service
            .endpoints
            .keys()
            .any(|name| alone.find(name).is_some())
    };
    document
        .map(|document| {
            let names = document.operations.iter().map(|found| found.name.as_str());
            names.filter(|name| !called(name)).collect()
        })
        .unwrap_or_default()
}

/// Per cent of a service's calls that came without TLS; `None` if it has no calls.
pub fn plaintext_share(service: &Service) -> Option<u64> {
    let mut calls = [0_u64; 2];
    for (protocol, count) in &service.protocols {
        let [plain, all] = &mut calls;
        *all = all.saturating_add(*count);
        if !protocol.ends_with("over TLS") {
            *plain = plain.saturating_add(*count);
        }
    }
    let [plain, all] = calls;
    (all > 0).then(|| plain.saturating_mul(100) / all)
}

/// What is wrong with a service: credentials in clear text, in URLs, passwords with each request,
/// plaintext beside TLS, calls from other hosts past the proxies that others come through,
/// TLS that is out of date (RFC 8996), endpoints that take some callers without
/// a credential.
pub fn findings(service: &Service) -> Vec<&'static str> {
    let mut found = Vec::new();
    if service
        .endpoints
        .values()
        .any(|endpoint| endpoint.clear_text_credentials > 0)
    {
        found.push("clear_text_credentials");
    }
    // Only a trusted proxy makes a call one that came through one.
    let mut endpoints = service.endpoints.values();
    let through = service
        .endpoints
        .values()
        .any(|one| one.through_proxies > 0);
    if through && endpoints.any(|one| one.past_proxies > 0) {
        found.push("proxy_bypassed");
    }
    let old = [
        "SSLv2", "SSLv3", "TLSv1", "TLSv1.0", "TLSv1.1", "TLS 1.0", "TLS 1.1",
    ];
    if service
        .tls
        .keys()
        .any(|tls| old.iter().any(|version| tls.ends_with(version)))
    {
        found.push("old_tls");
    }
    let mixed = |endpoint: &Endpoint| {
        let none = endpoint.schemes.get("none").copied().unwrap_or(0);
        none > 0
            && none < endpoint.calls
            && endpoint.statuses.keys().any(|s| (200..300).contains(s))
            && endpoint.auth_failures == 0
            && !endpoint.statuses.contains_key(&401)
    };
    if service.endpoints.values().any(mixed) {
        found.push("mixed_authentication");
    }
    let any = |wrong: fn(&Endpoint) -> bool| service.endpoints.values().any(wrong);
    if any(|endpoint| {
        endpoint
            .sources
            .keys()
            .any(|from| from.starts_with("query:"))
    }) {
        found.push("credentials_in_urls");
    }
    if any(|endpoint| endpoint.schemes.contains_key("basic")) {
        found.push("basic_auth");
    }
    if matches!(plaintext_share(service), Some(1..=99)) {
        found.push("plaintext_beside_tls");
    }
    found
}
