//! A million paths, a million clients and credentials made to hurt leave the agent small.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use observer::call::{ApiCall, Recorded};
use observer::catalog::Catalog;
use observer::detect::{DetectSettings, Detector, Judge};
use observer::inventory::{Inventory, Tally};
use observer::pipeline::{Output, Pipeline, PipelineSettings};
use observer::stream::{Bytes, ConnId, Direction, Input};
use observer::usage::Usage;

/// What the agent may take with a million clients, bytes.
const BUDGET: u64 = 200 << 20;
const MILLION: u32 = 1_000_000;

/// The most memory that this process ever had, bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.expect("kB") << 10
}

/// A word of eight letters, one for each number.
fn word(number: u32) -> String {
    let mut rest = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    let letter = |rest: &mut u64| {
        let letter = b'a' + (*rest % 26) as u8;
        *rest /= 26;
        char::from(letter)
    };
    (0..8).map(|_| letter(&mut rest)).collect()
}

#[test]
fn a_million_paths_of_a_million_clients_stay_within_the_budget_and_are_counted() {
    let mut catalog = Catalog::default();
    let (mut judge, mut detector) = (Judge::default(), Detector::new(DetectSettings::default()));
    let (mut usage, mut tally) = (Usage::default(), Tally::default());
    let mut inventory = Inventory::default();
    for number in 0..MILLION {
        let path = format!("/{}/{}?q={number}", word(number % 5000), word(number));
        let mut call = ApiCall::from(Recorded {
            time_unix_ns: 1_700_000_000_000_000_000 + u64::from(number) * 1_000_000,
            client: Some((number.to_be_bytes(), 4000).into()),
            method: "GET",
            target: &path,
            status: Some([200, 404, 401, 500][number as usize % 4]),
            ..Recorded::default()
        });
        catalog.name(&mut call);
        call.auth.outcome = judge.judge(&call);
        usage.record(&call);
        detector.push(&call, &mut |_| {});
        tally.push(&call);
        if number % 10_000 == 0 {
            inventory.merge(&tally.take());
            catalog.take_record();
        }
    }
    inventory.merge(&tally.take());
    let peak = peak();
    println!("{} MiB", peak >> 20);
    assert!(peak <= BUDGET, "{} MiB", peak >> 20);
    // The words are found to be values, and the callers that found no room are said.
    assert!(catalog.counts().values > 0 && catalog.routes() <= 500);
    assert!(inventory.endpoints() <= 500);
    let endpoints = inventory
        .services
        .values()
        .flat_map(|service| service.endpoints.values());
    let (mut listed, mut others) = (0, 0);
    for endpoint in endpoints {
        listed += endpoint.callers.values().sum::<u64>();
        others += endpoint.other_callers;
    }
    assert!(others > 900_000, "{others}");
    let calls: u64 = inventory
        .services
        .values()
        .map(|service| service.unmatched)
        .sum();
    assert_eq!(
        listed + others + calls + inventory.folded,
        u64::from(MILLION)
    );
}

/// All calls of one connection with these requests, each answered.
fn calls(requests: &[Vec<u8>]) -> Vec<ApiCall> {
    let mut pipeline = Pipeline::new(PipelineSettings::default());
    let (mut offsets, mut calls) = ([0; 2], Vec::new());
    for request in requests {
        for (at, bytes) in [request.as_slice(), b"HTTP/1.1 204 No Content\r\n\r\n"]
            .iter()
            .enumerate()
        {
            let offset = offsets[at];
            offsets[at] += bytes.len() as u64;
            pipeline.push(
                Input::Bytes(Bytes {
                    conn: ConnId(1),
                    time_ns: 1,
                    direction: [Direction::Inbound, Direction::Outbound][at],
                    offset,
                    len: bytes.len() as u64,
                    bytes,
                    skips: None,
                }),
                &mut |output| {
                    if let Output::Call(call) = output {
                        calls.push(call);
                    }
                },
            );
        }
    }
    calls
}

#[test]
fn credentials_and_targets_made_to_hurt_are_read_in_bounded_room() {
    let field = |name: &str, value: &[u8]| {
        [
            b"GET /a HTTP/1.1\r\n",
            name.as_bytes(),
            b": ",
            value,
            b"\r\n\r\n",
        ]
        .concat()
    };
    let coded = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    let deep = format!(
        "Bearer {}.{}.c2ln",
        coded("{\"alg\":\"none\"}"),
        coded(&deep)
    );
    let long_claim = format!("{{\"sub\":\"{}\"}}", "s".repeat(6000));
    let long_claim = format!(
        "Bearer {}.{}.c2ln",
        coded("{\"alg\":\"none\"}"),
        coded(&long_claim)
    );
    let requests = [
        field(
            "Authorization",
            format!("Bearer {}", "t".repeat(60 << 10)).as_bytes(),
        ),
        field("Authorization", deep.as_bytes()),
        field("Authorization", long_claim.as_bytes()),
        field("Authorization", b"Basic \xff\xfe\x80"),
        field("X-Api-Key", &[0xff; 5000]),
        field("Cookie", "sid=1; ".repeat(8000).as_bytes()),
        field("X-Forwarded-For", "10.0.0.1,".repeat(6000).as_bytes()),
        field("Forwarded", "for=\"".repeat(6000).as_bytes()),
        field("X-Forwarded-Client-Cert", "By=,\"".repeat(8000).as_bytes()),
        field("Client-Cert", "%2525".repeat(10_000).as_bytes()),
        format!("GET /{} HTTP/1.1\r\n\r\n", "p/".repeat(4096)).into_bytes(),
        format!("GET /?{} HTTP/1.1\r\n\r\n", "k&".repeat(4096)).into_bytes(),
        b"GET /\xc3\x28/\xff HTTP/1.1\r\nHost: \xff\r\n\r\n".to_vec(),
    ];
    let calls = calls(&requests);
    let mut catalog = Catalog::default();
    assert!(calls.len() >= 11, "{} calls", calls.len());
    for mut call in calls {
        catalog.name(&mut call);
        assert!(call.identities.len() <= 8 && call.path.len() <= 4096);
        let names: usize = call.identities.iter().map(|name| name.id.len()).sum();
        assert!(names <= 8 * 256, "{names} bytes of names");
    }
}
