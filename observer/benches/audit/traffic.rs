//! Calls as a busy host sees them: twelve services, each with its program, its endpoints and its
//! share; two thousand callers with credentials and addresses; ids in paths. The same each time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use observer::call::{
    ApiCall, Auth, AuthOutcome, AuthScheme, Identity, IdentityKind, Protocol, Role, Signs,
};
use observer::discover::Process;
use observer::stream::{ConnId, Tls};

/// Time of the first call, Unix nanoseconds.
pub const START_NS: u64 = 1_795_342_830_000_000_000;
/// Time between two calls, nanoseconds: a day has 50 million of them.
pub const STEP_NS: u64 = 1_728_000;

const CALLERS: usize = 2000;
/// Name of a service, and what its endpoints are about.
const SERVICES: [(&str, &str); 12] = [
    ("orders", "orders"),
    ("catalog", "products"),
    ("cart", "carts"),
    ("users", "accounts"),
    ("billing", "invoices"),
    ("search", "queries"),
    ("shipping", "parcels"),
    ("reviews", "reviews"),
    ("media", "images"),
    ("notify", "messages"),
    ("reports", "exports"),
    ("gateway", "devices"),
];
/// Method and route of each endpoint of a service, most called first; `NAME` is what it is about.
const ENDPOINTS: [(&str, &str); 8] = [
    ("GET", "/v1/NAME/{id}"),
    ("GET", "/v1/NAME"),
    ("POST", "/v1/NAME"),
    ("GET", "/v1/NAME/{id}/history"),
    ("PUT", "/v1/NAME/{id}"),
    ("GET", "/v2/NAME/{uuid}"),
    ("DELETE", "/v1/NAME/{id}"),
    ("GET", "/healthz"),
];

struct Service {
    name: Arc<str>,
    host: String,
    server: SocketAddr,
    process: Arc<Process>,
    tls: Option<Arc<Tls>>,
    endpoints: Vec<(&'static str, Arc<str>)>,
}

/// Gives one call after the other.
pub struct Traffic {
    random: u64,
    count: u64,
    services: Vec<Service>,
    callers: Vec<(Arc<Identity>, IpAddr)>,
}

impl Default for Traffic {
    fn default() -> Self {
        let mut random = 0x9e37_79b9_7f4a_7c15;
        Self {
            services: (0..SERVICES.len()).map(service).collect(),
            callers: (0..CALLERS).map(|n| caller(n, &mut random)).collect(),
            count: 0,
            random,
        }
    }
}

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

/// One of so many, the first ones far more often than the last.
fn skewed(random: &mut u64, count: usize) -> usize {
    let share = (next(random) >> 40) as f64 / (1_u64 << 24) as f64;
    ((share * share * share * count as f64) as usize).min(count - 1)
}

fn service(n: usize) -> Service {
    let (name, about) = SERVICES[n];
    let container = (n % 2 == 1).then(|| format!("{:016x}", 0x9e37_79b9_u64 * (n as u64 + 7)));
    Service {
        name: name.into(),
        host: format!("{name}.shop.example"),
        server: ([10, 0, 0, 20 + n as u8], 8443).into(),
        process: Arc::new(Process {
            pid: 1200 + 37 * n as u32,
            name: if n.is_multiple_of(3) { "nginx" } else { name }.to_owned(),
            exe: Some(if n.is_multiple_of(3) {
                "/usr/sbin/nginx".to_owned()
            } else {
                format!("/opt/shop/bin/{name}")
            }),
            container_name: None,
            unit: container.is_none().then(|| format!("shop-{name}.service")),
            container,
        }),
        tls: (n % 4 != 3).then(|| {
            Arc::new(Tls {
                library: "openssl 3.0.22".to_owned(),
                version: Some("TLSv1.3".to_owned()),
            })
        }),
        endpoints: ENDPOINTS
            .iter()
            .map(|(method, route)| (*method, route.replace("NAME", about).into()))
            .collect(),
    }
}

fn caller(n: usize, random: &mut u64) -> (Arc<Identity>, IpAddr) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let secret: String = (0..22)
        .map(|_| char::from(LETTERS[(next(random) % 64) as usize]))
        .collect();
    let fingerprint: Arc<str> = format!("3f9c:{secret}").into();
    let (kind, id, source) = match n % 10 {
        0..5 => (
            IdentityKind::Jwt,
            format!("https://id.shop.example|user-{:05}", n * 37 % 100_000).into(),
            "header:authorization",
        ),
        5..7 => (
            IdentityKind::ApiKey,
            Arc::clone(&fingerprint),
            "header:x-api-key",
        ),
        7 => (
            IdentityKind::Basic,
            format!("partner{n}").into(),
            "header:authorization",
        ),
        _ => (
            IdentityKind::Session,
            Arc::clone(&fingerprint),
            "cookie:sid",
        ),
    };
    let identity = Identity {
        kind,
        id,
        fingerprint: Some(fingerprint),
        earlier: None,
        class: None,
        source: source.into(),
        verified: true,
        claims: None,
    };
    let [a, b, ..] = next(random).to_le_bytes();
    (
        Arc::new(identity),
        Ipv4Addr::new(198, 51, a % 100, b).into(),
    )
}

impl Traffic {
    /// The next call.
    pub fn call(&mut self) -> ApiCall {
        let Self {
            random,
            count,
            services,
            callers,
        } = self;
        let service = &services[skewed(random, SERVICES.len())];
        let (method, route) = &service.endpoints[skewed(random, ENDPOINTS.len())];
        let who = skewed(random, CALLERS);
        let (identity, address) = &callers[who];
        let (a, b) = (next(random), next(random));
        let path = route.replace("{id}", &(a % 1_000_000).to_string()).replace(
            "{uuid}",
            &format!(
                "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
                a as u32,
                a >> 48,
                (a >> 32) & 0xfff,
                b >> 52,
                b & 0xffff_ffff_ffff
            ),
        );
        let status = match b % 100 {
            0 => 401,
            1 => 500,
            2..5 => 404,
            _ if *method == "POST" => 201,
            _ => 200,
        };
        let known = !route.starts_with("/healthz");
        let health = SocketAddr::from(([10, 0, 0, 2], 0));
        *count += 1;
        ApiCall {
            time_unix_ns: START_NS + *count * STEP_NS,
            // Connections that stay, a few for each caller.
            conn: ConnId(5_000_000 + (who as u64 * 4 + (a >> 20) % 4) * 61),
            conn_label: None,
            role: Role::Server,
            protocol: Protocol::Http11,
            scheme: if service.tls.is_some() {
                "https"
            } else {
                "http"
            },
            method: (*method).to_owned(),
            host: Some(service.host.clone()),
            path,
            query: a.is_multiple_of(5).then(|| "page=*&size=*".to_owned()),
            route: Some(Arc::clone(route)),
            service: Some(Arc::clone(&service.name)),
            operation: None,
            operation_kind: None,
            operations: None,
            login: None,
            grpc_status: None,
            grpc_message: None,
            request_messages: None,
            response_messages: None,
            websocket: None,
            status: Some(status),
            // Most of a few milliseconds, some of a second.
            duration_ns: Some(
                300_000 + (a >> 8) % 5_000_000 * (1 + 200 * u64::from(b.is_multiple_of(97))),
            ),
            request_bytes: if *method == "GET" {
                0
            } else {
                200 + (b >> 16) % 600
            },
            response_bytes: (b >> 30) % 5000,
            client: Some(match known {
                true => SocketAddr::new(*address, 40_000 + (who * 4) as u16),
                false => health,
            }),
            peer: None,
            server: Some(service.server),
            process: Some(Arc::clone(&service.process)),
            auth: Auth {
                scheme: match identity.kind {
                    _ if !known => AuthScheme::None,
                    IdentityKind::Jwt => AuthScheme::Bearer,
                    IdentityKind::Basic => AuthScheme::Basic,
                    IdentityKind::Session => AuthScheme::Cookie,
                    _ => AuthScheme::ApiKey,
                },
                outcome: match status {
                    _ if !known => AuthOutcome::None,
                    401 => AuthOutcome::Failed,
                    _ => AuthOutcome::Success,
                },
                challenged: false,
            },
            identity: known.then(|| Arc::clone(identity)),
            identities: Vec::new(),
            body_error: None,
            tls: service.tls.clone(),
            hello: None,
            signs: Signs::NONE,
            flags: Vec::new(),
        }
    }
}
