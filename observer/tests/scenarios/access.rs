//! Who is let in where, and who looks at whose things.

use crate::traffic::{MINUTE, SECOND, Scenarios, Seeded, bearer, call};

pub fn add(all: &mut Scenarios, random: &mut Seeded) {
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
    all.add(
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
    all.add(
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
    all.add(
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
    all.add(
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
    all.add(
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
    all.add(
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
    all.add(
        "three hundred callers look at their orders",
        &[],
        0,
        calls.collect(),
    );
}
