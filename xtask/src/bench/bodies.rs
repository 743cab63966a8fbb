//! `cargo xtask bench bodies`: what a call costs must not depend on the size of its body.
//!
//! In: root, nginx, openssl. Out: bytes that reached the agent and CPU time it used, a call, with
//! small and with large bodies, at the same rate of calls, of downloads and uploads, with and
//! without TLS. What the agent uses while nothing happens is measured before each round and taken
//! off.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::agent::Agent;
use super::cpu;
use super::nginx::{Nginx, SINK};
use super::overhead::{Scratch, agent_program, pinned, require_root_and_programs};

/// The two bodies, bytes.
const SIZES: [usize; 2] = [1 << 10, 10 << 20];
/// Compares calls with bodies of 1 KiB and 10 MiB: bytes through the ring, and CPU time.
///
/// One keep-alive connection makes the same number of calls at the same rate with each size, in
/// turns; the same again for uploads, and over TLS. Where there are two processors or more, the agent
/// has one for itself. Needs root, nginx, openssl and taskset.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench bodies
  cargo xtask bench bodies --calls 2000 --rounds 5")]
pub struct Arguments {
    /// Calls of each size in a round.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..))]
    calls: u32,
    /// Calls a second.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Rounds; the middle one counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measure this agent and build none.
    #[arg(long, value_name = "PROGRAM")]
    agent: Option<PathBuf>,
}

/// A way to move bodies.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    tls: bool,
    upload: bool,
}

/// All of them.
const CASES: [Case; 4] = [
    Case {
        name: "download",
        tls: false,
        upload: false,
    },
    Case {
        name: "upload",
        tls: false,
        upload: true,
    },
    Case {
        name: "download over TLS",
        tls: true,
        upload: false,
    },
    Case {
        name: "upload over TLS",
        tls: true,
        upload: true,
    },
];

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
    if pinned() {
        // The kernel carries packets in the time of whoever runs there: the agent's is its own only
        // where no packets move.
        pin(std::process::id(), 0)?;
        pin(agent.pid(), 1)?;
    }
    let mut lines = Vec::new();
    for case in CASES {
        let mut rounds = Vec::new();
        for round in 1..=arguments.rounds {
            let [small, large] = [
                round_of(SIZES[0], case, arguments, &nginx, &agent)?,
                round_of(SIZES[1], case, arguments, &nginx, &agent)?,
            ];
            eprintln!(
                "{}, round {round} of {}: {:.0} and {:.0} bytes, {:.1} and {:.1} µs a call",
                case.name,
                arguments.rounds,
                small.bytes,
                large.bytes,
                small.cpu * 1e6,
                large.cpu * 1e6
            );
            rounds.push((small, large));
        }
        let middle = |ratio: fn(&(Cost, Cost)) -> f64| {
            let mut ratios: Vec<f64> = rounds.iter().map(ratio).collect();
            ratios.sort_by(f64::total_cmp);
            ratios[ratios.len() / 2]
        };
        lines.push(format!(
            "{:<20} {:>24.2} {:>24.2}",
            case.name,
            middle(|(small, large)| large.bytes / small.bytes),
            middle(|(small, large)| large.cpu / small.cpu),
        ));
    }
    agent.stop()?;
    println!(
        "10 MiB over 1 KiB, the middle of {} rounds\n{:<20} {:>24} {:>24}",
        arguments.rounds, "", "bytes through the ring", "CPU time of the agent"
    );
    for line in lines {
        println!("{line}");
    }
    Ok(())
}

/// Keeps all threads of a process, and what they start, on one processor.
fn pin(pid: u32, processor: u32) -> Result<()> {
    let output = Command::new("taskset")
        .args(["-a", "-c", "-p", &processor.to_string(), &pid.to_string()])
        .output()
        .context("start taskset")?;
    ensure!(
        output.status.success(),
        "taskset: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

fn round_of(
    size: usize,
    case: Case,
    arguments: &Arguments,
    nginx: &Nginx,
    agent: &Agent,
) -> Result<Cost> {
    let used = || cpu::exact_seconds(agent.pid());
    let mut client = Client::open(case.tls, nginx)?;
    // Until both ends of a connection are known, both are delivered.
    client.calls(SIZES[0], case.upload, 1, arguments.rate)?;
    std::thread::sleep(Duration::from_secs(1));
    // What the agent uses in silence, half of it before the calls and half after, together as long
    // as they take: what it does every few seconds is in both.
    let half =
        Duration::from_secs_f64(f64::from(arguments.calls) / f64::from(arguments.rate) / 2.0);
    let silence = || -> Result<(f64, f64)> {
        let (start, before) = (Instant::now(), used()?);
        std::thread::sleep(half);
        Ok((used()? - before, start.elapsed().as_secs_f64()))
    };
    let (idle_before, time_before) = silence()?;

    let bytes = agent.delivered_bytes()?;
    let (start, before) = (Instant::now(), used()?);
    client.calls(size, case.upload, arguments.calls, arguments.rate)?;
    let (cpu, time) = (used()? - before, start.elapsed().as_secs_f64());
    // Published twice a second.
    std::thread::sleep(Duration::from_secs(1));
    let bytes = agent.delivered_bytes()? - bytes;
    let (idle_after, time_after) = silence()?;
    let idle = (idle_before + idle_after) / (time_before + time_after);
    let calls = f64::from(arguments.calls);
    Ok(Cost {
        bytes: bytes as f64 / calls,
        cpu: (cpu - idle * time).max(0.0) / calls,
    })
}

/// One keep-alive connection.
struct Client {
    writer: Box<dyn Write>,
    reader: BufReader<Box<dyn Read>>,
    /// An `openssl s_client`, through which plaintext goes as through a pipe.
    tls: Option<Child>,
}

impl Client {
    fn open(tls: bool, nginx: &Nginx) -> Result<Self> {
        let buffered = |reader: Box<dyn Read>| BufReader::with_capacity(1 << 20, reader);
        if !tls {
            let writer = TcpStream::connect((Ipv4Addr::LOCALHOST, nginx.http));
            let writer = writer.context("connect to nginx")?;
            let reader = writer.try_clone().context("a second handle")?;
            return Ok(Self {
                writer: Box::new(writer),
                reader: buffered(Box::new(reader)),
                tls: None,
            });
        }
        let mut child = Command::new("openssl")
            .args(["s_client", "-quiet", "-connect"])
            .arg(format!("127.0.0.1:{}", nginx.https))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start openssl")?;
        let writer = child.stdin.take().context("its input")?;
        let reader = child.stdout.take().context("its output")?;
        Ok(Self {
            writer: Box::new(writer),
            reader: buffered(Box::new(reader)),
            tls: Some(child),
        })
    }

    /// Makes so many calls, each at its time.
    fn calls(&mut self, size: usize, upload: bool, count: u32, rate: u32) -> Result<()> {
        let body = vec![b'u'; if upload { size } else { 0 }];
        let head = if upload {
            format!(
                "PUT /sink HTTP/1.1\r\nHost: bench\r\nContent-Type: application/octet-stream\r\n\
                 Content-Length: {size}\r\n\r\n"
            )
        } else {
            format!("GET /bodies/{size} HTTP/1.1\r\nHost: bench\r\n\r\n")
        };
        let message = [head.as_bytes(), &body].concat();
        let expected = if upload { SINK.len() } else { size } as u64;
        let start = Instant::now();
        for call in 0..count {
            let due = Duration::from_secs_f64(f64::from(call) / f64::from(rate));
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            self.writer.write_all(&message).context("ask")?;
            self.writer.flush().context("ask")?;
            let length = self.head()?;
            ensure!(
                length == expected,
                "a body of {length} bytes, not {expected}"
            );
            let read = std::io::copy(&mut (&mut self.reader).take(length), &mut std::io::sink());
            ensure!(read.context("read a body")? == length, "a body cut short");
        }
        Ok(())
    }

    /// Reads a head and gives the length it states.
    fn head(&mut self) -> Result<u64> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            let read = self.reader.read_line(&mut line).context("read a head")?;
            ensure!(read > 0, "nginx ended the connection");
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().context("read a length")?;
            }
            if line.trim_end().is_empty() {
                return Ok(length);
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(child) = &mut self.tls {
            // It may have ended with the connection.
            let _gone = child.kill();
            let _status = child.wait();
        }
    }
}
