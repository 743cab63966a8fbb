//! Appending to, verifying and searching the audit log: records a second, bytes a record, time of a
//! search by class of query. One core but for the searches, which take what there is.
//!
//! `cargo bench -p observer --bench audit [-- RECORDS]`, such as 10000000 for the searches.

use std::path::Path;
use std::time::{Duration, Instant};

use observer::audit::{
    AuditError, AuditSettings, Field, Filter, Indexer, Log, Ocsf, Review, Search, Trust, verify,
};

#[path = "audit/traffic.rs"]
mod traffic;

use traffic::{START_NS, STEP_NS, Traffic};

const RECORDS: u64 = 1_000_000;
/// Times that each search is made; the median counts.
const ROUNDS: usize = 5;
/// Records between two commits: 200 ms at 300,000 a second.
const COMMIT: u64 = 60_000;

/// What is asked of the log.
enum Ask {
    /// How many there are.
    Count,
    /// How many, by the values of a field.
    By(Field),
    /// The newest so many records.
    Newest(usize),
    /// All records.
    All,
    /// How many, by a scan of everything.
    Scan,
}

/// Class of query, filter, what is asked.
const CLASSES: [(&str, &str, Ask); 28] = [
    ("one path", "path=\"/v1/orders/47110\"", Ask::All),
    (
        "paths by pattern",
        "path ~ \"/v1/*/47110/history\"",
        Ask::All,
    ),
    ("part of a path", "path ~ \"*4711*\"", Ask::Count),
    ("text anywhere", "text=user-00037", Ask::Count),
    ("text that is nowhere", "text=nobody", Ask::Newest(1000)),
    (
        "one route",
        "route=\"/v1/parcels/{id}/history\"",
        Ask::Count,
    ),
    (
        "a route that is nowhere",
        "route=\"/nowhere\"",
        Ask::Newest(1000),
    ),
    ("one host", "host=media.shop.example", Ask::Count),
    (
        "one client",
        "client=198.51.7.7 or client=198.51.8.8",
        Ask::Count,
    ),
    (
        "network and status",
        "client in 198.51.64.0/18 status>=400",
        Ask::Count,
    ),
    (
        "one caller",
        "identity=\"https://id.shop.example|user-55500\"",
        Ask::Count,
    ),
    ("one caller, records", "identity=partner1907", Ask::All),
    ("one credential", "fingerprint ~ 3f9c:A*", Ask::Count),
    ("one status", "status=500", Ask::Count),
    ("one method", "method=DELETE", Ask::Count),
    (
        "one service and status",
        "service=billing status=401",
        Ask::Count,
    ),
    ("one program", "exe=/opt/shop/bin/catalog", Ask::Count),
    ("one unit", "unit=shop-media.service", Ask::Count),
    ("one connection", "conn=5000061", Ask::Count),
    ("one index", "index=470000", Ask::All),
    ("slow calls", "duration>900ms", Ask::Count),
    ("large answers", "response_bytes>4990", Ask::Count),
    ("all by status", "", Ask::By(Field::Status)),
    ("failed by client", "status>=400", Ask::By(Field::Client)),
    ("newest 1,000 failed", "status>=400", Ask::Newest(1000)),
    ("last minute, records", "since 1m", Ask::All),
    ("most records, all given", "status<400", Ask::All),
    (
        "one path, without index",
        "path=\"/v1/orders/47110\"",
        Ask::Scan,
    ),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo passes `--bench` too.
    let count = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(RECORDS);
    let folder = tempfile::tempdir_in(".")?;
    let dir = folder.path();
    let appended = append(dir, count)?;
    let segments = bytes(dir, "segments")?;
    let began = Work::begin()?;
    let report = verify(dir, &Trust::default(), &mut |_, _| {})?;
    let verified = began.end()?;
    assert!(report.good() && report.verified == count, "{report}");
    let began = Work::begin()?;
    Indexer::new(dir).extend(&mut || false)?;
    let indexed = began.end()?;
    let rate = |(time, work): (Duration, Duration)| {
        let each = |time: Duration| count as f64 / time.as_secs_f64();
        format!(
            "{:>10.0} records/s, {:>10.0} of a core that does nothing else",
            each(time),
            each(work)
        )
    };
    let each = |bytes: u64| bytes as f64 / count as f64;
    println!("records    {count:>10}");
    println!(
        "append     {} (JSON, hashes, compression, checkpoints, sync)",
        rate(appended)
    );
    println!("verify     {}", rate(verified));
    println!("index      {}", rate(indexed));
    let index = bytes(dir, "index")?;
    println!(
        "size       {:>10.1} bytes a record, {:.1} of its index, and 32 of its hash",
        each(segments),
        each(index)
    );
    search(dir, count)?;
    let end_ms = end_ms(count);
    let began = Instant::now();
    let span = (end_ms.saturating_sub(86_400_000), end_ms);
    let review = Review::of(dir, &Trust::default(), None, span)?;
    println!(
        "report     {:>10.1} s for {} calls of the day, with the verification",
        began.elapsed().as_secs_f64(),
        review.calls
    );
    Ok(())
}

/// Bytes of the files in a folder of the log.
fn bytes(dir: &Path, name: &str) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir.join(name))? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

fn end_ms(count: u64) -> u64 {
    (START_NS + (count + 1) * STEP_NS) / 1_000_000
}

/// Every class of query.
fn search(dir: &Path, count: u64) -> Result<(), Box<dyn std::error::Error>> {
    println!(
        "{:<26} {:>10} {:>10} {:>14} {:>13}  query",
        "search", "hits", "median ms", "records/s", "processor ms"
    );
    for (class, text, ask) in &CLASSES {
        let filter = Filter::parse(text, end_ms(count))?;
        let scan = matches!(ask, Ask::Scan);
        let search = Search {
            dir,
            filter: &filter,
            index: !scan,
            keys: None,
            from: 0,
        };
        let mut times = Vec::new();
        let mut found = 0;
        let mut bytes = 0;
        // A scan takes long, and is here to be compared with.
        let rounds = if scan { 1 } else { ROUNDS };
        let before = all_processors()?;
        for _ in 0..rounds {
            let mut give = |_, record: &[u8]| {
                bytes += record.len();
                Ok::<(), AuditError>(())
            };
            let began = Instant::now();
            found = match ask {
                Ask::Count | Ask::Scan => search.count(None)?.1.found,
                Ask::By(field) => search.count(Some(*field))?.1.found,
                Ask::Newest(most) => search.run(Some(*most), &mut give)?.found,
                Ask::All => search.run(None, &mut give)?.found,
            };
            times.push(began.elapsed());
        }
        let work = (all_processors()? - before) / rounds as f64;
        times.sort();
        let median = times.get(rounds / 2).copied().unwrap_or_default();
        println!(
            "{class:<26} {found:>10} {:>10.1} {:>14.0} {:>13.0}  {text}",
            median.as_secs_f64() * 1e3,
            count as f64 / median.as_secs_f64(),
            work * 1e3
        );
    }
    Ok(())
}

/// What a stretch of work takes.
struct Work {
    began: Instant,
    processor: Duration,
}

impl Work {
    fn begin() -> std::io::Result<Self> {
        Ok(Self {
            began: Instant::now(),
            processor: processor()?,
        })
    }

    /// Time, and time on a processor: the first is more where others are at work too.
    fn end(&self) -> std::io::Result<(Duration, Duration)> {
        Ok((self.began.elapsed(), processor()? - self.processor))
    }
}

/// Time that this thread had a processor (proc_pid_schedstat(5)).
fn processor() -> std::io::Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = text.split(' ').next().and_then(|word| word.parse().ok());
    Ok(Duration::from_nanos(ns.unwrap_or_default()))
}

/// Seconds of all processors that this program had, in hundredths (proc_pid_stat(5)).
fn all_processors() -> std::io::Result<f64> {
    /// Ticks a second, as every Linux tells programs.
    const TICKS: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields = text.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS)
}

fn append(dir: &Path, count: u64) -> Result<(Duration, Duration), Box<dyn std::error::Error>> {
    let (mut log, _) = Log::open(dir, "bench.example/audit", AuditSettings::default(), 1)?;
    let mut ocsf = Ocsf::default();
    let mut traffic = Traffic::default();
    let mut spent = (Duration::ZERO, Duration::ZERO);
    let mut add = |(time, work): (Duration, Duration)| {
        spent.0 += time;
        spent.1 += work;
    };
    let mut calls = Vec::new();
    for start in (0..count).step_by(COMMIT as usize) {
        // To make up the calls is no work of the log.
        calls.clear();
        calls.extend((start..count.min(start + COMMIT)).map(|_| traffic.call()));
        let began = Work::begin()?;
        for (call, n) in calls.iter().zip(start..) {
            let (head, record) = ocsf.call(call, n);
            log.append(&head, record.as_bytes())?;
        }
        log.commit(start / 300)?;
        add(began.end()?);
    }
    let began = Work::begin()?;
    log.seal(count)?;
    add(began.end()?);
    Ok(spent)
}
