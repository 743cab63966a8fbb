//! What telling misuse costs for each call: all detections, all counts of usage, and limits, with few
//! keys, with a million, and while an attacker rotates everything. Takes a minute.
//!
//! `cargo bench -p observer --bench detect`. Medians and 99th percentiles are over batches of 100
//! calls: a look at the clock costs as much as a detection.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use observer::call::{ApiCall, AuthScheme, Identity, IdentityKind, Recorded};
use observer::detect::{DetectSettings, Detector, Judge, Posture, Proofs};
use observer::usage::{Action, Counted, Dimension, Limit, LimitWindow, Limits, Meter, Period};

const BATCH: u64 = 100;
const SECOND: u64 = 1_000_000_000;
/// 2026-11-22T10:00:00Z.
const START: u64 = 1_795_341_600 * SECOND;
/// Keys of the large run.
const MANY: u64 = 1_000_000;
/// Keys of the small run.
const FEW: u64 = 1_000;

/// Everything that judges a call.
struct Stages {
    judge: Judge,
    proofs: Proofs,
    detector: Detector,
    posture: Posture,
    meter: Meter,
    limits: Limits,
    findings: u64,
    of_victim: u64,
    excesses: u64,
}

impl Stages {
    fn new() -> Self {
        let limit = |per, limit, window| Limit {
            key: "*".to_owned(),
            per,
            count: Counted::Calls,
            limit,
            window,
            action: Action::Alert,
        };
        let minute = LimitWindow::Sliding(Duration::from_secs(60));
        let limits = vec![
            limit(Dimension::Client, 6_000, minute),
            limit(Dimension::Identity, 6_000, minute),
            limit(
                Dimension::Identity,
                100_000,
                LimitWindow::Calendar(Period::Day),
            ),
        ];
        Self {
            judge: Judge::default(),
            proofs: Proofs::default(),
            detector: Detector::new(DetectSettings::default()),
            posture: Posture::default(),
            meter: Meter::default(),
            limits: Limits::new(limits),
            findings: 0,
            of_victim: 0,
            excesses: 0,
        }
    }

    /// The time that detections take, and that usage and limits take.
    fn push(&mut self, calls: &mut [ApiCall]) -> [Duration; 2] {
        let Self {
            judge,
            proofs,
            detector,
            posture,
            meter,
            limits,
            findings,
            of_victim,
            excesses,
        } = self;
        let began = Instant::now();
        for call in calls.iter_mut() {
            call.auth.outcome = judge.judge(call);
            if proofs.proves(call) {
                call.verify_identities();
            }
            detector.push(call, &mut |finding| {
                *findings += 1;
                *of_victim += u64::from(finding.identity.as_deref() == Some("victim"));
            });
            posture.push(call, &mut |_| *findings += 1);
        }
        let detected = began.elapsed();
        let began = Instant::now();
        for call in &*calls {
            meter.push(call);
            limits.push(call, &mut |_| *excesses += 1);
        }
        [detected, began.elapsed()]
    }
}

/// A call of one of `keys` callers, each with an address, an account and a credential of its own.
fn call(n: u64, keys: u64, every: u64) -> ApiCall {
    let key = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys;
    let [_, a, b, c] = (key as u32).to_be_bytes();
    let status = match n % 20 {
        0 => 404,
        1 => 401,
        _ => 200,
    };
    let target = format!("/api/v1/orders/{}", n % 977);
    let mut call: ApiCall = Recorded {
        time_unix_ns: START + n * every,
        client: Some(([100 + (key >> 24) as u8, a, b, c], 4000).into()),
        method: "GET",
        target: &target,
        host: Some("shop.example"),
        status: Some(status),
        agent: Some("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"),
        response_bytes: 900,
        ..Recorded::default()
    }
    .into();
    call.service = Some("shop".into());
    call.route = Some(["/api/v1/orders/{id}", "/api/v1/items/{id}"][(n % 2) as usize].into());
    call.duration_ns = Some(2_000_000 + n % 1_000_000);
    named(&mut call, &format!("user{key}"), &format!("fp:{key}"));
    call
}

fn named(call: &mut ApiCall, user: &str, fingerprint: &str) {
    call.auth.scheme = AuthScheme::Basic;
    let identity = Arc::new(Identity {
        kind: IdentityKind::Basic,
        id: user.into(),
        fingerprint: Some(fingerprint.into()),
        earlier: None,
        class: None,
        source: "header:authorization".into(),
        verified: false,
        claims: None,
    });
    call.identity = Some(Arc::clone(&identity));
    call.identities = vec![identity];
}

/// A guess of an attacker who has another address, account, path and secret each time. One in a
/// thousand goes at the same account.
fn rotated(n: u64) -> ApiCall {
    let mut call = call(n, u64::from(u32::MAX) >> 8 << 8, SECOND / 100_000);
    call.status = Some(401);
    call.path = format!("/{n:x}");
    if n.is_multiple_of(1000) {
        named(&mut call, "victim", &format!("fp:guess{n}"));
    }
    call
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Runs `calls` calls; prints the time that each took.
fn measure(name: &str, stages: &mut Stages, calls: u64, make: impl Fn(u64) -> ApiCall) {
    let mut samples: [Vec<f64>; 2] = Default::default();
    for batch in 0..calls / BATCH {
        let mut made: Vec<ApiCall> = (batch * BATCH..(batch + 1) * BATCH).map(&make).collect();
        for (samples, time) in samples.iter_mut().zip(stages.push(&mut made)) {
            samples.push(time.as_secs_f64() * 1e6 / BATCH as f64);
        }
    }
    for (samples, what) in samples.iter_mut().zip(["detections", "usage, limits"]) {
        samples.sort_by(f64::total_cmp);
        let at = |part: usize| {
            samples
                .get(samples.len() * part / 100)
                .copied()
                .unwrap_or(0.0)
        };
        println!(
            "{name:<28} {what:<14} median {:>6.3} µs a call, p99 {:>6.3} µs",
            at(50),
            at(99)
        );
    }
}

fn main() {
    let mut stages = Stages::new();
    measure("warm-up", &mut stages, 20 * FEW, |n| {
        call(n, FEW, SECOND / 1000)
    });
    measure("1,000 callers", &mut stages, 200 * FEW, |n| {
        call(n, FEW, SECOND / 1000)
    });

    let mut stages = Stages::new();
    measure("1,000,000 callers, first", &mut stages, MANY, |n| {
        call(n, MANY, SECOND / 10_000)
    });
    measure("1,000,000 callers", &mut stages, MANY, |n| {
        call(MANY + n, MANY, SECOND / 10_000)
    });
    println!(
        "resident after 1,000,000 callers: {} MiB",
        resident_kib() / 1024
    );

    let before = resident_kib();
    let mut stages = Stages::new();
    measure("everything rotated", &mut stages, MANY, rotated);
    let half = resident_kib();
    measure("everything rotated, on", &mut stages, MANY, |n| {
        rotated(MANY + n)
    });
    println!(
        "resident grew by {} MiB, then by {} MiB; {} findings, {} of them of the one account; {} entries let go",
        half.saturating_sub(before) / 1024,
        resident_kib().saturating_sub(half) / 1024,
        stages.findings,
        stages.of_victim,
        stages.detector.counts().evicted + stages.meter.evicted() + stages.limits.evicted()
    );
    assert!(
        stages.of_victim > 0,
        "the attack on one account was not found"
    );
}
