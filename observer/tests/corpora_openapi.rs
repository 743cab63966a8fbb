//! Endpoint templates learned from labelled traffic of documented APIs, scored against the
//! documents. The folder is named by `OBSERVER_CORPORA`; without it the test is skipped.
//!
//! A group is a method with a template. FGA: F1 of groups that hold exactly the calls of one
//! documented operation. PF1: F1 over pairs of distinct method and path that share a group. over,
//! split: share of operations in a group with another, in more than one group. ratio: groups per
//! operation. noise: groups of scanners' paths only, per operation. All are means over the APIs.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use observer::catalog::RouteSurvey;

/// What the best published heuristic and the corpora's own reference reach (FGA, PF1).
const PEERS: [(&str, f64, f64); 2] = [("heuristic", 0.609, 0.766), ("reference", 0.834, 0.964)];

struct Row {
    method: String,
    target: String,
    status: Option<u16>,
    label: Option<String>,
}

#[derive(Clone, Copy, Default)]
struct Score {
    fga: f64,
    pf1: f64,
    over: f64,
    split: f64,
    ratio: f64,
    noise: f64,
}

fn traffic(track: &str) -> Option<Vec<PathBuf>> {
    let folder = std::env::var_os("OBSERVER_CORPORA").map(PathBuf::from)?;
    let folder = folder.join("openapi").join("traffic-1").join(track);
    let entries = folder.read_dir().ok()?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Some(files)
}

fn rows(path: &Path) -> Vec<Row> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    let row = |line: String| {
        let fields: Vec<&str> = line.split('\t').collect();
        Row {
            method: fields[1].to_owned(),
            target: fields[2].to_owned(),
            status: fields[3].parse().ok(),
            label: (fields[4] != "-").then(|| fields[4].to_owned()),
        }
    };
    lines.map(|line| row(line.expect("text"))).collect()
}

/// The same order each time, and no other.
fn shuffle(rows: &mut [Row]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..rows.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        rows.swap(last, (state >> 33) as usize % (last + 1));
    }
}

fn named(rows: &[Row]) -> Vec<String> {
    let mut survey = RouteSurvey::default();
    for row in rows {
        survey.push(&row.method, &row.target, row.status);
    }
    let mut out = Vec::new();
    let done: Result<(), Infallible> = survey.finish(|route| {
        out.push(route.unwrap_or("-").to_owned());
        Ok(())
    });
    assert!(done.is_ok() && out.len() == rows.len());
    out
}

fn f1(precision: f64, recall: f64) -> f64 {
    if precision + recall == 0.0 {
        0.0
    } else {
        2.0 * precision * recall / (precision + recall)
    }
}

fn pairs<K>(counts: &HashMap<K, u64>) -> f64 {
    let pairs = |&n: &u64| (n * n.saturating_sub(1)) as f64 / 2.0;
    counts.values().map(pairs).sum()
}

fn score(rows: &[Row], routes: &[String]) -> Score {
    type Key<'a> = (&'a str, &'a str);
    let mut operations: HashMap<Key<'_>, HashSet<Key<'_>>> = HashMap::new();
    let mut groups: HashMap<Key<'_>, HashSet<Key<'_>>> = HashMap::new();
    let mut noise: HashSet<Key<'_>> = HashSet::new();
    let mut distinct: HashMap<Key<'_>, (Key<'_>, Key<'_>)> = HashMap::new();
    for (row, route) in rows.iter().zip(routes) {
        let group = (row.method.as_str(), route.as_str());
        let Some(label) = row.label.as_deref() else {
            if route != "-" {
                noise.insert(group);
            }
            continue;
        };
        let operation = (row.method.as_str(), label);
        operations.entry(operation).or_default().insert(group);
        groups.entry(group).or_default().insert(operation);
        let path = row.target.split('?').next().unwrap_or_default();
        distinct.insert((row.method.as_str(), path), (operation, group));
    }
    let alone = |group: &Key<'_>| groups[group].len() == 1;
    let exact = operations
        .values()
        .filter(|own| own.len() == 1 && own.iter().all(alone))
        .count() as f64;
    let over = operations
        .values()
        .filter(|own| !own.iter().all(alone))
        .count() as f64;
    let split = operations.values().filter(|own| own.len() > 1).count() as f64;
    let (mut both, mut by_operation, mut by_group) =
        (HashMap::new(), HashMap::new(), HashMap::new());
    for (operation, group) in distinct.values() {
        *both.entry((operation, group)).or_insert(0) += 1;
        *by_operation.entry(operation).or_insert(0) += 1;
        *by_group.entry(group).or_insert(0) += 1;
    }
    let share = |part: f64, whole: f64| if whole == 0.0 { 1.0 } else { part / whole };
    let right = pairs(&both);
    let count = operations.len() as f64;
    Score {
        fga: f1(exact / groups.len() as f64, exact / count),
        pf1: f1(
            share(right, pairs(&by_group)),
            share(right, pairs(&by_operation)),
        ),
        over: over / count,
        split: split / count,
        ratio: groups.len() as f64 / count,
        noise: noise
            .iter()
            .filter(|group| !groups.contains_key(*group))
            .count() as f64
            / count,
    }
}

fn mean(scores: &[Score]) -> Score {
    let of = |field: fn(&Score) -> f64| scores.iter().map(field).sum::<f64>() / scores.len() as f64;
    Score {
        fga: of(|score| score.fga),
        pf1: of(|score| score.pf1),
        over: of(|score| score.over),
        split: of(|score| score.split),
        ratio: of(|score| score.ratio),
        noise: of(|score| score.noise),
    }
}

fn measure(track: &str, shuffled: bool) -> Option<Score> {
    let mut scores = Vec::new();
    for file in traffic(track)? {
        let mut rows = rows(&file);
        if shuffled {
            shuffle(&mut rows);
        }
        scores.push(score(&rows, &named(&rows)));
    }
    let score = mean(&scores);
    println!(
        "{:10} FGA {:.3}  PF1 {:.3}  over {:.3}  split {:.3}  ratio {:.3}  noise {:.3}  ({} APIs)",
        if shuffled {
            format!("{track}, shuffled")
        } else {
            track.to_owned()
        },
        score.fga,
        score.pf1,
        score.over,
        score.split,
        score.ratio,
        score.noise,
        scores.len()
    );
    Some(score)
}

#[test]
fn learned_endpoints_are_the_documented_ones() {
    if traffic("clean").is_none() {
        println!("skipped: OBSERVER_CORPORA does not name a folder with openapi/traffic-1/");
        return;
    }
    for (name, fga, pf1) in PEERS {
        println!("{name:10} FGA {fga:.3}  PF1 {pf1:.3}");
    }
    let clean = measure("clean", false).expect("the folder was there");
    assert!(
        clean.fga >= 0.94 && clean.pf1 >= 0.99,
        "{} {}",
        clean.fga,
        clean.pf1
    );
    assert!(
        clean.over <= 0.02 && clean.split <= 0.03,
        "{} {}",
        clean.over,
        clean.split
    );
    assert!(clean.ratio <= 1.06, "{}", clean.ratio);
    for (track, shuffled) in [("clean", true), ("noisy", false), ("noisy", true)] {
        if let Some(other) = measure(track, shuffled) {
            assert!(other.fga >= clean.fga - 0.02, "{track}: {}", other.fga);
            assert!(other.pf1 >= clean.pf1 - 0.02, "{track}: {}", other.pf1);
            assert!(other.over <= clean.over + 0.02, "{track}: {}", other.over);
            assert!(other.noise <= 0.05, "{track}: {}", other.noise);
        }
    }
}
