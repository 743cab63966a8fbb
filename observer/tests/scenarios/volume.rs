//! One credential in many places, too many calls or none, errors and delays.

use observer::call::{AuthScheme, IdentityKind};

use crate::traffic::{MINUTE, SECOND, Scenarios, Seeded, call, with};

pub fn add(all: &mut Scenarios, random: &mut Seeded) {
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
    all.add(
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
    all.add("a phone that leaves the house", &[], 0, calls.collect());
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
    all.add(
        "a key that leaked",
        &["shared_credential"],
        5 * MINUTE,
        calls,
    );
    let calls = (0..400).map(|n| key(n * SECOND, &format!("203.{}.113.5", n % 20)));
    all.add("a fleet with one key", &[], 0, calls.collect());

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
    all.add(
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
    all.add("busy and uneven, as every day", &[], 0, calls);
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
    all.add("callers stay away", &["traffic_drop"], 60 * MINUTE, calls);
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
    all.add(
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
    all.add(
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
    all.add(
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
    all.add(
        "one key of many makes far more calls than it ever did",
        &["traffic_spike"],
        100 * MINUTE,
        wild,
    );
    let hourly = busy(|minute| if minute % 60 == 5 { 300 } else { 8 });
    all.add("a key with a job once an hour", &[], 0, hourly);
}
