//! The figures of a benchmark, for people and for programs.
//!
//! In: samples. Out: an aligned table, or JSON. It never rounds what JSON carries.

use serde_json::{Value, json};

/// One run of the load.
#[derive(Clone, Copy)]
pub struct Sample {
    /// Answered requests per second.
    pub rate: f64,
    /// CPU time of the server per request, in seconds.
    pub server_cpu: f64,
}

/// What one run with the agent says besides.
#[derive(Clone, Copy)]
pub struct AgentSample {
    /// CPU time of the agent per request, in seconds.
    pub cpu: f64,
    /// Peak resident memory, in bytes.
    pub memory: u64,
    /// Requests that the server counted since the agent was asked to start.
    pub served: u64,
    /// Calls that the agent saw.
    pub seen: u64,
    /// What the agent itself counted as lost, in captured events.
    pub lost: u64,
}

/// One round: the same load without and with the agent.
#[derive(Clone, Copy)]
pub struct Pair {
    /// Without the agent.
    pub off: Sample,
    /// With the agent.
    pub on: Sample,
    /// What the agent says of the run with it.
    pub agent: AgentSample,
}

/// All rounds of one protocol.
pub struct Rounds {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// In the order they were run. Never empty.
    pub pairs: Vec<Pair>,
}

impl Rounds {
    /// Throughput with the agent over throughput without it, a figure for each round.
    fn kept(&self) -> Vec<f64> {
        self.each(|pair| pair.on.rate / pair.off.rate)
    }

    fn each(&self, figure: impl Fn(&Pair) -> f64) -> Vec<f64> {
        self.pairs.iter().map(figure).collect()
    }

    fn sum(&self, figure: impl Fn(&Pair) -> u64) -> u64 {
        self.pairs.iter().map(figure).sum()
    }

    /// Requests that the server counted and the agent did not show.
    fn not_seen(&self) -> i128 {
        i128::from(self.sum(|pair| pair.agent.served))
            - i128::from(self.sum(|pair| pair.agent.seen))
    }

    fn peak_memory(&self) -> u64 {
        self.pairs
            .iter()
            .map(|pair| pair.agent.memory)
            .max()
            .unwrap_or(0)
    }

    fn json(&self) -> Value {
        let kept = self.kept();
        json!({
            "scheme": self.scheme,
            "throughput_kept": {
                "median": median(&kept), "min": least(&kept), "max": most(&kept), "rounds": kept,
            },
            "requests_per_second": {
                "off": median(&self.each(|pair| pair.off.rate)),
                "on": median(&self.each(|pair| pair.on.rate)),
            },
            "server_cpu_seconds_per_request": {
                "off": median(&self.each(|pair| pair.off.server_cpu)),
                "on": median(&self.each(|pair| pair.on.server_cpu)),
            },
            "agent_cpu_seconds_per_call": median(&self.each(|pair| pair.agent.cpu)),
            "agent_peak_memory_bytes": self.peak_memory(),
            "calls": {
                "served": self.sum(|pair| pair.agent.served),
                "seen": self.sum(|pair| pair.agent.seen),
                "not_seen": i64::try_from(self.not_seen()).ok(),
            },
            "lost_events": self.sum(|pair| pair.agent.lost),
        })
    }
}

/// The whole report as JSON.
pub fn json(all: &[Rounds]) -> Value {
    Value::Array(all.iter().map(Rounds::json).collect())
}

/// The whole report as a table: a row for each figure, a column for each protocol.
pub fn table(all: &[Rounds]) -> String {
    let micro = |seconds: f64| format!("{:.2} µs", seconds * 1e6);
    let rows: Vec<(&str, Vec<String>)> = vec![
        ("", cells(all, |rounds| rounds.scheme.to_owned())),
        (
            "throughput kept, median",
            cells(all, |rounds| format!("{:.3}", median(&rounds.kept()))),
        ),
        (
            "throughput kept, least to most",
            cells(all, |rounds| {
                let kept = rounds.kept();
                format!("{:.3} to {:.3}", least(&kept), most(&kept))
            }),
        ),
        (
            "requests/s without the agent",
            cells(all, |rounds| {
                format!("{:.0}", median(&rounds.each(|p| p.off.rate)))
            }),
        ),
        (
            "requests/s with the agent",
            cells(all, |rounds| {
                format!("{:.0}", median(&rounds.each(|p| p.on.rate)))
            }),
        ),
        (
            "server CPU a request, without",
            cells(all, |rounds| {
                micro(median(&rounds.each(|p| p.off.server_cpu)))
            }),
        ),
        (
            "server CPU a request, with",
            cells(all, |rounds| {
                micro(median(&rounds.each(|p| p.on.server_cpu)))
            }),
        ),
        (
            "agent CPU a call",
            cells(all, |rounds| micro(median(&rounds.each(|p| p.agent.cpu)))),
        ),
        (
            "agent peak memory",
            cells(all, |rounds| {
                format!(
                    "{:.1} MiB",
                    rounds.peak_memory() as f64 / f64::from(1 << 20)
                )
            }),
        ),
        (
            "calls served",
            cells(all, |rounds| {
                rounds.sum(|pair| pair.agent.served).to_string()
            }),
        ),
        (
            "calls not seen",
            cells(all, |rounds| rounds.not_seen().to_string()),
        ),
        (
            "lost events, by its ledger",
            cells(all, |rounds| rounds.sum(|pair| pair.agent.lost).to_string()),
        ),
    ];
    let mut text = String::new();
    for (name, values) in rows {
        text.push_str(&format!("{name:<32}"));
        for value in values {
            text.push_str(&format!("{value:>18}"));
        }
        text.push('\n');
    }
    text
}

fn cells(all: &[Rounds], figure: impl Fn(&Rounds) -> String) -> Vec<String> {
    all.iter().map(figure).collect()
}

pub(super) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

pub(super) fn least(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::INFINITY, f64::min)
}

pub(super) fn most(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

#[cfg(test)]
mod tests {
    use super::{AgentSample, Pair, Rounds, Sample, json, median, table};

    fn pair(off: f64, on: f64) -> Pair {
        let sample = |rate| Sample {
            rate,
            server_cpu: 7e-6,
        };
        Pair {
            off: sample(off),
            on: sample(on),
            agent: AgentSample {
                cpu: 5e-6,
                memory: 3 << 20,
                served: 100,
                seen: 99,
                lost: 1,
            },
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let rounds = [Rounds {
            scheme: "http",
            pairs: vec![pair(100.0, 90.0), pair(50.0, 49.0), pair(10.0, 8.0)],
        }];
        let report = json(&rounds);
        assert_eq!(
            report.pointer("/0/throughput_kept/median"),
            Some(&0.9.into())
        );
        assert_eq!(report.pointer("/0/throughput_kept/min"), Some(&0.8.into()));
        assert_eq!(report.pointer("/0/calls/not_seen"), Some(&3.into()));
        let table = table(&rounds);
        assert!(table.contains("0.900"), "{table}");
        assert!(table.contains("3.0 MiB"), "{table}");
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
