//! Credentials that are guessed, stolen, expired or refused.

use observer::call::{AuthScheme, IdentityKind};

use crate::traffic::{MINUTE, SECOND, Scenarios, Seeded, basic, bearer, call, with};

pub fn add(all: &mut Scenarios, random: &mut Seeded) {
    let guess = ["auth_failure_burst", "brute_force"].as_slice();

    let calls = (0..40).map(|n| {
        basic(
            call(n * SECOND / 2, "203.0.113.5", "GET", "/admin", 401),
            "root",
            &format!("p{n}"),
        )
    });
    all.add("brute force with Basic", guess, 0, calls.collect());
    let calls = (0..40).map(|n| call(n * 700_000_000, "203.0.113.5", "POST", "/api/login", 401));
    all.add("brute force at a login", guess, 0, calls.collect());
    let mut calls: Vec<_> = (0..3)
        .map(|n| call(n * 9 * SECOND, "203.0.113.5", "POST", "/api/login", 401))
        .collect();
    calls.push(call(40 * SECOND, "203.0.113.5", "POST", "/api/login", 200));
    all.add("a person mistypes three times", &[], 0, calls);

    let calls = (0..300).map(|n| {
        basic(
            call(n * 30 * SECOND, "203.0.113.5", "GET", "/mail", 401),
            "ceo",
            &format!("p{n}"),
        )
    });
    all.add(
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
    all.add(
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
    all.add(
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
    all.add("password spraying", spray, 0, calls.collect());
    let calls = (0..12).map(|n| {
        basic(
            call(n * 5 * MINUTE, "203.0.113.5", "POST", "/api/login", 401),
            &format!("user{n}"),
            "Spring2026",
        )
    });
    all.add("slow password spraying", spray, 0, calls.collect());
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
    all.add(
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
    all.add(
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
    all.add(
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
    all.add(
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
    all.add(
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
    all.add("a user comes back after a mistake", &[], 0, calls);

    let calls = (0..40).map(|n| {
        with(
            call(n * SECOND / 4, "203.0.113.5", "GET", "/v1/data", 401),
            AuthScheme::ApiKey,
            IdentityKind::ApiKey,
            "k",
            &format!("key{n}"),
        )
    });
    all.add("guessing API keys", &["token_guessing"], 0, calls.collect());
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
    all.add(
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
    all.add(
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
    all.add(
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
    all.add(
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
    all.add(
        "refresh tokens that ended, of many clients",
        &[],
        0,
        calls.collect(),
    );
}
