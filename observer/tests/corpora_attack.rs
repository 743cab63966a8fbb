//! Runs the detections on logs of attacks of another project, with the alerts that are wanted,
//! and on an access log of ordinary visits, beside the stock thresholds of CrowdSec, Fail2ban and
//! Sigma on the same events. The folder is named by `OBSERVER_CORPORA`; without it the test is
//! skipped.
//!
//! Lines of access logs are read as they are. Logs of applications tell what a program knew and
//! the wire did not: of those the events that were made of them are taken, a failed login as a
//! `POST` to a login that is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use observer::call::{ApiCall, AuthOutcome, Recorded};
use observer::catalog::Catalog;
use observer::detect::{DetectSettings, Detector, Judge};
use observer::replay::access_line;
use serde_json::Value;

const SECOND: u64 = 1_000_000_000;

fn corpora() -> Option<PathBuf> {
    let folder = std::env::var_os("OBSERVER_CORPORA")
        .map(PathBuf::from)?
        .join("attack");
    folder.is_dir().then_some(folder)
}

fn lines(path: &Path) -> Vec<String> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    BufReader::new(GzDecoder::new(file))
        .lines()
        .map_while(Result::ok)
        .collect()
}

/// What an alert is about, coarse enough for all tools to speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Credentials are guessed.
    Guessing,
    /// A scanner looks around: paths, files, user agents, pages.
    Scanning,
    /// Requests carry an attack.
    Exploit,
}

fn kind_of_rule(rule: &str) -> Option<Kind> {
    Some(match rule {
        "auth_failure_burst"
        | "brute_force"
        | "slow_brute_force"
        | "login_attempts"
        | "password_spraying"
        | "credential_stuffing"
        | "token_guessing" => Kind::Guessing,
        "path_enumeration" | "private_files" | "crawl" | "scanner" | "open_proxy_probe" => {
            Kind::Scanning
        }
        "exploit_probe" | "request_smuggling" => Kind::Exploit,
        _ => return None,
    })
}

/// The kind of a wanted alert, from the name of its scenario; `None` if it is of no HTTP client:
/// a kernel, a mail client, an administrator, where someone travelled, what was paid, the log of another detector, a test of the installation.
fn kind_of_scenario(name: &str) -> Option<Kind> {
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let has = |word: &str| name.contains(word);
    if has("travel")
        || has("ccs")
        || has("sftp")
        || has("k8s")
        || has("2023-23397")
        || has("2023-4911")
        || name == "modsecurity"
        || has("generic-test")
    {
        return None;
    }
    if has("path-traversal")
        || has("cve")
        || has("sqli")
        || has("xss")
        || has("log4j")
        || has("thinkphp")
    {
        return Some(Kind::Exploit);
    }
    if has("-bf") || has("_bf") || has("bruteforce") || has("enum") {
        return Some(Kind::Guessing);
    }
    Some(Kind::Scanning)
}

fn text<'a>(event: &'a Value, keys: &[&str]) -> Option<&'a str> {
    keys.iter()
        .find_map(|key| event[*key].as_str())
        .filter(|text| !text.is_empty() && *text != "undefined")
}

/// An event as a call.
fn call_of_event(event: &Value, nth: u64) -> Option<ApiCall> {
    let client: Option<std::net::SocketAddr> = text(event, &["source_ip"])?
        .parse()
        .ok()
        .map(|ip: std::net::IpAddr| (ip, 0).into());
    client?;
    let time = text(event, &["timestamp"]).and_then(|time| {
        // The reader of logs knows how to read a time.
        let line = format!("{{\"remote_addr\":\"192.0.2.1\",\"method\":\"GET\",\"path\":\"/\",\"status\":200,\"time\":\"{time}\"}}");
        access_line(&line).map(|call| call.time_unix_ns)
    });
    let status: Option<u16> =
        text(event, &["http_status", "http_status_code"]).and_then(|status| status.parse().ok());
    let failed_login = status.is_none() || text(event, &["http_path", "request"]).is_none();
    let user = text(event, &["target_user", "username", "user"]);
    let mut recorded = Recorded {
        time_unix_ns: time.unwrap_or(1_700_000_000 * SECOND + nth * SECOND / 10),
        client,
        user,
        method: text(event, &["http_verb", "http_method"]).unwrap_or("GET"),
        target: text(event, &["http_path", "request"]).unwrap_or("/"),
        host: text(event, &["target_fqdn"]),
        status,
        agent: text(event, &["http_user_agent"]),
        ..Recorded::default()
    };
    if failed_login {
        recorded.method = "POST";
        recorded.target = text(event, &["http_path"]).unwrap_or("/login");
        recorded.status = Some(401);
    }
    Some(recorded.into())
}

/// The findings that calls lead to: source and kind.
fn found(calls: &[ApiCall]) -> BTreeSet<(String, Kind)> {
    let (mut catalog, mut judge) = (Catalog::default(), Judge::default());
    let mut detector = Detector::new(DetectSettings::default());
    let mut found = BTreeSet::new();
    for call in calls {
        let mut call = call.clone();
        catalog.name(&mut call);
        call.auth.outcome = judge.judge(&call);
        detector.push(&call, &mut |finding| {
            if let (Some(kind), Some(client)) = (kind_of_rule(&finding.rule), finding.client) {
                found.insert((client.to_string(), kind));
            }
        });
    }
    found
}

/// Failures of a source within a window: Fail2ban's and Sigma's way.
fn threshold(
    calls: &[ApiCall],
    statuses: &[u16],
    most: usize,
    window: u64,
) -> BTreeSet<(String, Kind)> {
    let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for call in calls {
        if !call.status.is_some_and(|status| statuses.contains(&status)) {
            continue;
        }
        let Some(client) = source(call) else { continue };
        let times = seen.entry(client.clone()).or_default();
        times.push(call.time_unix_ns);
        times.retain(|time| call.time_unix_ns.saturating_sub(*time) <= window);
        if times.len() > most {
            found.insert((client.clone(), Kind::Guessing));
            found.insert((client, Kind::Scanning));
        }
    }
    found
}

/// CrowdSec's generic scenarios: leaky buckets of one source.
fn buckets(calls: &[ApiCall]) -> BTreeSet<(String, Kind)> {
    type Filter = fn(&ApiCall) -> bool;
    let all: [(Filter, bool, f64, f64, Kind); 4] = [
        (
            |call| call.method == "POST" && matches!(call.status, Some(401 | 403)),
            false,
            5.0,
            10.0,
            Kind::Guessing,
        ),
        (
            |call| call.auth.outcome == AuthOutcome::Failed,
            false,
            5.0,
            10.0,
            Kind::Guessing,
        ),
        (
            |call| matches!(call.status, Some(400 | 403 | 404)),
            true,
            10.0,
            10.0,
            Kind::Scanning,
        ),
        (
            |call| matches!(call.method.as_str(), "GET" | "HEAD"),
            true,
            40.0,
            0.5,
            Kind::Scanning,
        ),
    ];
    let mut found = BTreeSet::new();
    for (filter, distinct, capacity, leak, kind) in all {
        let mut levels: BTreeMap<String, (f64, u64, BTreeSet<String>)> = BTreeMap::new();
        for call in calls.iter().filter(|call| filter(call)) {
            let Some(client) = source(call) else { continue };
            let (level, last, paths) =
                levels
                    .entry(client.clone())
                    .or_insert((0.0, call.time_unix_ns, BTreeSet::new()));
            let passed = call.time_unix_ns.saturating_sub(*last) as f64 / SECOND as f64;
            *level = (*level - passed / leak).max(0.0);
            *last = call.time_unix_ns;
            if *level == 0.0 {
                paths.clear();
            }
            if distinct && !paths.insert(call.path.clone()) {
                continue;
            }
            *level += 1.0;
            if *level > capacity {
                found.insert((client, kind));
            }
        }
    }
    found
}

/// The source as findings write it: an IPv6 client is its /64.
fn source(call: &ApiCall) -> Option<String> {
    Some(normal(&call.client?.ip().to_canonical().to_string()))
}

fn normal(address: &str) -> String {
    match address.parse() {
        Ok(std::net::IpAddr::V6(v6)) => {
            std::net::Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).to_string()
        }
        _ => address.to_owned(),
    }
}

#[derive(Default)]
struct Score {
    wanted: usize,
    found: usize,
    right: usize,
    extra: usize,
}

impl Score {
    fn add(&mut self, wanted: &BTreeSet<(String, Kind)>, found: &BTreeSet<(String, Kind)>) {
        self.wanted += wanted.len();
        self.right += wanted.intersection(found).count();
        // Another kind of alert for a source that attacks is no false alarm.
        let attackers: BTreeSet<_> = wanted.iter().map(|(source, _)| source).collect();
        self.found += found.iter().filter(|one| wanted.contains(one)).count();
        self.extra += found
            .iter()
            .filter(|(source, _)| !attackers.contains(source))
            .count();
    }

    fn recall(&self) -> f64 {
        self.right as f64 / self.wanted.max(1) as f64
    }

    fn precision(&self) -> f64 {
        let all = self.found + self.extra;
        if all == 0 {
            1.0
        } else {
            self.found as f64 / all as f64
        }
    }
}

type Tool = (&'static str, fn(&[ApiCall]) -> BTreeSet<(String, Kind)>);

const TOOLS: [Tool; 4] = [
    ("observer", found),
    ("CrowdSec generic", buckets),
    ("Fail2ban 5/10m", |calls| {
        threshold(calls, &[401], 4, 600 * SECOND)
    }),
    ("Sigma >10/10m", |calls| {
        threshold(calls, &[400, 401, 403, 500], 10, 600 * SECOND)
    }),
];

#[test]
fn attacks_of_others_are_found_with_source_and_kind() {
    let Some(folder) = corpora() else {
        println!("skipped: OBSERVER_CORPORA does not name a folder with attack/");
        return;
    };
    let mut scores: [BTreeMap<Option<Kind>, Score>; 4] = Default::default();
    let (mut cases, mut left_out) = (0, Vec::new());
    for line in lines(&folder.join("crowdsec.jsonl.gz")) {
        let case: Value = serde_json::from_str(&line).expect("JSON");
        let empty = Vec::new();
        let list = |key: &str| case[key].as_array().unwrap_or(&empty).clone();
        let logs = list("log");
        let mut calls: Vec<ApiCall> = logs
            .iter()
            .filter_map(|line| access_line(line.as_str()?))
            .collect();
        let mut wanted = BTreeSet::new();
        let mut events = Vec::new();
        for overflow in list("overflows") {
            let Some(kind) = overflow["scenario"].as_str().and_then(kind_of_scenario) else {
                continue;
            };
            for source in overflow["sources"].as_array().unwrap_or(&empty) {
                if let Some(address) = source[1].as_str() {
                    wanted.insert((normal(address), kind));
                }
            }
            for event in overflow["events"].as_array().unwrap_or(&empty) {
                events.push(event.clone());
            }
        }
        if list("scenarios").is_empty() || wanted.is_empty() && calls.is_empty() {
            left_out.push(case["id"].as_str().unwrap_or("?").to_owned());
            continue;
        }
        // Of a source whose alerts were made of what no access log tells, the events.
        let bare: BTreeSet<_> = events
            .iter()
            .filter(|event| text(event, &["http_status"]).is_none())
            .filter_map(|event| text(event, &["source_ip"]).map(normal))
            .collect();
        let told: BTreeSet<_> = calls.iter().filter_map(source).collect();
        let told: BTreeSet<_> = told.difference(&bare).cloned().collect();
        calls.retain(|call| source(call).is_some_and(|source| told.contains(&source)));
        // What was read of every line is more than the evidence that was kept.
        let parsed = list("parsed");
        if calls.is_empty() && parsed.len() > events.len() {
            events = parsed;
        }
        let mut once = BTreeSet::new();
        let events: Vec<_> = events
            .iter()
            .enumerate()
            // One event may be evidence of two alerts; six that are the same are six.
            .filter(|(at, event)| {
                let same = events[..*at].iter().filter(|other| other == event).count();
                once.insert((event.to_string(), same % 6))
            })
            .filter_map(|(at, event)| call_of_event(event, at as u64))
            .filter(|call| source(call).is_some_and(|source| !told.contains(&source)))
            .collect();
        calls.extend(events);
        cases += 1;
        for (scores, (name, tool)) in scores.iter_mut().zip(TOOLS) {
            let found = tool(&calls);
            if name == "observer" {
                for missed in wanted.difference(&found) {
                    println!("missed: {} {missed:?}, found {found:?}", case["id"]);
                }
            }
            for kind in [
                None,
                Some(Kind::Guessing),
                Some(Kind::Scanning),
                Some(Kind::Exploit),
            ] {
                let of = |set: &BTreeSet<(String, Kind)>| {
                    set.iter()
                        .filter(|(_, its)| kind.is_none_or(|kind| kind == *its))
                        .cloned()
                        .collect()
                };
                scores
                    .entry(kind)
                    .or_default()
                    .add(&of(&wanted), &of(&found));
            }
        }
    }
    println!(
        "{cases} cases; left out, because they have no alert of HTTP or no request: {}",
        left_out.join(" ")
    );

    let ordinary: Vec<ApiCall> = lines(&folder.join("ordinary-access-log.gz"))
        .iter()
        .filter_map(|line| access_line(line))
        .collect();
    println!(
        "{:<18} {:>8} {:>9} {:>10} {:>7} {:>10} {:>9}",
        "", "guessing", "scanning", "exploiting", "all", "precision", "ordinary"
    );
    let mut own = (0.0, usize::MAX);
    for (scores, (name, tool)) in scores.iter().zip(TOOLS) {
        let alarms = tool(&ordinary);
        let recall = |kind| scores.get(&kind).map_or(1.0, Score::recall);
        println!(
            "{name:<18} {:>8.3} {:>9.3} {:>10.3} {:>7.3} {:>10.3} {:>9}",
            recall(Some(Kind::Guessing)),
            recall(Some(Kind::Scanning)),
            recall(Some(Kind::Exploit)),
            recall(None),
            scores.get(&None).map_or(1.0, Score::precision),
            alarms.len()
        );
        if name == "observer" {
            println!("    on {} ordinary requests: {alarms:?}", ordinary.len());
            own = (recall(None), alarms.len());
        }
    }
    assert!(own.0 >= 0.95, "found {:.3} of what is wanted", own.0);
    assert_eq!(own.1, 0, "false alarms on the ordinary log");
}
