//! What naming a call costs on one core: finding and learning its route in a service of 5,000
//! endpoints, and the longest that any call waits for a decision. Prints nanoseconds.
//!
//! `cargo bench -p observer --bench naming`; takes a few seconds.

use std::hint::black_box;
use std::time::Instant;

use observer::call::{ApiCall, Recorded};
use observer::catalog::Catalog;

/// Resources, and what each has below its ids: 5,040 endpoints.
const RESOURCES: u32 = 70;
const PARTS: u32 = 72;
/// Calls of a round.
const CALLS: u32 = 100_000;

fn next(random: &mut u64) -> u32 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random >> 32) as u32
}

/// A word that can be said, one for each number.
fn word(mut number: u32) -> String {
    const SYLLABLES: [&str; 10] = [
        "ba", "ke", "li", "mo", "nu", "pra", "sto", "ti", "ven", "zo",
    ];
    let mut word = String::new();
    for _ in 0..3 {
        word.push_str(SYLLABLES[(number % 10) as usize]);
        number /= 10;
    }
    word.push('s');
    word
}

fn call(path: &str) -> ApiCall {
    ApiCall::from(Recorded {
        time_unix_ns: 1_700_000_000_000_000_000,
        method: "GET",
        target: path,
        status: Some(200),
        ..Recorded::default()
    })
}

/// Times of single calls, sorted.
fn times(catalog: &mut Catalog, mut path: impl FnMut(u32) -> String) -> Vec<u64> {
    let mut calls: Vec<ApiCall> = (0..CALLS).map(|at| call(&path(at))).collect();
    let mut times: Vec<u64> = calls
        .iter_mut()
        .map(|call| {
            let start = Instant::now();
            catalog.name(black_box(call));
            start.elapsed().as_nanos() as u64
        })
        .collect();
    times.sort_unstable();
    times
}

fn say(name: &str, catalog: &mut Catalog, path: impl FnMut(u32) -> String) {
    let times = times(catalog, path);
    let at = |share: usize| times[(times.len() - 1) * share / 1000];
    println!(
        "{name}: median {} ns, 99 % {} ns, 99.9 % {} ns, longest {} ns; {} places",
        at(500),
        at(990),
        at(999),
        at(1000),
        catalog.places()
    );
}

fn main() {
    let mut random = 0x2545_f491_4f6c_dd1d;
    let mut catalog = Catalog::default();
    let path = |random: &mut u64, id: u32| {
        let resource = word(next(random) % RESOURCES);
        let part = word(100 + next(random) % PARTS);
        format!("/v1/{resource}/{id}/{part}")
    };
    // The clock itself.
    let start = Instant::now();
    for _ in 0..CALLS {
        black_box(Instant::now());
    }
    println!(
        "clock: {} ns",
        start.elapsed().as_nanos() / u128::from(CALLS)
    );
    say("learning 5,040 endpoints", &mut catalog, |_| {
        let id = next(&mut random) % 1000;
        path(&mut random, id)
    });
    say("paths seen lately", &mut catalog, |at| {
        let mut random = u64::from(at % 4000 + 1) << 20;
        path(&mut random, at % 4000)
    });
    say("new paths of known endpoints", &mut catalog, |at| {
        path(&mut random, 1_000_000 + at)
    });
    let mut words = Catalog::default();
    say("values that are words, new each time", &mut words, |at| {
        format!("/v1/people/{}-{}/orders", word(at), word(at / 1000))
    });
}
