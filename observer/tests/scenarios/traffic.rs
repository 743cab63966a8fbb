//! Calls as they are made up for scenarios: who calls what, with which credential, and when.

use std::sync::Arc;

use observer::call::{ApiCall, AuthScheme, Claims, Identity, IdentityKind, Recorded};

pub const SECOND: u64 = 1_000_000_000;
pub const MINUTE: u64 = 60 * SECOND;
/// 2026-11-22T10:00:00Z.
pub const START: u64 = 1_795_341_600 * SECOND;

/// A small generator of numbers (xorshift64*), the same on every run.
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below.max(1)
    }
}

pub fn call(at: u64, client: &str, method: &str, target: &str, status: u16) -> ApiCall {
    let client = client.parse().map(|ip: std::net::IpAddr| (ip, 4000).into());
    let mut call: ApiCall = Recorded {
        time_unix_ns: START + at,
        client: client.ok(),
        method,
        target,
        host: Some("shop.example"),
        status: Some(status),
        agent: Some("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"),
        response_bytes: 100,
        ..Recorded::default()
    }
    .into();
    call.duration_ns = Some(2_000_000);
    call.auth.scheme = AuthScheme::None;
    call
}

/// The call names an account and carries a secret.
pub fn with(
    mut call: ApiCall,
    scheme: AuthScheme,
    kind: IdentityKind,
    id: &str,
    secret: &str,
) -> ApiCall {
    call.auth.scheme = scheme;
    let identity = Arc::new(Identity {
        kind,
        id: id.into(),
        fingerprint: Some(format!("fp:{secret}").into()),
        earlier: None,
        class: None,
        source: "header:authorization".into(),
        verified: false,
        claims: None,
    });
    call.identity = Some(Arc::clone(&identity));
    call.identities = vec![identity];
    call
}

pub fn basic(call: ApiCall, user: &str, password: &str) -> ApiCall {
    with(
        call,
        AuthScheme::Basic,
        IdentityKind::Basic,
        user,
        &format!("{user}:{password}"),
    )
}

pub fn bearer(
    call: ApiCall,
    user: &str,
    token: &str,
    expires_in_s: i64,
    lifetime_s: i64,
) -> ApiCall {
    let now = (call.time_unix_ns / SECOND) as i64;
    let mut call = with(call, AuthScheme::Bearer, IdentityKind::Jwt, user, token);
    let mut identity = (*call.identities[0]).clone();
    identity.claims = Some(Arc::new(Claims {
        expires_s: Some(now + expires_in_s),
        issued_s: Some(now + expires_in_s - lifetime_s),
        algorithm: Some("RS256".into()),
        ..Claims::default()
    }));
    let identity = Arc::new(identity);
    call.identity = Some(Arc::clone(&identity));
    call.identities = vec![identity];
    call
}

/// Calls, and what must be noticed in them.
pub struct Scenario {
    pub name: &'static str,
    /// Any of these rules is right; none: an innocent.
    pub wanted: &'static [&'static str],
    /// When the attack begins.
    pub begins: u64,
    pub calls: Vec<ApiCall>,
}

/// Scenarios as they are added.
#[derive(Default)]
pub struct Scenarios(pub Vec<Scenario>);

impl Scenarios {
    /// `wanted`: any of these rules is right, none for an innocent. `begins`: when the attack does.
    pub fn add(
        &mut self,
        name: &'static str,
        wanted: &'static [&'static str],
        begins: u64,
        calls: Vec<ApiCall>,
    ) {
        self.0.push(Scenario {
            name,
            wanted,
            begins,
            calls,
        });
    }
}
