//! What each probe costs, and the end of one that costs too much.
//!
//! In: a budget. Out: a measurement now and then, and the names of probes that were taken off. The
//! kernel keeps the times (`BPF_ENABLE_STATS`, Linux 5.8); they are kept only while a measurement is
//! under way, because keeping them costs time as well.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use aya::programs::Program;
use aya::sys::{Stats, enable_stats};
use hashbrown::HashMap;

use super::function_probes::{again_of, is_again};
use super::loader::Kernel;
use super::missed_runs::missed_runs;
use super::status::{ProbeOutcome, ProbeStatus};

/// How long is measured.
const MEASURED: Duration = Duration::from_secs(1);
/// Time from one measurement to the next while all is well.
const EVERY: Duration = Duration::from_secs(10);
/// Time before the first.
const FIRST: Duration = Duration::from_secs(2);
/// Measurements over the budget in a row that end a probe: one may be a burst.
const STRIKES: u32 = 3;

/// What one probe cost during a measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeCost {
    /// Name of the program.
    pub name: String,
    /// Share of one processor; may pass 1 on several.
    pub processors: f64,
    /// Mean time of a run, seconds; 0 if it did not run.
    pub run: f64,
    /// Calls that the kernel did not run it for, since it was loaded.
    pub missed: u64,
}

/// The times of one program since it was loaded.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    ran: Duration,
    runs: u64,
    missed: u64,
}

#[derive(Debug)]
struct Sample {
    began: Instant,
    before: HashMap<String, Times>,
    /// Times are kept while it is open.
    _kept: OwnedFd,
}

/// See the module.
#[derive(Debug)]
pub struct ProbeCosts {
    strikes: Strikes,
    next: Option<Instant>,
    sample: Option<Sample>,
}

impl ProbeCosts {
    /// `budget` is in thousandths of a processor, for each probe.
    pub fn new(budget: u32) -> Self {
        Self {
            strikes: Strikes {
                budget: f64::from(budget) / 1000.0,
                over: HashMap::new(),
            },
            next: Some(Instant::now() + FIRST),
            sample: None,
        }
    }

    /// Wanted a few times a second. When a measurement is complete: what it says, and which probes
    /// were taken off because of it.
    pub fn tick(
        &mut self,
        kernel: &mut Kernel,
        now: Instant,
    ) -> Option<(Vec<ProbeCost>, Vec<ProbeCost>)> {
        if let Some(sample) = &self.sample {
            let took = now.saturating_duration_since(sample.began);
            if took < MEASURED {
                return None;
            }
            let costs = costs(&sample.before, &times(kernel), took);
            self.sample = None;
            let condemned = self.strikes.judge(&costs);
            for cost in &condemned {
                let reason = format!(
                    "taken off: it used {:.0} thousandths of a processor, more than capture.cpu_budget; start the agent again, with a larger budget or with less to capture (capture.exclude_ports and others)",
                    cost.processors * 1000.0
                );
                kernel.take_off(&cost.name, &reason);
            }
            // What was too much is looked at again at once.
            let pause = if self.strikes.over.is_empty() {
                EVERY
            } else {
                Duration::ZERO
            };
            self.next = Some(now + pause);
            return Some((costs, condemned));
        }
        if self.next.is_none_or(|next| now < next) {
            return None;
        }
        match enable_stats(Stats::RunTime) {
            Ok(kept) => {
                self.sample = Some(Sample {
                    began: now,
                    before: times(kernel),
                    _kept: kept,
                });
            }
            Err(error) => {
                tracing::info!(%error, "this kernel does not tell what probes cost: capture.cpu_budget has no effect");
                self.next = None;
            }
        }
        None
    }
}

/// Who was over the budget, and how often in a row.
#[derive(Debug)]
struct Strikes {
    /// Processors.
    budget: f64,
    over: HashMap<String, u32>,
}

impl Strikes {
    /// Those that were over the budget once too often.
    fn judge(&mut self, costs: &[ProbeCost]) -> Vec<ProbeCost> {
        let mut condemned = Vec::new();
        for cost in costs {
            if cost.processors <= self.budget {
                self.over.remove(&cost.name);
                continue;
            }
            let strikes = self.over.entry(cost.name.clone()).or_default();
            *strikes += 1;
            if *strikes >= STRIKES {
                self.over.remove(&cost.name);
                condemned.push(cost.clone());
            }
        }
        condemned
    }
}

fn times(kernel: &Kernel) -> HashMap<String, Times> {
    let told = kernel.ebpf.programs().filter_map(|(name, program)| {
        let info = program.info().ok()?;
        let times = Times {
            ran: info.run_time(),
            runs: info.run_count(),
            missed: missed_runs(program),
        };
        Some((name.to_owned(), times))
    });
    told.collect()
}

fn costs(
    before: &HashMap<String, Times>,
    after: &HashMap<String, Times>,
    took: Duration,
) -> Vec<ProbeCost> {
    let mut costs: Vec<_> = after
        .iter()
        .map(|(name, after)| {
            let before = before.get(name).copied().unwrap_or_default();
            let ran = after.ran.saturating_sub(before.ran).as_secs_f64();
            let runs = after.runs.saturating_sub(before.runs);
            ProbeCost {
                name: name.clone(),
                processors: ran / took.as_secs_f64().max(1e-3),
                run: if runs == 0 { 0.0 } else { ran / runs as f64 },
                missed: after.missed,
            }
        })
        .collect();
    costs.sort_by(|a, b| a.name.cmp(&b.name));
    costs
}

impl Kernel {
    /// Takes a probe off, wherever it is attached.
    pub(super) fn take_off(&mut self, name: &str, reason: &str) {
        if is_again(name) {
            // The first goes on without it.
            self.unload_exit(name);
            return;
        }
        let runs = |probe: &ProbeStatus| {
            probe.name == name
                && matches!(probe.outcome, ProbeOutcome::Attached | ProbeOutcome::Loaded)
        };
        if !self.probes.iter().any(runs) {
            return;
        }
        let unloaded = match self.ebpf.program_mut(name) {
            Some(Program::CgroupSkb(program)) => program.unload(),
            Some(Program::BtfTracePoint(program)) => program.unload(),
            Some(Program::FEntry(program)) => program.unload(),
            Some(Program::FExit(program)) => program.unload(),
            Some(Program::KProbe(program)) => program.unload(),
            Some(Program::UProbe(program)) => program.unload(),
            _ => return,
        };
        if let Some(again) = again_of(name) {
            self.unload_exit(again);
        }
        let Some(probe) = self.probes.iter_mut().find(|probe| runs(probe)) else {
            return;
        };
        match unloaded {
            Ok(()) => probe.outcome = ProbeOutcome::Failed(reason.to_owned()),
            Err(error) => {
                tracing::error!(probe = name, %error, "a probe over its budget cannot be taken off");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(name: &str, processors: f64) -> ProbeCost {
        ProbeCost {
            name: name.to_owned(),
            processors,
            run: 0.0,
            missed: 0,
        }
    }

    #[test]
    fn only_what_is_over_the_budget_three_times_in_a_row_is_condemned() {
        let mut strikes = ProbeCosts::new(500).strikes;
        let heavy = [cost("a", 0.6), cost("b", 0.5)];
        assert_eq!(strikes.judge(&heavy), []);
        assert_eq!(strikes.judge(&heavy), []);
        assert_eq!(strikes.judge(&[cost("a", 0.1)]), []);
        assert_eq!(strikes.judge(&heavy), []);
        assert_eq!(strikes.judge(&heavy), []);
        assert_eq!(strikes.judge(&heavy), [cost("a", 0.6)]);
    }

    #[test]
    fn times_since_the_load_become_shares_of_the_time_measured() {
        let times = |ran, runs| {
            let times = Times {
                ran: Duration::from_millis(ran),
                runs,
                missed: 0,
            };
            HashMap::from([("a".to_owned(), times)])
        };
        let costs = costs(&times(100, 10), &times(600, 1010), Duration::from_secs(2));
        let [cost] = costs.as_slice() else {
            panic!("{costs:?}")
        };
        assert!((cost.processors - 0.25).abs() < 1e-9, "{cost:?}");
        assert!((cost.run - 0.000_5).abs() < 1e-9, "{cost:?}");
    }
}
