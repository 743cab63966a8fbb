//! `cargo xtask bench bodies`: what a call costs must not depend on the size of its body.
//!
//! In: root, nginx. Out: bytes that reached the agent and CPU time it used, a call, with small and
//! with large bodies, at the same rate of calls. What the agent uses while nothing happens is
//! measured before each round and taken off.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::agent::Agent;
use super::cpu;
use super::nginx::Nginx;
use super::overhead::{Scratch, agent_program, pinned, require_root_and_programs};

/// The two bodies, bytes.
const SIZES: [usize; 2] = [1 << 10, 10 << 20];
/// Seconds of silence that tell what the agent uses anyway.
const SILENCE: Duration = Duration::from_secs(2);

/// Compares calls with bodies of 1 KiB and 10 MiB: bytes through the ring, and CPU time.
///
/// One keep-alive connection makes the same number of calls at the same rate with each size, in
/// turns. Needs root and nginx.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench bodies
  cargo xtask bench bodies --calls 2000 --rounds 5")]
pub struct Arguments {
    /// Calls of each size in a round.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..))]
    calls: u32,
    /// Calls a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Rounds; the middle one counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measure this agent and build none.
    #[arg(long, value_name = "PROGRAM")]
    agent: Option<PathBuf>,
}

/// Bytes and seconds a call.
#[derive(Clone, Copy)]
struct Cost {
    bytes: f64,
    cpu: f64,
}

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    require_root_and_programs("bodies")?;
    let program = agent_program(arguments.agent.as_deref())?;
    let scratch = Scratch::new()?;
    let folder = scratch.0.join("bodies");
    fs::create_dir(&folder).context("make the folder of bodies")?;
    for size in SIZES {
        fs::write(folder.join(size.to_string()), vec![b'b'; size]).context("write a body")?;
    }
    let nginx = Nginx::start(&scratch.0, pinned())?;
    let agent = Agent::start(&program, &scratch.0)?;
    let mut rounds = Vec::new();
    for round in 1..=arguments.rounds {
        let [small, large] = [round_of(SIZES[0], arguments, &nginx, &agent)?, {
            round_of(SIZES[1], arguments, &nginx, &agent)?
        }];
        eprintln!(
            "round {round} of {}: {:.0} and {:.0} bytes, {:.1} and {:.1} µs a call",
            arguments.rounds,
            small.bytes,
            large.bytes,
            small.cpu * 1e6,
            large.cpu * 1e6
        );
        rounds.push((small, large));
    }
    agent.stop()?;
    let middle = |ratio: fn(&(Cost, Cost)) -> f64| {
        let mut ratios: Vec<f64> = rounds.iter().map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    };
    println!(
        "10 MiB over 1 KiB, the middle of {} rounds\n  bytes through the ring a call  {:.2}\n  CPU time of the agent a call   {:.2}",
        rounds.len(),
        middle(|(small, large)| large.bytes / small.bytes),
        middle(|(small, large)| large.cpu / small.cpu),
    );
    Ok(())
}

fn round_of(size: usize, arguments: &Arguments, nginx: &Nginx, agent: &Agent) -> Result<Cost> {
    let used = || cpu::exact_seconds(agent.pid());
    let (start, before) = (Instant::now(), used()?);
    std::thread::sleep(SILENCE);
    let idle = (used()? - before) / start.elapsed().as_secs_f64();

    let bytes = agent.delivered_bytes()?;
    let (start, before) = (Instant::now(), used()?);
    calls(nginx.http, size, arguments)?;
    let (cpu, time) = (used()? - before, start.elapsed().as_secs_f64());
    // Published twice a second.
    std::thread::sleep(Duration::from_secs(1));
    let bytes = agent.delivered_bytes()? - bytes;
    let calls = f64::from(arguments.calls);
    Ok(Cost {
        bytes: bytes as f64 / calls,
        cpu: (cpu - idle * time).max(0.0) / calls,
    })
}

/// Makes the calls on one connection, each at its time.
fn calls(port: u16, size: usize, arguments: &Arguments) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connect to nginx")?;
    let reader = stream.try_clone().context("a second handle")?;
    let mut reader = BufReader::with_capacity(1 << 20, reader);
    let start = Instant::now();
    for call in 0..arguments.calls {
        let due = Duration::from_secs_f64(f64::from(call) / f64::from(arguments.rate));
        std::thread::sleep(due.saturating_sub(start.elapsed()));
        write!(stream, "GET /bodies/{size} HTTP/1.1\r\nHost: bench\r\n\r\n").context("ask")?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).context("read a head")?;
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().context("read a length")?;
            }
            if line.trim_end().is_empty() {
                break;
            }
        }
        ensure!(
            length == size as u64,
            "a body of {length} bytes, not {size}"
        );
        let read = std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink());
        ensure!(read.context("read a body")? == length, "a body cut short");
    }
    Ok(())
}
