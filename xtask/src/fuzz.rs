//! `cargo xtask fuzz`: hostile bytes into every parser, made by libFuzzer from the seeds.
//!
//! In: the targets of `observer/fuzz`, their seeds, and cargo-fuzz. Out: a table of what was
//! run, and the input of each finding. What a run learns stays in the target folder of the
//! fuzz package, for the next run; it never changes the seeds.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::bench::cpu;
use crate::cargo;
use crate::tools::on_path;
use crate::workspace::Workspace;

/// Feeds every parser with hostile bytes, each for some time.
///
/// A target ends at its first finding. What was reached is kept for the next run.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask fuzz                          every target, a minute each
  cargo xtask fuzz http1 hpack --seconds 600
  nice cargo xtask fuzz --seconds 600 --at-once 4

It needs cargo-fuzz: cargo install cargo-fuzz --locked

Exit codes: 0 nothing found; 1 something found, or a target does not build.")]
pub struct Arguments {
    /// Only these: each TARGET is a file observer/fuzz/fuzz_targets/TARGET.rs.
    #[arg(value_name = "TARGET")]
    only: Vec<String>,
    /// How long each target runs.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
    /// How many run at a time.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    at_once: u16,
}

/// An input that takes longer is a finding: the longest in the seeds takes milliseconds.
const SLOWEST_INPUT_SECONDS: u32 = 25;

/// A target that takes more memory is a finding; the sanitizer's own is within it.
const MOST_MEMORY_MIB: u32 = 2048;

/// How often is looked whether a target has ended.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::find()?;
    if on_path("cargo-fuzz").is_none() {
        bail!("cargo-fuzz is not on the PATH. Install it: cargo install cargo-fuzz --locked");
    }
    let package = workspace.root.join("observer").join("fuzz");
    let (targets, built) = targets(&package)?;
    if let Some(unknown) = arguments.only.iter().find(|name| !targets.contains(name)) {
        bail!(
            "there is no target {unknown}: there are {}",
            targets.join(", ")
        );
    }
    build(&workspace.root, &arguments.only)?;
    let mut waiting = if arguments.only.is_empty() {
        targets
    } else {
        arguments.only.clone()
    };
    waiting.reverse();
    let mut running: Vec<Run> = Vec::new();
    let mut found = Vec::new();
    println!(
        "{:<16}{:>12}{:>9}{:>9}{:>10}",
        "target", "runs", "seconds", "cpu s", "findings"
    );
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < usize::from(arguments.at_once)
            && let Some(name) = waiting.pop()
        {
            running.push(Run::start(name, &package, &built, arguments.seconds)?);
        }
        sleep(LOOK_EVERY);
        let mut still = Vec::new();
        for mut run in running {
            match run.ended()? {
                Some(end) => {
                    println!("{}", end.row());
                    found.extend(end.findings);
                }
                None => still.push(run),
            }
        }
        running = still;
    }
    if found.is_empty() {
        return Ok(());
    }
    for finding in &found {
        eprintln!("{finding}");
    }
    bail!(
        "{} found; each is run again with its file as only argument of its target",
        found.len()
    )
}

/// The targets and the folder in which they are built.
fn targets(package: &Path) -> Result<(Vec<String>, PathBuf)> {
    let output = cargo::command(package)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("start cargo metadata")?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("read the answer of cargo metadata")?;
    let names = metadata
        .pointer("/packages/0/targets")
        .and_then(serde_json::Value::as_array)
        .context("observer/fuzz has no targets")?
        .iter()
        .filter_map(|target| target.get("name")?.as_str().map(str::to_owned))
        .collect();
    let folder = metadata
        .get("target_directory")
        .and_then(serde_json::Value::as_str)
        .context("cargo metadata names no target_directory")?;
    Ok((names, folder.into()))
}

/// Builds the targets, with checks of overflow and of memory.
fn build(root: &Path, only: &[String]) -> Result<()> {
    let all = [String::new()];
    for name in if only.is_empty() { &all } else { only } {
        let mut build = cargo::command(&root.join("observer"));
        build
            .args(["fuzz", "build", "--release", "--debug-assertions"])
            .args(Some(name).filter(|name| !name.is_empty()))
            // The sanitizers are unstable features of the pinned compiler.
            .env("RUSTC_BOOTSTRAP", "1");
        cargo::run(&mut build, "building the fuzz targets")?;
    }
    Ok(())
}

/// One target that runs.
struct Run {
    name: String,
    program: PathBuf,
    child: Child,
    log: PathBuf,
    started: Instant,
    cpu_seconds: f64,
}

/// How it ended.
struct End {
    name: String,
    runs: Option<u64>,
    seconds: f64,
    cpu_seconds: f64,
    findings: Vec<String>,
}

impl Run {
    fn start(name: String, package: &Path, built: &Path, seconds: u64) -> Result<Self> {
        let folder = |parent: &Path| {
            let folder = parent.join(&name);
            fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
            Ok::<_, anyhow::Error>(folder)
        };
        let learned = folder(&built.join("learned"))?;
        let artifacts = folder(&package.join("artifacts"))?;
        let log = built.join("learned").join(format!("{name}.log"));
        let said = File::create(&log).with_context(|| format!("write {}", log.display()))?;
        let program = program(built, &name)?;
        let mut command = Command::new(&program);
        command
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-timeout={SLOWEST_INPUT_SECONDS}"))
            .arg(format!("-rss_limit_mb={MOST_MEMORY_MIB}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg("-print_final_stats=1")
            // The first folder is written to, the other only read.
            .arg(learned);
        let seeds = package.join("seeds").join(&name);
        if seeds.is_dir() {
            command.arg(seeds);
        }
        let child = command
            .env("ASAN_OPTIONS", "detect_odr_violation=0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Self {
            name,
            program,
            child,
            log,
            started: Instant::now(),
            cpu_seconds: 0.0,
        })
    }

    /// How it ended, if it has.
    fn ended(&mut self) -> Result<Option<End>> {
        // One that has just ended has no times any more.
        if let Ok(seconds) = cpu::exact_seconds(self.child.id()) {
            self.cpu_seconds = self.cpu_seconds.max(seconds);
        }
        let Some(status) = self.child.try_wait().context("wait for a fuzz target")? else {
            return Ok(None);
        };
        let said = fs::read(&self.log).with_context(|| format!("read {}", self.log.display()))?;
        let said = String::from_utf8_lossy(&said);
        let program = self.program.display();
        let mut findings: Vec<_> = inputs(&said)
            .map(|input| format!("{}: {program} {input}", self.name))
            .collect();
        if !status.success() && findings.is_empty() {
            findings.push(format!(
                "{}: {status}, see {}",
                self.name,
                self.log.display()
            ));
        }
        Ok(Some(End {
            name: self.name.clone(),
            runs: runs(&said),
            seconds: self.started.elapsed().as_secs_f64(),
            cpu_seconds: self.cpu_seconds,
            findings,
        }))
    }
}

impl End {
    fn row(&self) -> String {
        let Self {
            name,
            runs,
            seconds,
            cpu_seconds,
            findings,
        } = self;
        let runs = runs.map_or_else(|| "-".to_owned(), |runs| runs.to_string());
        format!(
            "{name:<16}{runs:>12}{seconds:>9.0}{cpu_seconds:>9.0}{:>10}",
            findings.len()
        )
    }
}

/// Where cargo-fuzz has put a target: it builds for a named machine always.
fn program(built: &Path, name: &str) -> Result<PathBuf> {
    let machine = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let program = built.join(machine).join("release").join(name);
    if !program.is_file() {
        bail!("{} was not built", program.display());
    }
    Ok(program)
}

/// Inputs that libFuzzer says it has kept because of what they did.
fn inputs(said: &str) -> impl Iterator<Item = &str> {
    said.lines()
        .filter_map(|line| line.split_once("Test unit written to "))
        .map(|(_, path)| path)
}

/// How many inputs were tried.
fn runs(said: &str) -> Option<u64> {
    said.lines()
        .rev()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .and_then(|number| number.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::{inputs, runs};

    #[test]
    fn runs_and_findings_are_read_from_what_libfuzzer_says() {
        let said = "#5\tINITED\n==7== ERROR: libFuzzer: deadly signal\n\
                    artifact_prefix='a/'; Test unit written to a/crash-1\n\
                    stat::number_of_executed_units: 12345\nstat::peak_rss_mb: 99\n";
        assert_eq!(runs(said), Some(12_345));
        assert_eq!(inputs(said).collect::<Vec<_>>(), ["a/crash-1"]);
        assert_eq!(runs("nothing"), None);
    }
}
