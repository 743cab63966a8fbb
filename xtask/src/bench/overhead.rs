//! `cargo xtask bench overhead`: the worst case, tiny answers at saturation.
//!
//! In: root, nginx, wrk. Out: throughput with the agent over throughput without it,
//! from runs next to each other in time, and what the agent itself used. It never
//! compares figures of different rounds: a machine drifts.

use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use anyhow::{Context as _, Result};

use super::agent::Agent;
use super::cpu::{self, CpuClock};
use super::nginx::{Nginx, PATH};
use super::report::{self, AgentSample, Pair, Rounds, Sample};
use super::wrk;
use crate::build::build;
use crate::host;
use crate::packages;
use crate::setup::setup;
use crate::tools::on_path;
use crate::workspace::Workspace;

/// Seconds of load before each measurement, so that caches and CPU clocks are warm.
const WARM_UP: u32 = 1;

/// Compares nginx under full load with and without the agent, over HTTP and HTTPS.
///
/// Each round runs the load without and with the agent, in turns of order. nginx
/// (one worker, CPU 0) and wrk (CPU 1) run on this host, so the agent takes its CPU
/// time from both. Needs root, nginx, wrk, openssl and taskset.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench overhead
  cargo xtask bench overhead --rounds 9 --seconds 5 --json

Calls not seen: requests that nginx counted and the agent did not show. Lost: what the
agent itself says it lost, in packets or calls of TLS functions.")]
pub struct Arguments {
    /// Rounds for each of HTTP and HTTPS.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of load in each run.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Print JSON in place of the table.
    #[arg(long)]
    json: bool,
    /// Measure this agent and build none.
    #[arg(long, value_name = "PROGRAM")]
    agent: Option<PathBuf>,
}

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    require_root_and_programs("overhead")?;
    let agent = agent_program(arguments.agent.as_deref())?;
    let scratch = Scratch::new()?;
    let bench = Bench {
        nginx: Nginx::start(&scratch.0, pinned())?,
        clock: CpuClock::new()?,
        folder: &scratch.0,
        agent: &agent,
        seconds: arguments.seconds,
    };
    let mut all = ["http", "https"].map(|scheme| Rounds {
        scheme,
        pairs: Vec::new(),
    });
    for round in 0..arguments.rounds {
        for rounds in &mut all {
            let pair = bench.pair(rounds.scheme, round % 2 == 1)?;
            eprintln!(
                "round {} of {}, {}: {:.0} requests/s without, {:.0} with, {:.3} kept",
                round + 1,
                arguments.rounds,
                rounds.scheme,
                pair.off.rate,
                pair.on.rate,
                pair.on.rate / pair.off.rate
            );
            rounds.pairs.push(pair);
        }
    }
    if arguments.json {
        println!("{:#}", report::json(&all));
    } else {
        print!("{}", report::table(&all));
    }
    Ok(())
}

/// What stays the same from run to run.
struct Bench<'a> {
    nginx: Nginx,
    clock: CpuClock,
    folder: &'a Path,
    agent: &'a Path,
    seconds: u32,
}

impl Bench<'_> {
    /// One round; which of the two runs comes first changes from round to round.
    fn pair(&self, scheme: &str, agent_first: bool) -> Result<Pair> {
        if agent_first {
            let (on, agent) = self.with_agent(scheme)?;
            let off = self.load(scheme)?;
            Ok(Pair { off, on, agent })
        } else {
            let off = self.load(scheme)?;
            let (on, agent) = self.with_agent(scheme)?;
            Ok(Pair { off, on, agent })
        }
    }

    /// One run of the load as it is.
    fn load(&self, scheme: &str) -> Result<Sample> {
        let port = match scheme {
            "https" => self.nginx.https,
            _ => self.nginx.http,
        };
        let url = format!("{scheme}://127.0.0.1:{port}{PATH}");
        wrk::load(&url, WARM_UP, pinned())?;
        let worker = self.nginx.worker();
        let (requests, cpu) = (self.nginx.requests()?, self.clock.seconds(worker)?);
        let rate = wrk::load(&url, self.seconds, pinned())?;
        let cpu = self.clock.seconds(worker)? - cpu;
        let requests = self.nginx.requests()? - requests;
        Ok(Sample {
            rate,
            server_cpu: cpu / requests as f64,
        })
    }

    /// One run of the load under the agent's eyes.
    fn with_agent(&self, scheme: &str) -> Result<(Sample, AgentSample)> {
        let served = self.nginx.requests()?;
        let agent = Agent::start(self.agent, self.folder)?;
        let before = self.clock.seconds(agent.pid())?;
        let sample = self.load(scheme)?;
        let books = agent.settled_books()?;
        let cpu = self.clock.seconds(agent.pid())? - before;
        let memory = cpu::peak_memory(agent.pid())?;
        agent.stop()?;
        let served = self.nginx.requests()? - served;
        let agent = AgentSample {
            cpu: cpu / served as f64,
            memory,
            served,
            seen: books.calls,
            lost: books.lost,
        };
        Ok((sample, agent))
    }
}

/// The agent to measure: the one given, else a fresh build.
pub fn agent_program(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(agent) = given {
        return agent
            .canonicalize()
            .with_context(|| format!("find {}", agent.display()));
    }
    let workspace = Workspace::find()?;
    setup(&workspace)?;
    build(&workspace)?;
    Ok(workspace.agent())
}

/// Whether server and load each get a CPU of their own.
pub fn pinned() -> bool {
    available_parallelism().is_ok_and(|cpus| cpus.get() >= 2)
}

/// Says what is missing to run the benchmark of this name.
pub fn require_root_and_programs(name: &str) -> Result<()> {
    if !host::is_root() {
        return Err(host::ending(
            host::EXIT_UNSUPPORTED,
            format!(
                "the benchmark starts the agent, which needs root: \
                 sudo -E env PATH=\"$PATH\" cargo xtask bench {name}"
            ),
        ));
    }
    let missing: Vec<&str> = ["nginx", "wrk", "openssl", "taskset", "getconf"]
        .into_iter()
        .filter(|program| !packages::has(program))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(host::ending(
        host::EXIT_UNSUPPORTED,
        format!(
            "the benchmark needs {}: on Debian and Ubuntu, apt-get install nginx wrk openssl",
            missing.join(", ")
        ),
    ))
}

/// Where a program lies that not every `PATH` reaches.
pub fn program(name: &str) -> Result<PathBuf> {
    on_path(name)
        .or_else(|| {
            let path = Path::new("/usr/sbin").join(name);
            path.is_file().then_some(path)
        })
        .with_context(|| format!("{name} is not on the PATH"))
}

/// A folder of our own, removed when dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// Makes it.
    pub fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("observer-bench-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("remove {} by hand: {error}", self.0.display());
        }
    }
}
