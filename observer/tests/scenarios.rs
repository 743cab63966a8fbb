//! Attacks and their innocent twins, made by a seeded generator: what must be noticed, what must
//! not, and how long it takes.

use std::sync::Arc;

use observer::call::{ApiCall, AuthScheme, Claims, Flag, Identity, IdentityKind, Recorded, Signs};
use observer::catalog::Catalog;
use observer::detect::{DetectSettings, Detector, Judge};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
/// 2026-11-22T10:00:00Z.
const START: u64 = 1_795_341_600 * SECOND;

/// A small generator of numbers (xorshift64*), the same on every run.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below.max(1)
    }
}

fn call(at: u64, client: &str, method: &str, target: &str, status: u16) -> ApiCall {
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
fn with(
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

fn basic(call: ApiCall, user: &str, password: &str) -> ApiCall {
    with(
        call,
        AuthScheme::Basic,
        IdentityKind::Basic,
        user,
        &format!("{user}:{password}"),
    )
}

fn bearer(call: ApiCall, user: &str, token: &str, expires_in_s: i64, lifetime_s: i64) -> ApiCall {
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

/// Findings that say nothing against a caller: they may stand beside any scenario.
const NEUTRAL: [&str; 5] = [
    "stale_credential",
    "credential_outage",
    "cleartext_credential",
    "credential_in_url",
    "long_lived_token",
];

struct Scenario {
    name: &'static str,
    /// Any of these rules is right; none: an innocent.
    wanted: &'static [&'static str],
    /// When the attack begins.
    begins: u64,
    calls: Vec<ApiCall>,
}

fn scenarios() -> Vec<Scenario> {
    let mut random = Seeded(0x5eed_0b5e_77e5);
    let mut all: Vec<Scenario> = Vec::new();
    let mut add = |name, wanted, begins, calls| {
        all.push(Scenario {
            name,
            wanted,
            begins,
            calls,
        });
    };
    let guess = ["auth_failure_burst", "brute_force"].as_slice();

    let calls = (0..40).map(|n| {
        basic(
            call(n * SECOND / 2, "203.0.113.5", "GET", "/admin", 401),
            "root",
            &format!("p{n}"),
        )
    });
    add("brute force with Basic", guess, 0, calls.collect());
    let calls = (0..40).map(|n| call(n * 700_000_000, "203.0.113.5", "POST", "/api/login", 401));
    add("brute force at a login", guess, 0, calls.collect());
    let mut calls: Vec<_> = (0..3)
        .map(|n| call(n * 9 * SECOND, "203.0.113.5", "POST", "/api/login", 401))
        .collect();
    calls.push(call(40 * SECOND, "203.0.113.5", "POST", "/api/login", 200));
    add("a person mistypes three times", &[], 0, calls);

    let calls = (0..300).map(|n| {
        basic(
            call(n * 30 * SECOND, "203.0.113.5", "GET", "/mail", 401),
            "ceo",
            &format!("p{n}"),
        )
    });
    add(
        "slow brute force, two a minute",
        &["slow_brute_force"],
        0,
        calls.collect(),
    );
    let calls = (0..60).map(|n| {
        basic(
            call(
                n * 20 * MINUTE,
                &format!("203.0.{}.5", n % 50),
                "GET",
                "/mail",
                401,
            ),
            "ceo",
            &format!("p{n}"),
        )
    });
    add(
        "slow brute force of one account from many sources",
        &["slow_brute_force", "brute_force"],
        0,
        calls.collect(),
    );
    let calls = (0..200).map(|n| {
        basic(
            call(
                n * 10 * MINUTE,
                "203.0.113.5",
                "GET",
                "/mail",
                if n % 9 == 0 { 401 } else { 200 },
            ),
            "ann",
            if n % 9 == 0 { "typo" } else { "right" },
        )
    });
    add(
        "a user who mistypes now and then for a day",
        &[],
        0,
        calls.collect(),
    );

    let spray = ["password_spraying", "credential_stuffing"].as_slice();
    let calls = (0..60).map(|n| {
        basic(
            call(n * SECOND, "203.0.113.5", "POST", "/api/login", 401),
            &format!("user{n}"),
            "Spring2026",
        )
    });
    add("password spraying", spray, 0, calls.collect());
    let calls = (0..12).map(|n| {
        basic(
            call(n * 5 * MINUTE, "203.0.113.5", "POST", "/api/login", 401),
            &format!("user{n}"),
            "Spring2026",
        )
    });
    add("slow password spraying", spray, 0, calls.collect());
    let calls = (0..400).map(|n| {
        let failed = random.next(100) < 12;
        basic(
            call(
                n * SECOND / 3,
                "198.51.100.1",
                "POST",
                "/api/login",
                if failed { 401 } else { 200 },
            ),
            &format!("staff{}", n % 120),
            if failed { "typo" } else { "own" },
        )
    });
    add(
        "an office behind one address on Monday morning",
        &[],
        0,
        calls.collect(),
    );

    let calls = (0..300).map(|n| {
        basic(
            call(
                n * SECOND,
                &format!("203.0.113.{}", n % 200),
                "POST",
                "/api/login",
                401,
            ),
            &format!("leak{n}"),
            "x",
        )
    });
    add(
        "stuffing from one network",
        &["credential_stuffing"],
        0,
        calls.collect(),
    );
    let calls = (0..300).map(|n| {
        basic(
            call(
                n * SECOND,
                &format!("203.{}.{}.9", n % 250, n % 199),
                "POST",
                "/api/login",
                if n % 40 == 7 { 200 } else { 401 },
            ),
            &format!("leak{n}"),
            "x",
        )
    });
    add(
        "stuffing from many sources, one each",
        &["credential_stuffing"],
        0,
        calls.collect(),
    );
    let mut calls: Vec<_> = (0..200)
        .map(|n| {
            basic(
                call(
                    n * SECOND,
                    &format!("203.{}.1.9", n % 250),
                    "GET",
                    "/api/me",
                    200,
                ),
                &format!("u{n}"),
                "own",
            )
        })
        .collect();
    calls.extend((0..400).map(|n| {
        basic(
            call(
                10 * MINUTE + n * SECOND / 4,
                &format!("203.{}.1.9", n % 200),
                "GET",
                "/api/me",
                401,
            ),
            &format!("u{}", n % 200),
            "own",
        )
    }));
    add(
        "the directory is down: all good credentials are refused",
        &[],
        0,
        calls,
    );

    let mut calls: Vec<_> = (0..30)
        .map(|n| {
            basic(
                call(n * SECOND, "203.0.113.5", "POST", "/api/login", 401),
                "root",
                &format!("p{n}"),
            )
        })
        .collect();
    calls.push(basic(
        call(31 * SECOND, "203.0.113.5", "POST", "/api/login", 200),
        "root",
        "right",
    ));
    add(
        "a guess that succeeds",
        &["success_after_failures"],
        31 * SECOND,
        calls,
    );
    let mut calls: Vec<_> = (0..10)
        .map(|n| {
            basic(
                call(n * MINUTE, "198.51.100.7", "GET", "/api/me", 200),
                "ann",
                "own",
            )
        })
        .collect();
    calls.push(basic(
        call(12 * MINUTE, "198.51.100.7", "GET", "/api/me", 401),
        "ann",
        "typo",
    ));
    calls.push(basic(
        call(13 * MINUTE, "198.51.100.7", "GET", "/api/me", 200),
        "ann",
        "own",
    ));
    add("a user comes back after a mistake", &[], 0, calls);

    let calls = (0..40).map(|n| {
        with(
            call(n * SECOND / 4, "203.0.113.5", "GET", "/v1/data", 401),
            AuthScheme::ApiKey,
            IdentityKind::ApiKey,
            "k",
            &format!("key{n}"),
        )
    });
    add("guessing API keys", &["token_guessing"], 0, calls.collect());
    let calls = (0..400).map(|n| {
        with(
            call(
                n * SECOND,
                "198.51.100.9",
                "GET",
                "/v1/data",
                if n < 100 { 200 } else { 401 },
            ),
            AuthScheme::ApiKey,
            IdentityKind::ApiKey,
            "k",
            "old",
        )
    });
    add(
        "a client goes on with a key that was rotated",
        &[],
        0,
        calls.collect(),
    );
    let calls = (0..900).map(|n| {
        let old = n > 300;
        with(
            call(
                n * SECOND / 2,
                &format!("198.51.{}.9", n % 60),
                "GET",
                "/v1/data",
                if old { 401 } else { 200 },
            ),
            AuthScheme::ApiKey,
            IdentityKind::ApiKey,
            "fleet",
            "key-1",
        )
    });
    add(
        "a rotation storm: sixty hosts keep the old key",
        &[],
        0,
        calls.collect(),
    );
    let calls = (0..200).map(|n| {
        bearer(
            call(n * SECOND, "198.51.100.9", "GET", "/v1/data", 401),
            "svc",
            "t1",
            -3600,
            3600,
        )
    });
    add(
        "a client loops with an expired token",
        &[],
        0,
        calls.collect(),
    );
    let calls = (0..200).map(|n| {
        let mut call = call(
            n * SECOND,
            "198.51.100.9",
            "GET",
            "/private",
            if n % 2 == 0 { 401 } else { 200 },
        );
        call.auth.challenged = n % 2 == 0;
        if n % 2 == 0 {
            call
        } else {
            basic(call, "ann", "own")
        }
    });
    add(
        "Basic with a challenge before each call",
        &[],
        0,
        calls.collect(),
    );
    let calls = (0..40).map(|n| {
        call(
            n * 30 * SECOND,
            &format!("198.51.100.{n}"),
            "POST",
            "/oauth/token",
            if n % 3 == 0 { 400 } else { 200 },
        )
    });
    add(
        "refresh tokens that ended, of many clients",
        &[],
        0,
        calls.collect(),
    );
    let mut calls: Vec<_> = (0..10)
        .map(|n| {
            bearer(
                call(n * SECOND, "198.51.100.9", "GET", "/v1/data", 200),
                "svc",
                "t1",
                600,
                3600,
            )
        })
        .collect();
    calls.push(bearer(
        call(20 * SECOND, "198.51.100.9", "GET", "/v1/data", 200),
        "svc",
        "t0",
        -7200,
        3600,
    ));
    add(
        "an expired token is accepted",
        &["expired_token_accepted"],
        20 * SECOND,
        calls,
    );
    let calls = (0..50).map(|n| {
        bearer(
            call(n * SECOND, "198.51.100.9", "GET", "/v1/data", 200),
            "svc",
            "t1",
            -20,
            3600,
        )
    });
    add(
        "a clock that is twenty seconds off",
        &[],
        0,
        calls.collect(),
    );

    let mut calls: Vec<_> = (0..120)
        .map(|n| {
            bearer(
                call(n * SECOND, "198.51.100.9", "GET", "/v1/invoices", 200),
                "svc",
                "t1",
                600,
                3600,
            )
        })
        .collect();
    calls.push(call(
        121 * SECOND,
        "203.0.113.5",
        "GET",
        "/v1/invoices",
        200,
    ));
    add(
        "an endpoint answers without a credential",
        &["unauthenticated_success"],
        121 * SECOND,
        calls,
    );
    let calls = (0..200).map(|n| {
        let call = call(n * SECOND, "198.51.100.9", "GET", "/v1/news", 200);
        if n % 3 == 0 {
            call
        } else {
            bearer(call, "svc", "t1", 600, 3600)
        }
    });
    add(
        "a public endpoint that some call with a token",
        &[],
        0,
        calls.collect(),
    );
    let mut calls: Vec<_> = (0..120)
        .map(|n| {
            bearer(
                call(n * MINUTE, "198.51.100.9", "POST", "/admin/users", 200),
                &format!("admin{}", n % 3),
                "t",
                600,
                3600,
            )
        })
        .collect();
    calls.push(bearer(
        call(121 * MINUTE, "198.51.100.9", "POST", "/admin/users", 200),
        "intern",
        "t9",
        600,
        3600,
    ));
    add(
        "somebody new at an administration endpoint",
        &["new_caller"],
        121 * MINUTE,
        calls,
    );

    let calls = (0..100).map(|n| {
        bearer(
            call(
                n * SECOND,
                "203.0.113.5",
                "GET",
                &format!("/v1/orders/{}", 1000 + n),
                if n % 3 == 0 { 200 } else { 403 },
            ),
            "mallory",
            "t",
            600,
            3600,
        )
    });
    add(
        "one caller tries the orders of others",
        &["object_enumeration"],
        0,
        calls.collect(),
    );
    let calls = (0..900).map(|n| {
        bearer(
            call(
                n * SECOND,
                "198.51.100.9",
                "GET",
                &format!("/v1/orders/{}", random.next(100_000)),
                200,
            ),
            &format!("u{}", n % 300),
            "t",
            600,
            3600,
        )
    });
    add(
        "three hundred callers look at their orders",
        &[],
        0,
        calls.collect(),
    );
    let calls = (0..60).map(|n| {
        call(
            n * SECOND / 2,
            "203.0.113.5",
            "GET",
            &format!(
                "/{}.php",
                ["a", "b", "shell", "setup", "x", "info", "test", "cfg"][n as usize % 8]
                    .repeat(1 + n as usize / 8)
            ),
            404,
        )
    });
    add(
        "a word list of paths",
        &["path_enumeration"],
        0,
        calls.collect(),
    );
    let calls = (0..200).map(|n| {
        call(
            n * SECOND,
            "198.51.100.9",
            "GET",
            &format!("/avatars/{:016x}", random.next(u64::MAX >> 40) | 1 << 60),
            if n % 4 == 0 { 404 } else { 200 },
        )
    });
    add("pictures that are gone", &[], 0, calls.collect());
    let calls = [
        ".env",
        ".git/config",
        "backup.sql",
        "id_rsa",
        "wp-config.php.bak",
        ".aws/credentials",
    ]
    .iter()
    .enumerate()
    .map(|(n, file)| {
        call(
            n as u64 * SECOND,
            "203.0.113.5",
            "GET",
            &format!("/{file}"),
            404,
        )
    });
    add(
        "files that are never served",
        &["private_files"],
        0,
        calls.collect(),
    );
    let calls = [
        "/?q=1%20union%20select%201",
        "/?q=%27%20or%201=1",
        "/?id=sleep(5)",
        "/?id=1;waitfor%20delay",
        "/?x=%3Cscript%3E",
    ]
    .iter()
    .enumerate()
    .map(|(n, target)| call(n as u64 * SECOND, "203.0.113.5", "GET", target, 200));
    add("SQL in queries", &["exploit_probe"], 0, calls.collect());
    let calls = [
        "/search?q=select+a+table",
        "/docs/union-station",
        "/search?q=a%26b",
        "/u?name=O%27Hara",
        "/x?next=%2Fhome%3Fa%3Db",
    ]
    .iter()
    .cycle()
    .take(60)
    .enumerate()
    .map(|(n, target)| call(n as u64 * SECOND, "198.51.100.9", "GET", target, 200));
    add("odd but honest queries", &[], 0, calls.collect());
    let mut scan = call(0, "203.0.113.5", "GET", "/", 200);
    scan.signs |= Signs::SCANNER;
    add("a scanner by its name", &["scanner"], 0, vec![scan]);
    let calls = (0..600).map(|n| {
        call(
            n * SECOND / 20,
            "203.0.113.5",
            "GET",
            &format!(
                "/pages/{}",
                ["alpha", "beta", "gamma", "delta"][n as usize % 4].repeat(1 + n as usize / 4)
            ),
            200,
        )
    });
    add("a crawl of the whole site", &["crawl"], 0, calls.collect());
    let calls = (0..3000).map(|n| {
        call(
            n * SECOND,
            "198.51.100.2",
            "GET",
            "/healthz",
            if n % 97 == 0 { 503 } else { 200 },
        )
    });
    add("a health check every second", &[], 0, calls.collect());

    let mut smuggled = call(0, "203.0.113.5", "POST", "/", 200);
    smuggled.flags = vec![Flag::ConflictingLength];
    add(
        "a request with two lengths",
        &["request_smuggling"],
        0,
        vec![smuggled],
    );
    let mut flood = call(0, "203.0.113.5", "GET", "/", 200);
    flood.flags = vec![Flag::HeaderFlood];
    add(
        "CONTINUATION without end",
        &["header_flood"],
        0,
        vec![flood],
    );

    let mut batch = call(0, "203.0.113.5", "POST", "/graphql", 200);
    batch.operation = Some("mutation login".to_owned());
    batch.operations = Some(500);
    add(
        "five hundred logins in one GraphQL request",
        &["batched_logins"],
        0,
        vec![batch],
    );

    let session = |at, client: &str| {
        with(
            call(at, client, "GET", "/account", 200),
            AuthScheme::Cookie,
            IdentityKind::Session,
            "s",
            "s1",
        )
    };
    let calls = (0..40).map(|n| {
        session(
            n * 20 * SECOND,
            if n % 2 == 0 {
                "203.0.113.5"
            } else {
                "198.51.100.7"
            },
        )
    });
    add(
        "one session from two places in turn",
        &["two_places"],
        0,
        calls.collect(),
    );
    let calls = (0..100).map(|n| {
        session(
            n * 20 * SECOND,
            if n < 50 {
                "203.0.113.5"
            } else {
                "198.51.100.7"
            },
        )
    });
    add("a phone that leaves the house", &[], 0, calls.collect());
    let key = |at, client: &str| {
        with(
            call(at, client, "GET", "/v1/data", 200),
            AuthScheme::ApiKey,
            IdentityKind::ApiKey,
            "k",
            "k1",
        )
    };
    let mut calls: Vec<_> = (0..100).map(|n| key(n * SECOND, "198.51.100.7")).collect();
    calls.extend((0..60).map(|n| key(5 * MINUTE + n * SECOND, &format!("203.{}.113.5", n % 20))));
    add(
        "a key that leaked",
        &["shared_credential"],
        5 * MINUTE,
        calls,
    );
    let calls = (0..400).map(|n| key(n * SECOND, &format!("203.{}.113.5", n % 20)));
    add("a fleet with one key", &[], 0, calls.collect());

    let mut calls = Vec::new();
    for minute in 0..90 {
        let count = if minute == 80 {
            1500
        } else {
            40 + random.next(40)
        };
        calls.extend((0..count).map(|n| {
            call(
                minute * MINUTE + n * MINUTE / count,
                &format!("198.51.{}.9", n % 50),
                "GET",
                "/v1/prices",
                200,
            )
        }));
    }
    add(
        "a flood at one endpoint",
        &["traffic_spike"],
        80 * MINUTE,
        calls,
    );
    let mut calls = Vec::new();
    for minute in 0..90 {
        let count = 40 + random.next(80) + if minute % 10 == 0 { 60 } else { 0 };
        calls.extend((0..count).map(|n| {
            call(
                minute * MINUTE + n * MINUTE / count,
                &format!("198.51.{}.9", n % 50),
                "GET",
                "/v1/prices",
                200,
            )
        }));
    }
    add("busy and uneven, as every day", &[], 0, calls);
    let mut calls = Vec::new();
    for minute in 0..90 {
        let count = if (60..70).contains(&minute) { 2 } else { 100 };
        calls.extend((0..count).map(|n| {
            call(
                minute * MINUTE + n * MINUTE / count,
                "198.51.100.9",
                "GET",
                "/v1/prices",
                200,
            )
        }));
    }
    add("callers stay away", &["traffic_drop"], 60 * MINUTE, calls);
    let mut calls = Vec::new();
    for minute in 0..60 {
        calls.extend((0..60).map(|n| {
            call(
                minute * MINUTE + n * SECOND,
                "198.51.100.9",
                "GET",
                "/v1/prices",
                if minute > 50 && n % 2 == 0 { 500 } else { 200 },
            )
        }));
    }
    add(
        "half of the answers are errors",
        &["error_anomaly"],
        51 * MINUTE,
        calls,
    );
    let mut calls = Vec::new();
    for minute in 0..60 {
        calls.extend((0..60).map(|n| {
            let mut call = call(
                minute * MINUTE + n * SECOND,
                "198.51.100.9",
                "GET",
                "/v1/prices",
                200,
            );
            call.duration_ns = Some(if minute > 50 { 900_000_000 } else { 20_000_000 });
            call
        }));
    }
    add(
        "answers become slow",
        &["latency_anomaly"],
        51 * MINUTE,
        calls,
    );
    let calls = (0..30).map(|n| {
        let mut call = call(n * SECOND, "203.0.113.5", "POST", "/index/login.php", 200);
        call.response_bytes = 4100;
        call
    });
    add(
        "a login that answers 200 to every guess",
        &["login_attempts"],
        0,
        calls.collect(),
    );
    // Twenty keys at a busy endpoint; one of them far beyond its own, which the endpoint as a whole
    // does not show. Its twin makes as many calls in one minute of each hour.
    let busy = |wild: fn(u64) -> u64| {
        let mut calls = Vec::new();
        for minute in 0..130_u64 {
            for caller in 0..20_u64 {
                let count = if caller == 7 { wild(minute) } else { 8 };
                calls.extend((0..count).map(|n| {
                    let at = minute * MINUTE + n * (MINUTE / count) + caller;
                    let client = format!("198.51.{caller}.9");
                    let call = call(at, &client, "GET", "/v1/stock", 200);
                    let key = format!("key{caller}");
                    with(call, AuthScheme::ApiKey, IdentityKind::ApiKey, &key, &key)
                }));
            }
        }
        calls.sort_by_key(|call| call.time_unix_ns);
        calls
    };
    let wild = busy(|minute| if minute == 100 { 300 } else { 8 });
    add(
        "one key of many makes far more calls than it ever did",
        &["traffic_spike"],
        100 * MINUTE,
        wild,
    );
    let hourly = busy(|minute| if minute % 60 == 5 { 300 } else { 8 });
    add("a key with a job once an hour", &[], 0, hourly);
    all
}

#[test]
fn attacks_are_noticed_and_their_innocent_twins_are_not() {
    let (mut right, mut missed, mut false_alarms, mut attacks, mut innocents) = (0, 0, 0, 0, 0);
    println!("{:<58} {:>8}  found", "scenario", "after s");
    for Scenario {
        name,
        wanted,
        begins,
        calls,
    } in scenarios()
    {
        let (mut catalog, mut judge) = (Catalog::default(), Judge::default());
        let mut detector = Detector::new(DetectSettings::default());
        let mut found: Vec<(String, f64)> = Vec::new();
        for mut call in calls {
            catalog.name(&mut call);
            call.auth.outcome = judge.judge(&call);
            detector.push(&call, &mut |finding| {
                let after =
                    finding.time_unix_ns.saturating_sub(START + begins) as f64 / SECOND as f64;
                if !found.iter().any(|(rule, _)| *rule == finding.rule) {
                    found.push((finding.rule.to_string(), after));
                }
                assert!(!finding.message.is_empty());
            });
        }
        found.retain(|(rule, _)| !NEUTRAL.contains(&rule.as_str()));
        let hit = found
            .iter()
            .find(|(rule, _)| wanted.contains(&rule.as_str()));
        let rules: Vec<_> = found.iter().map(|(rule, _)| rule.as_str()).collect();
        let after = hit.map_or("-".to_owned(), |(_, after)| format!("{after:.1}"));
        println!("{name:<58} {after:>8}  {}", rules.join(" "));
        if wanted.is_empty() {
            innocents += 1;
            false_alarms += usize::from(!found.is_empty());
        } else {
            attacks += 1;
            right += usize::from(hit.is_some());
            missed += usize::from(hit.is_none());
        }
    }
    let precision = right as f64 / (right + false_alarms).max(1) as f64;
    let recall = right as f64 / f64::from(attacks);
    println!(
        "{attacks} attacks, {innocents} innocents: precision {precision:.3}, recall {recall:.3}, missed {missed}"
    );
    assert!(attacks + innocents >= 40);
    assert_eq!(false_alarms, 0);
    assert!(recall >= 0.97, "{recall}");
}
