//! What one core does: calls of HTTP/1 and HTTP/2, from captured bytes to
//! [`observer::call::ApiCall`], and header blocks; beside each, what others do with the same bytes.
//! Rounds of all of a group follow each other, so that what disturbs one disturbs all; the best
//! round of each counts.
//!
//! `cargo bench -p observer --bench protocol`, with names of groups only those. `--list` names all
//! there are with what a round reads, `--only GROUP/NAME` runs one, `--rounds N` so often. With `OBSERVER_CORPORA` naming
//! a folder that has `hpack/nghttp2.jsonl.gz`, the blocks are those of that encoder, else the
//! responses of RFC 7541 Appendix C.6.

#[path = "protocol/contender.rs"]
mod contender;
#[path = "protocol/ours.rs"]
mod ours;
#[path = "protocol/peers.rs"]
mod peers;
#[path = "protocol/traffic.rs"]
mod traffic;

use std::time::{Duration, Instant};

use contender::Contender;

/// Rounds, unless another number is asked for.
const ROUNDS: usize = 7;

/// What one parser does, and what others do with the same.
type Group = (&'static str, fn() -> Vec<Contender>);

const GROUPS: [Group; 4] = [
    ("http1", http1),
    ("callers", callers),
    ("http2", http2),
    ("hpack", hpack),
];

fn http1() -> Vec<Contender> {
    vec![
        ours::http1("observer", traffic::http1()),
        peers::httparse_heads(),
    ]
}

fn callers() -> Vec<Contender> {
    vec![
        ours::http1("observer, one token", traffic::with_tokens(1)),
        ours::http1("observer, new tokens", traffic::with_tokens(traffic::CALLS)),
    ]
}

fn http2() -> Vec<Contender> {
    let exchanges = traffic::http2();
    let peer = peers::h2_calls(&exchanges);
    vec![ours::http2(exchanges), peer]
}

fn hpack() -> Vec<Contender> {
    let stories = traffic::stories();
    let own = ours::hpack(&stories);
    let mut all = peers::hpack(&stories, &own.units);
    all.insert(0, own);
    all
}

/// What was asked for.
#[derive(Default)]
struct Asked {
    groups: Vec<String>,
    only: Option<(String, String)>,
    list: bool,
    rounds: Option<usize>,
}

impl Asked {
    fn read() -> Self {
        let mut asked = Self::default();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--list" => asked.list = true,
                "--rounds" => asked.rounds = words.next().and_then(|word| word.parse().ok()),
                "--only" => {
                    let name = words.next().unwrap_or_default();
                    asked.only = name
                        .split_once('/')
                        .map(|(group, name)| (group.to_owned(), name.to_owned()));
                }
                // Cargo passes `--bench` itself.
                word if word.starts_with("--") => {}
                _ => asked.groups.push(word),
            }
        }
        asked
    }
}

fn main() {
    let asked = Asked::read();
    for (group, make) in GROUPS {
        let wanted = match &asked.only {
            Some((own, _)) => own == group,
            None => asked.groups.is_empty() || asked.groups.iter().any(|name| name == group),
        };
        if !wanted {
            continue;
        }
        let mut contenders = make();
        if let Some((_, name)) = &asked.only {
            contenders.retain(|contender| contender.name == name);
        }
        if asked.list {
            for contender in &contenders {
                let (count, unit) = contender.units[0];
                println!("{group}/{}\t{count} {unit}", contender.name);
            }
            continue;
        }
        let best = measured(&mut contenders, asked.rounds.unwrap_or(ROUNDS));
        for (contender, time) in contenders.iter().zip(&best) {
            println!("{}", line(group, contender, *time, best[0]));
        }
    }
}

/// The shortest time of each.
fn measured(contenders: &mut [Contender], rounds: usize) -> Vec<Duration> {
    let mut best = vec![Duration::MAX; contenders.len()];
    for _ in 0..rounds {
        for (contender, best) in contenders.iter_mut().zip(&mut best) {
            let start = Instant::now();
            (contender.run)();
            *best = start.elapsed().min(*best);
        }
    }
    best
}

/// What it comes to a second, and how it compares with the first of the group.
fn line(group: &str, contender: &Contender, time: Duration, first: Duration) -> String {
    let seconds = time.as_secs_f64();
    let rates = contender
        .units
        .iter()
        .map(|(count, unit)| match count / seconds {
            rate if rate >= 1e5 => format!("{:.0} thousand {unit}/s", rate / 1e3),
            rate => format!("{rate:.0} {unit}/s"),
        });
    let rates: Vec<_> = rates.collect();
    let times = seconds / first.as_secs_f64();
    let name = contender.name;
    format!(
        "{group:<8} {name:<34} {:<44} {times:>6.2} times as long",
        rates.join(", ")
    )
}
