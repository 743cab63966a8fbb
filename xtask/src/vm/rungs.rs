//! `cargo xtask vm --rungs`: what a call costs by each way of capture, in instructions.
//!
//! In: kernels. Out: a table. The machine's clock is the number of instructions that it has carried
//! out, so the figures do not depend on what else this host does; nginx, curl, the kernel and the
//! agent share one processor, which is never idle while the calls are made one after the other.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::guest::{self, Machine, Said};
use super::kernels::{self, KernelSource};

/// Calls of one measurement.
const CALLS: u64 = 1000;
/// Measurements of each way.
const ROUNDS: usize = 3;
/// As `rungs.sh` goes through them; the first is without the agent.
const WAYS: [&str; 4] = ["off", "packets", "functions", "kprobes"];

/// Boots each kernel and prints what it says.
pub fn print(kernels: &[&KernelSource], file_system: &Path, folder: &Path) -> Result<()> {
    println!(
        "{:<8} {:<10} {:>20} {:>14} {:>12}",
        "kernel", "sockets", "instructions a call", "to without", "calls seen"
    );
    for source in kernels {
        let kernel = kernels::fetch(source, folder)?;
        eprintln!("booting {}", kernel.package);
        let logs = folder.join("kernels").join(source.version);
        let machine = Machine {
            words: format!("rdinit=/rungs calls={CALLS} rounds={ROUNDS}"),
            counted: true,
        };
        let said = guest::boot(&kernel, file_system, &machine, &logs)?;
        let without = median(&said, "off")?;
        for way in WAYS {
            let cost = median(&said, way)?;
            let seen = if way == "off" {
                String::new()
            } else {
                format!(
                    "{} of {}",
                    seen(&said, way),
                    (CALLS + WARM_UP) * ROUNDS as u64
                )
            };
            println!(
                "{:<8} {way:<10} {cost:>20.0} {:>14.3} {seen:>12}",
                source.version,
                cost / without
            );
        }
    }
    Ok(())
}

/// Calls before each measurement, which the agent sees too.
const WARM_UP: u64 = 100;

/// Instructions a call, the median of the rounds.
fn median(said: &Said, way: &str) -> Result<f64> {
    let mut costs = Vec::new();
    for round in 1..=ROUNDS {
        let text = said
            .get(&format!("{way} {round}"))
            .with_context(|| format!("the machine says nothing of {way}"))?;
        let mut times = text
            .lines()
            .next()
            .unwrap_or_default()
            .split(' ')
            .map(microseconds);
        let (Some(Some(before)), Some(Some(after))) = (times.next(), times.next()) else {
            bail!("{way}: no times in {text:?}");
        };
        // A microsecond is a thousand instructions.
        costs.push(after.saturating_sub(before) as f64 * 1000.0 / CALLS as f64);
    }
    costs.sort_by(f64::total_cmp);
    costs.get(ROUNDS / 2).copied().context("no rounds")
}

/// Of `seconds.microseconds`.
fn microseconds(text: &str) -> Option<u64> {
    let (seconds, micros) = text.split_once('.')?;
    Some(seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?)
}

/// Calls that the agent showed as server, over all rounds.
fn seen(said: &Said, way: &str) -> u64 {
    let of_way = said.iter().filter(|(name, _)| name.starts_with(way));
    let lines = of_way.flat_map(|(_, text)| text.lines());
    lines
        .filter(|line| line.starts_with("observer_calls_total") && line.contains("role=\"server\""))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_round_is_told_in_instructions_a_call() {
        let said: Said = [
            ("off 1", "10.000000 10.200000"),
            ("off 2", "11.900000 12.000000"),
            ("off 3", "12.0 19.0"),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into();
        let cost = median(&said, "off").expect("a cost");
        // The median took 200 ms, a nanosecond for each instruction.
        let wanted = 200e6 / CALLS as f64;
        assert!((cost - wanted).abs() < 1.0, "{cost}");
        assert!(median(&said, "packets").is_err());
    }

    #[test]
    fn only_the_server_is_counted() {
        let text = "0.0 1.0\nobserver_calls_total{role=\"server\",status=\"200\"} 7\nobserver_calls_total{role=\"client\"} 9\n";
        let said: Said = [("packets 1".to_owned(), text.to_owned())].into();
        assert_eq!(seen(&said, "packets"), 7);
    }
}
