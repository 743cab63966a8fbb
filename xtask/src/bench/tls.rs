//! `cargo xtask bench tls`: what the agent costs a server of each TLS library.
//!
//! In: root, wrk, and the servers there are. Out: a row for each, from runs next to each other in
//! time. It never compares figures of different rounds: a machine drifts.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::agent::Agent;
use super::nginx::{PATH, certificate};
use super::overhead::{Scratch, agent_program, pinned, require_root_and_programs};
use super::report::{least, median, most};
use super::tls_servers::{Place, SERVERS, Server};
use super::{http, wrk};
use crate::workspace::Workspace;

/// Seconds of load before each measurement.
const WARM_UP: u32 = 1;
/// How long a server may take to listen: Envoy reads 100 MB first.
const START: Duration = Duration::from_secs(30);

/// Compares servers of each TLS library under full load with and without the agent.
///
/// Each round runs the load without and with the agent, in turns of order. The server (CPU 0) and
/// wrk (CPU 1) run on this host, so the agent takes its CPU time from both. Needs root, wrk,
/// openssl and taskset; servers that are not here are left out (`cargo xtask test` installs them).
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench tls
  cargo xtask bench tls --only envoy,caddy --rounds 9")]
pub struct Arguments {
    /// Rounds for each server.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of load in each run.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Only these servers.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Measure this agent and build none.
    #[arg(long, value_name = "PROGRAM")]
    agent: Option<PathBuf>,
}

/// One round.
struct Round {
    off: f64,
    on: f64,
    /// Calls that the agent saw.
    seen: u64,
    /// What it counted as lost.
    lost: u64,
}

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    require_root_and_programs("tls")?;
    let agent = agent_program(arguments.agent.as_deref())?;
    let workspace = Workspace::find()?;
    let scratch = Scratch::new()?;
    let (key, chain) = certificate(&scratch.0)?;
    let wanted = |server: &&Server| {
        let only = &arguments.only;
        only.is_empty() || only.iter().any(|name| name == server.name)
    };
    let mut table = row([
        "server",
        "TLS library",
        "kept",
        "least to most",
        "off",
        "on",
        "seen",
        "lost",
    ]);
    for server in SERVERS.iter().filter(wanted) {
        let place = Place {
            workspace: &workspace.root,
            folder: &scratch.0,
            chain: &chain,
            key: &key,
            port: http::free_port()?,
        };
        let Some(command) = server.command(&place)? else {
            eprintln!("{}: left out, it is not here", server.name);
            continue;
        };
        let _running = Running::start(server.name, command, place.port)?;
        let bench = Bench {
            agent: &agent,
            folder: &scratch.0,
            url: format!("https://127.0.0.1:{}{PATH}", place.port),
            seconds: arguments.seconds,
        };
        let mut rounds = Vec::new();
        for number in 0..arguments.rounds {
            let round = bench.round(number % 2 == 1)?;
            eprintln!(
                "{}, round {} of {}: {:.0} requests/s without, {:.0} with, {:.3} kept",
                server.name,
                number + 1,
                arguments.rounds,
                round.off,
                round.on,
                round.on / round.off
            );
            rounds.push(round);
        }
        table.push_str(&told(server, &rounds));
    }
    print!("{table}");
    Ok(())
}

struct Bench<'a> {
    agent: &'a Path,
    folder: &'a Path,
    url: String,
    seconds: u32,
}

impl Bench<'_> {
    fn round(&self, agent_first: bool) -> Result<Round> {
        let before = if agent_first {
            None
        } else {
            Some(self.load()?)
        };
        let agent = Agent::start(self.agent, self.folder)?;
        let on = self.load()?;
        let books = agent.settled_books()?;
        agent.stop()?;
        let off = match before {
            Some(off) => off,
            None => self.load()?,
        };
        Ok(Round {
            off,
            on,
            seen: books.calls,
            lost: books.lost,
        })
    }

    fn load(&self) -> Result<f64> {
        wrk::load(&self.url, WARM_UP, pinned())?;
        wrk::load(&self.url, self.seconds, pinned())
    }
}

fn told(server: &Server, rounds: &[Round]) -> String {
    let each = |figure: fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<f64>>();
    let kept = each(|round| round.on / round.off);
    row([
        server.name,
        server.library,
        &format!("{:.3}", median(&kept)),
        &format!("{:.3} to {:.3}", least(&kept), most(&kept)),
        &format!("{:.0}/s", median(&each(|round| round.off))),
        &format!("{:.0}/s", median(&each(|round| round.on))),
        &rounds
            .iter()
            .map(|round| round.seen)
            .sum::<u64>()
            .to_string(),
        &rounds
            .iter()
            .map(|round| round.lost)
            .sum::<u64>()
            .to_string(),
    ])
}

fn row(cells: [&str; 8]) -> String {
    let [name, library, kept, range, off, on, seen, lost] = cells;
    format!("{name:<18}{library:<21}{kept:>7}{range:>18}{off:>11}{on:>11}{seen:>10}{lost:>6}\n")
}

/// A server, ended when dropped.
struct Running(Child);

impl Running {
    fn start(name: &str, command: Command, port: u16) -> Result<Self> {
        let mut command = if pinned() {
            let mut taskset = Command::new("taskset");
            taskset.args(["-c", "0"]).arg(command.get_program());
            taskset.args(command.get_args());
            for (key, value) in command.get_envs() {
                if let Some(value) = value {
                    taskset.env(key, value);
                }
            }
            taskset
        } else {
            command
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let mut running = Self(child);
        let start = Instant::now();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while start.elapsed() < START {
            if TcpStream::connect_timeout(&address, START).is_ok() {
                return Ok(running);
            }
            if let Some(status) = running.0.try_wait().context("ask for the server")? {
                bail!("{name} ended at once ({status})");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("{name} does not listen after {} s", START.as_secs());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Asked, so that a master ends its workers.
        let pid = self.0.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        let begun = Instant::now();
        while asked.is_ok() && begun.elapsed() < Duration::from_secs(3) {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_part_is_the_median_of_ratios_within_rounds() {
        let round = |off: f64, on: f64| Round {
            off,
            on,
            seen: 10,
            lost: 1,
        };
        let server = &SERVERS[0];
        let told = told(
            server,
            &[round(100.0, 90.0), round(50.0, 49.0), round(10.0, 8.0)],
        );
        for cell in ["0.900", "0.800 to 0.980", "50/s", "49/s", "30", "3"] {
            assert!(told.contains(cell), "{cell}: {told}");
        }
    }
}
