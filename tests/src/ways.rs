//! All the ways a program moves bytes over a socket: `programs/ways.c`, built once and run.
//!
//! Each way is one connection with three calls, `/ways/NAME/before`, `/ways/NAME` (moved in the
//! chosen way) and `/ways/NAME/after`, so that a stream that lost its place shows.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::running::{Running, run_ok};

/// How long one way may take: the largest moves six megabytes.
const LIMIT: Duration = Duration::from_secs(30);
/// How long the C compiler may take.
const COMPILE_LIMIT: Duration = Duration::from_secs(120);
/// Its exit code for "not possible on this kernel".
const UNAVAILABLE: i32 = 77;

/// The program, built.
#[derive(Debug)]
pub struct Ways {
    program: PathBuf,
    _folder: TempDir,
}

/// What one run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// All three calls were made; the bytes of the bodies of the one in the middle.
    Done {
        /// Of the request.
        request: u64,
        /// Of the response.
        response: u64,
    },
    /// This kernel cannot do it, and why.
    Unavailable(String),
}

/// A run that waits after its first call.
#[derive(Debug)]
pub struct Waiting {
    running: Running,
    stdout: BufReader<ChildStdout>,
}

impl Ways {
    /// Compiles the program with the C compiler that Rust links with.
    pub fn build() -> Result<Self> {
        let folder = TempDir::new()?;
        let program = folder.path().join("ways");
        compile(&program)?;
        Ok(Self {
            program,
            _folder: folder,
        })
    }

    /// The names of all ways.
    pub fn names(&self) -> Result<Vec<String>> {
        let list = run_ok(Command::new(&self.program).arg("list"), LIMIT)?;
        Ok(list.lines().map(str::to_owned).collect())
    }

    /// Moves bytes in this way, from the first call to the last.
    pub fn run(&self, name: &str) -> Result<Moved> {
        self.start(name, &[])?.finish()
    }

    /// The same by a program in front, such as `ip netns exec NAME`.
    pub fn run_inside(&self, prefix: &[&str], name: &str) -> Result<Moved> {
        let (first, rest) = prefix.split_first().context("no program in front")?;
        let mut command = Command::new(first);
        command.args(rest).arg(&self.program).arg(name);
        Waiting::start(name, &mut command)?.finish()
    }

    /// Makes the first call of this way and stops: the connection stays open.
    pub fn open(&self, name: &str) -> Result<Waiting> {
        let mut waiting = self.start(name, &["--wait"])?;
        let mut line = String::new();
        waiting.stdout.read_line(&mut line)?;
        if line.trim_end() != "ready" {
            bail!("{name} said {line:?} before it was ready");
        }
        Ok(waiting)
    }

    fn start(&self, name: &str, arguments: &[&str]) -> Result<Waiting> {
        let mut command = Command::new(&self.program);
        command.arg(name).args(arguments);
        Waiting::start(name, &mut command)
    }
}

impl Waiting {
    fn start(name: &str, command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = Running::start(name, command)?;
        let stdout = running.child().stdout.take().context("standard output")?;
        Ok(Self {
            running,
            stdout: BufReader::new(stdout),
        })
    }

    /// Makes the calls that are left.
    pub fn finish(mut self) -> Result<Moved> {
        if let Some(mut stdin) = self.running.child().stdin.take() {
            // One that did not wait may be gone.
            let _ = stdin.write_all(b"\n");
        }
        let status = self.running.wait(LIMIT)?;
        let mut said = String::new();
        self.stdout.read_to_string(&mut said)?;
        let last = said.lines().last().unwrap_or_default();
        if status.code() == Some(UNAVAILABLE) {
            let reason = said
                .lines()
                .find_map(|line| line.strip_prefix("unavailable: "));
            return Ok(Moved::Unavailable(reason.unwrap_or(last).to_owned()));
        }
        let mut words = last.split(' ');
        let (Some("done"), Some(request), Some(response)) =
            (words.next(), words.next(), words.next())
        else {
            bail!("ended with {status} and said {said:?}");
        };
        Ok(Moved::Done {
            request: request.parse()?,
            response: response.parse()?,
        })
    }
}

/// Compiles `programs/ways.c` to `program`.
fn compile(program: &Path) -> Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/ways.c");
    let mut command = Command::new("cc");
    command
        .args(["-O1", "-pthread", "-o"])
        .arg(program)
        .arg(source);
    run_ok(&mut command, COMPILE_LIMIT)?;
    Ok(())
}
