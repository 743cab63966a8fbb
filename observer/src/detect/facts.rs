//! What all detections ask of a call, worked out once.

use std::cell::OnceCell;
use std::hash::{BuildHasher as _, Hash};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::finding::{Finding, client_text};
use super::login::is_login;
use super::rule::Rule;
use crate::call::{ApiCall, AuthOutcome, AuthScheme, Identity, IdentityKind};
use crate::hashing::Keyed;

/// Ends of paths that pages load by the dozen.
const STATIC: [&str; 22] = [
    ".css", ".js", ".png", ".jpg", ".jpeg", ".gif", ".ico", ".svg", ".webp", ".woff", ".woff2",
    ".ttf", ".map", ".mp4", ".webm", ".mp3", ".pdf", ".eot", ".avif", ".bmp", ".otf", ".txt",
];
/// Bytes of the longest of them. Each has a dot, most paths have none there.
const LONGEST_STATIC: usize = 6;

/// A call as the detections see it. Things are compared by keyed hashes: an attacker cannot make
/// two of them collide.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) call: &'a ApiCall,
    /// Unix time, nanoseconds.
    pub(super) now: u64,
    /// The client's address; of IPv6 the /64, because one host has a whole one to choose from
    /// (RFC 4291 §2.5.4). With the bits that count.
    pub(super) source: Option<(IpAddr, u8)>,
    /// The user, service account or key id that the request names.
    pub(super) account: Option<(u64, &'a str)>,
    /// The secret that it carries.
    pub(super) credential: Option<(u64, &'a Identity)>,
    pub(super) login: bool,
    pub(super) refused: bool,
    pub(super) accepted: bool,
    pub(super) hasher: &'a Keyed,
    /// Made when they are asked for: few calls need them all.
    source_key: OnceCell<u64>,
    endpoint_key: OnceCell<u64>,
    target_key: OnceCell<u64>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(call: &'a ApiCall, hasher: &'a Keyed) -> Self {
        let source = call.client.map(|client| network(client.ip()));
        let names = || call.identities.iter().map(|identity| &**identity);
        let account = call
            .identity
            .as_deref()
            .filter(|identity| is_account(identity.kind))
            .or_else(|| names().find(|identity| is_account(identity.kind)));
        // What a login is told is whom it is for, whoever the session before was.
        let account = call
            .login
            .as_deref()
            .or(account.map(|identity| &*identity.id));
        let credential = names()
            .find(|identity| identity.fingerprint.is_some())
            .or_else(|| {
                call.identity
                    .as_deref()
                    .filter(|one| one.fingerprint.is_some())
            });
        let login = is_login(call);
        let outcome = call.auth.outcome;
        Self {
            call,
            now: call.time_unix_ns,
            source,
            account: account.map(|name| (hasher.hash_one((&call.service, name)), name)),
            credential: credential
                .map(|identity| (hasher.hash_one(&identity.fingerprint), identity)),
            login,
            refused: outcome == AuthOutcome::Failed,
            accepted: outcome == AuthOutcome::Success,
            hasher,
            source_key: OnceCell::new(),
            endpoint_key: OnceCell::new(),
            target_key: OnceCell::new(),
        }
    }

    /// The source, and which way it asks.
    pub(super) fn source_key(&self) -> u64 {
        self.key(&self.source_key, (self.call.role, self.source))
    }

    /// The /24 or /48 around the source.
    pub(super) fn network_key(&self) -> u64 {
        let wide = self.source.map(|(address, _)| wider(address));
        self.hasher.hash_one(wide)
    }

    /// Service, route and method.
    pub(super) fn endpoint_key(&self) -> u64 {
        let call = self.call;
        self.key(
            &self.endpoint_key,
            (&call.service, &call.route, &call.method),
        )
    }

    /// Method and path.
    pub(super) fn target_key(&self) -> u64 {
        self.key(&self.target_key, (&self.call.method, &self.call.path))
    }

    fn key(&self, known: &OnceCell<u64>, of: impl Hash) -> u64 {
        *known.get_or_init(|| self.hasher.hash_one(of))
    }

    /// The account, else the credential.
    pub(super) fn caller_key(&self) -> Option<u64> {
        self.account
            .map(|(key, _)| key)
            .or(self.credential.map(|(key, _)| key))
    }

    /// The name of either.
    pub(super) fn who(&self) -> Option<&'a str> {
        self.account
            .map(|(_, name)| name)
            .or(self.credential.map(|(_, identity)| &*identity.id))
    }

    /// The credential is a token or a key: nobody types it.
    pub(super) fn is_token(&self) -> bool {
        matches!(
            self.call.auth.scheme,
            AuthScheme::Bearer | AuthScheme::ApiKey | AuthScheme::Cookie | AuthScheme::SigV4
        )
    }

    /// Pages load many of these; they are no step of a person or of an attack.
    pub(super) fn is_static(&self) -> bool {
        let path = self.call.path.as_bytes();
        let longest = path.len().saturating_sub(LONGEST_STATIC);
        if !path.get(longest..).is_some_and(|end| end.contains(&b'.')) {
            return false;
        }
        STATIC.iter().any(|end| {
            path.len()
                .checked_sub(end.len())
                .and_then(|at| path.get(at..))
                .is_some_and(|found| found.eq_ignore_ascii_case(end.as_bytes()))
        })
    }

    /// A client as text.
    pub(super) fn client_text(&self) -> String {
        let (address, prefix) = self.source.unzip();
        client_text(address, prefix.unwrap_or(0))
    }

    /// A finding about this call's client; the rest is for the rule to fill in.
    pub(super) fn finding(&self, rule: Rule, message: String) -> Finding {
        let (client, prefix) = self.source.unzip();
        Finding {
            time_unix_ns: self.now,
            rule: rule.name.into(),
            severity: rule.severity,
            mitre: rule.mitre.into(),
            role: self.call.role,
            client,
            client_prefix: prefix.unwrap_or(0),
            identity: None,
            service: self.call.service.clone(),
            count: 1,
            distinct: 0,
            span: Duration::ZERO,
            window: Duration::ZERO,
            routes: self.call.route.iter().cloned().collect(),
            message: message.into(),
        }
    }

    /// The service, for a sentence.
    pub(super) fn service(&self) -> &str {
        self.call.service.as_deref().unwrap_or("an unknown service")
    }

    /// Method and route, for a sentence.
    pub(super) fn endpoint(&self) -> String {
        let route = self.call.route.as_deref().unwrap_or("an unknown route");
        format!("{} {route}", self.call.method)
    }
}

/// The kind names someone, not just an address or a secret.
const fn is_account(kind: IdentityKind) -> bool {
    !matches!(
        kind,
        IdentityKind::Address | IdentityKind::Token | IdentityKind::Session | IdentityKind::ApiKey
    )
}

/// The address that stands for a client, and how many of its bits count.
pub fn network(address: IpAddr) -> (IpAddr, u8) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (IpAddr::V4(v4), 32),
        IpAddr::V6(v6) => {
            let masked = Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX));
            (IpAddr::V6(masked), 64)
        }
    }
}

/// The network that one owner of many addresses has: a /24 or a /48.
pub(super) fn wider(address: IpAddr) -> (IpAddr, u8) {
    match address {
        IpAddr::V4(v4) => (IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !0xff)), 24),
        IpAddr::V6(v6) => {
            let masked = v6.to_bits() >> 80 << 80;
            (IpAddr::V6(Ipv6Addr::from_bits(masked)), 48)
        }
    }
}
