//! Appending to, verifying and searching the audit log, on one core: records a second, bytes a
//! record, time of a search by class of query.
//!
//! `cargo bench -p observer --bench audit [-- RECORDS]`, such as 10000000 for the searches.

use std::path::Path;
use std::time::{Duration, Instant};

use observer::audit::{
    AuditError, AuditSettings, Field, Filter, Indexer, Log, Ocsf, Search, Trust, verify,
};

#[path = "audit/typical_call.rs"]
mod typical_call;

use typical_call::typical_call;

const RECORDS: u64 = 1_000_000;
/// Times that each search is made; the median counts.
const ROUNDS: usize = 5;
/// Records between two commits: 200 ms at 300,000 a second.
const COMMIT: u64 = 60_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo passes `--bench` too.
    let count = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(RECORDS);
    let folder = tempfile::tempdir_in(".")?;
    let dir = folder.path();
    let appended = append(dir, count)?;
    let bytes: u64 = std::fs::read_dir(dir.join("segments"))?
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|meta| meta.len())
        .sum();
    let began = Instant::now();
    let report = verify(dir, &Trust::default(), &mut |_, _| {})?;
    let verified = began.elapsed();
    assert!(report.good() && report.verified == count, "{report}");
    let rate = |time: Duration| count as f64 / time.as_secs_f64();
    println!(
        "append {:>10.0} records/s (JSON, hashes, compression, checkpoints, sync)",
        rate(appended)
    );
    println!("verify {:>10.0} records/s", rate(verified));
    println!(
        "size   {:>10.1} bytes a record, and 32 for its hash",
        bytes as f64 / count as f64
    );
    search(dir, count)
}

/// Every class of query, with the index.
fn search(dir: &Path, count: u64) -> Result<(), Box<dyn std::error::Error>> {
    let began = Instant::now();
    Indexer::new(dir).extend(&mut || false)?;
    let indexed = began.elapsed();
    let bytes: u64 = std::fs::read_dir(dir.join("index"))?
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|meta| meta.len())
        .sum();
    println!(
        "index  {:>10.0} records/s, {:.1} bytes a record",
        count as f64 / indexed.as_secs_f64(),
        bytes as f64 / count as f64
    );
    let end_ms = 1_795_342_830_000 + count * 3 / 1000;
    for (class, text, by, newest) in [
        (
            "one client of 250, counted",
            "client=192.0.2.77",
            None,
            None,
        ),
        (
            "network and status, counted",
            "client in 192.0.2.64/26 status>=400",
            None,
            None,
        ),
        ("slow calls, counted", "duration>19ms", None, None),
        ("all by status", "", Some(Field::Status), None),
        ("failed by client", "status>=400", Some(Field::Client), None),
        ("newest 1,000 failed", "status>=400", None, Some(1000)),
        ("last second, all", "since 1s", None, Some(1_000_000)),
        (
            "a value that is nowhere",
            "route=\"/nowhere\"",
            None,
            Some(1000),
        ),
        (
            "by the path, which has no column",
            "path=\"/v1/orders/4711\"",
            None,
            None,
        ),
    ] {
        let filter = Filter::parse(text, end_ms)?;
        let search = Search {
            dir,
            filter: &filter,
            index: true,
            keys: None,
            from: 0,
        };
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            found = match newest {
                Some(_) => {
                    search
                        .run(newest, &mut |_, _| Ok::<(), AuditError>(()))?
                        .found
                }
                None => search.count(by)?.1.found,
            };
            times.push(began.elapsed());
        }
        times.sort();
        println!(
            "search {:>8.1} ms  {found:>9} found  {class}",
            times
                .get(ROUNDS / 2)
                .map_or(0.0, |time| time.as_secs_f64() * 1e3)
        );
    }
    Ok(())
}

fn append(dir: &Path, count: u64) -> Result<Duration, Box<dyn std::error::Error>> {
    let (mut log, _) = Log::open(dir, "bench.example/audit", AuditSettings::default(), 1)?;
    let mut ocsf = Ocsf::default();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let began = Instant::now();
    for n in 0..count {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let call = typical_call(n, random);
        let (head, record) = ocsf.call(&call, n);
        log.append(&head, record.as_bytes())?;
        if n % COMMIT == COMMIT - 1 {
            log.commit(n / 300)?;
        }
    }
    log.seal(count)?;
    Ok(began.elapsed())
}
