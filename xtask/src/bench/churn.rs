//! `cargo xtask bench churn`: connections that come and go for a long time leave nothing behind.
//!
//! In: root, nginx, wrk. Out: the agent's memory, its tables and the kernel's maps over time, and
//! whether they stay flat once warm.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::agent::Agent;
use super::cpu;
use super::nginx::{Nginx, PATH};
use super::overhead::{Scratch, agent_program, pinned, require_root_and_programs};
use super::wrk;

/// What the allocator may keep for itself between two looks, bytes.
const SLACK: u64 = 4 << 20;
/// Entries that other programs of the host may cause.
const STRANGERS: u64 = 200;
/// Parts of the time: the first fills tables and buffers, the others must be alike.
const PARTS: u32 = 4;
/// Looks in each part.
const LOOKS: u32 = 3;

/// Opens and closes connections for a long time and looks whether anything grows.
///
/// wrk calls nginx with a new connection for each call. After the first quarter, memory, tables
/// and maps must stay as they are. Needs root, nginx and wrk. Exit code 1: something grows.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench churn --minutes 30
  cargo xtask bench churn --minutes 2")]
pub struct Arguments {
    /// How long.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    /// Measure this agent and build none.
    #[arg(long, value_name = "PROGRAM")]
    agent: Option<PathBuf>,
}

/// One look.
#[derive(Clone, Copy, Default)]
struct Look {
    resident: u64,
    entries: u64,
    maps: u64,
}

impl Look {
    fn most(self, other: Self) -> Self {
        Self {
            resident: self.resident.max(other.resident),
            entries: self.entries.max(other.entries),
            maps: self.maps.max(other.maps),
        }
    }
}

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    require_root_and_programs("churn")?;
    let program = agent_program(arguments.agent.as_deref())?;
    let scratch = Scratch::new()?;
    let nginx = Nginx::start(&scratch.0, pinned())?;
    let agent = Agent::start(&program, &scratch.0)?;
    let url = format!("http://127.0.0.1:{}{PATH}", nginx.http);
    let seconds = (arguments.minutes * 60 / PARTS / LOOKS).max(1);
    let (start, mut parts) = (Instant::now(), Vec::new());
    println!("  minute  connections  resident MiB  entries  maps KiB");
    for _ in 0..PARTS {
        let mut most = Look::default();
        for _ in 0..LOOKS {
            wrk::churn(&url, seconds, pinned())?;
            // Ends of connections are told a moment later.
            std::thread::sleep(Duration::from_secs(2));
            let look = Look {
                resident: cpu::resident_memory(agent.pid())?,
                entries: agent.entries()?,
                maps: cpu::map_memory(agent.pid())?,
            };
            println!(
                "  {:>6.1}  {:>11}  {:>12.1}  {:>7}  {:>8}",
                start.elapsed().as_secs_f64() / 60.0,
                nginx.requests()?,
                look.resident as f64 / f64::from(1 << 20),
                look.entries,
                look.maps / 1024
            );
            most = most.most(look);
        }
        parts.push(most);
    }
    let books = agent.settled_books()?;
    let served = nginx.requests()?;
    println!(
        "calls: {served} made, {} seen, {} lost",
        books.calls, books.lost
    );
    agent.stop()?;
    let (Some(warm), Some(last)) = (parts.get(1), parts.last()) else {
        bail!("nothing was measured");
    };
    if last.resident > warm.resident + SLACK
        || last.entries > warm.entries + STRANGERS
        || last.maps > warm.maps
    {
        bail!("it grows: see the table");
    }
    println!("flat: memory, tables and maps stay as they are after the first quarter");
    Ok(())
}
