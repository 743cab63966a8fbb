//! Scanners, crawlers and requests that are made to break something.

use observer::call::{Flag, Signs};

use crate::traffic::{SECOND, Scenarios, Seeded, call};

pub fn add(all: &mut Scenarios, random: &mut Seeded) {
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
    all.add(
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
    all.add("pictures that are gone", &[], 0, calls.collect());
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
    all.add(
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
    all.add("SQL in queries", &["exploit_probe"], 0, calls.collect());
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
    all.add("odd but honest queries", &[], 0, calls.collect());
    let mut scan = call(0, "203.0.113.5", "GET", "/", 200);
    scan.signs |= Signs::SCANNER;
    all.add("a scanner by its name", &["scanner"], 0, vec![scan]);
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
    all.add("a crawl of the whole site", &["crawl"], 0, calls.collect());
    let calls = (0..3000).map(|n| {
        call(
            n * SECOND,
            "198.51.100.2",
            "GET",
            "/healthz",
            if n % 97 == 0 { 503 } else { 200 },
        )
    });
    all.add("a health check every second", &[], 0, calls.collect());

    let mut smuggled = call(0, "203.0.113.5", "POST", "/", 200);
    smuggled.flags = vec![Flag::ConflictingLength];
    all.add(
        "a request with two lengths",
        &["request_smuggling"],
        0,
        vec![smuggled],
    );
    let mut flood = call(0, "203.0.113.5", "GET", "/", 200);
    flood.flags = vec![Flag::HeaderFlood];
    all.add(
        "CONTINUATION without end",
        &["header_flood"],
        0,
        vec![flood],
    );

    let mut batch = call(0, "203.0.113.5", "POST", "/graphql", 200);
    batch.operation = Some("mutation login".to_owned());
    batch.operations = Some(500);
    all.add(
        "five hundred logins in one GraphQL request",
        &["batched_logins"],
        0,
        vec![batch],
    );
}
