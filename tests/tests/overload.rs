//! More load than the agent can take: what is lost is counted to the byte, and nothing stays.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::wrk::{wrk, wrk_with};
use observer_tests::{Agent, Launch, Metrics, Nginx, curl, live, wait};

/// The smallest ring there is.
const SMALL_RING: &str = "[capture]\nring_bytes = \"256KiB\"\n";
/// How long the load lasts, and the reader sleeps in its middle.
const SECONDS: u64 = 30;
/// How long the books may take to be published after the last packet.
const SETTLED: Duration = Duration::from_secs(10);

/// `seen`, and the sum of what became of it, in calls or bytes.
fn books(metrics: &Metrics, source: &str, unit: &str) -> (u64, u64) {
    let sum = |line: &str| {
        let name = format!("observer_capture_{line}{unit}_total");
        metrics.sum(&name, &[("source", source)]) as u64
    };
    let told = ["delivered", "skipped", "filtered", "lost"];
    (sum("seen"), told.into_iter().map(sum).sum())
}

fn balanced(agent: &Agent) -> Result<Metrics> {
    let last = std::cell::RefCell::new(Vec::new());
    let found = wait::until("books that balance", SETTLED, || {
        let metrics = agent.metrics().ok()?;
        let rows: Vec<_> = ["packets", "tls"]
            .into_iter()
            .flat_map(|source| ["", "_bytes"].map(|unit| books(&metrics, source, unit)))
            .collect();
        let balanced = rows.iter().all(|(seen, told)| seen == told);
        last.replace(rows);
        balanced.then_some(metrics)
    });
    found.with_context(|| format!("seen and accounted for: {:?}", last.borrow()))
}

fn burst(tls: bool) -> Result<()> {
    let Some(_turn) = live(&["nginx", "wrk", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let agent = Agent::launch(Launch {
        settings: Some(SMALL_RING.to_owned()),
        ..Launch::default()
    })?;
    let base = if tls {
        nginx.tls_url("")
    } else {
        nginx.url("")
    };
    let url = format!("{base}/status/200");
    let load = thread::spawn(move || wrk(&url, 32, SECONDS));
    // A reader that gets no processor for a while: the ring is full in a few milliseconds.
    thread::sleep(Duration::from_secs(SECONDS / 2));
    agent.signal("STOP")?;
    thread::sleep(Duration::from_secs(1));
    agent.signal("CONT")?;
    let answers = load.join().expect("wrk")?;
    ensure!(answers > 1000, "wrk got {answers} answers only");

    let metrics = balanced(&agent)?;
    let source = if tls { "tls" } else { "packets" };
    let lost = metrics.sum("observer_capture_lost_total", &[("source", source)]);
    ensure!(lost > 0.0, "nothing was lost: this was no overload");
    let requests = metrics.sum(
        "observer_capture_lost_requests_total",
        &[("source", source)],
    );
    ensure!(
        requests > 0.0 && requests <= lost,
        "{requests} requests of {lost} lost"
    );
    if !tls {
        // A request of wrk is one segment: those whose content is lost are counted all the same.
        // What is not known is a request that came through and whose answer was lost.
        // (Plaintext is counted at both ends, and which is the client's is known later.)
        let labels = [("role", "server"), ("service", "nginx"), ("method", "GET")];
        let known = metrics.sum("observer_calls_total", &labels) + requests;
        let answers = answers as f64;
        ensure!(
            (answers * 0.97..=answers * 1.001 + 64.0).contains(&known),
            "{answers} answers, {requests} requests lost, {known} known"
        );
    }

    const AFTER: usize = 20;
    let after = format!("{base}/status/418");
    let urls: Vec<&str> = (0..AFTER)
        .flat_map(|_| ["-o", "/dev/null", &after])
        .collect();
    curl(&urls)?;
    let count = || agent.calls_where(|call| call.path == "/status/418");
    let seen = wait::until("the calls after the burst", SETTLED, || {
        count().ok().filter(|calls| calls.len() >= AFTER)
    });
    let calls = seen.or_else(|_| count())?;
    ensure!(
        calls.len() == AFTER,
        "{} of {AFTER} calls seen",
        calls.len()
    );
    balanced(&agent)?;
    Ok(())
}

#[test]
fn the_books_balance_when_the_ring_overflows_and_later_calls_are_all_seen() -> Result<()> {
    burst(false)
}

#[test]
fn the_books_balance_when_the_ring_overflows_with_tls() -> Result<()> {
    burst(true)
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() -> Result<()> {
    /// What the allocator may keep for itself between two rounds.
    const SLACK_KIB: u64 = 4 << 10;
    /// Entries that other programs of the host may cause meanwhile.
    const STRANGERS: f64 = 100.0;
    let Some(_turn) = live(&["nginx", "wrk"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let agent = Agent::start()?;
    let url = nginx.url("/status/200");
    let entries = || Ok::<_, anyhow::Error>(agent.metrics()?.sum("observer_pipeline_entries", &[]));
    let idle = entries()?;
    let round = || -> Result<(u64, u64)> {
        let answers = wrk_with(&["-H", "Connection: close"], &url, 16, 5)?;
        let forgotten = wait::until("all connections to be forgotten", SETTLED, || {
            entries().ok().filter(|now| *now <= idle + STRANGERS)
        });
        forgotten.with_context(|| format!("{idle} entries at first, now {:?}", entries()))?;
        Ok((answers, agent.resident_memory_kib()?))
    };
    // The first rounds make tables and buffers as large as they get.
    let mut before = 0;
    for _ in 0..3 {
        before = before.max(round()?.1);
    }
    let (answers, after) = round()?;
    ensure!(answers > 1000, "wrk got {answers} answers only");
    ensure!(
        after <= before + SLACK_KIB,
        "{before} KiB, and after {answers} more connections {after} KiB"
    );
    Ok(())
}
