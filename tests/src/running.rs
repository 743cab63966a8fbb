//! A program that was started by a test and ends with it, whatever happens.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait;

/// How long a server may take to end when asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// A child process in a process group of its own. Dropping it ends the whole group.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
}

impl Running {
    /// Starts `command`; the caller has set up its standard streams.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
        })
    }

    /// Process id, also the id of its group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child, for its streams.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends a signal, such as `TERM`, to this process alone.
    pub fn signal(&self, signal: &str) -> Result<()> {
        kill(signal, &self.pid().to_string())
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("cannot ask how {} is", self.name))
    }

    /// Waits for its end, at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let child = &mut self.child;
        wait::until(&format!("{} to end", self.name), limit, || {
            child.try_wait().ok().flatten()
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = format!("-{}", self.pid());
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill("TERM", &group);
            let _ = self.wait(GRACE);
        }
        // Also what the process left behind in its group.
        let _ = kill("KILL", &group);
        let _ = self.child.wait();
    }
}

/// Runs a program to its end, at most `limit`, and returns its output.
///
/// # Errors
/// If it cannot be started or does not end in time (it is killed then).
pub fn run(command: &mut Command, limit: Duration) -> Result<Output> {
    let mut child = command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    // The streams are read while it runs: a full pipe would stop it.
    let stdout = child.stdout.take().map(crate::agent::drain);
    let stderr = child.stderr.take().map(crate::agent::drain);
    let status = wait::until("its end", limit, || child.try_wait().ok().flatten());
    if status.is_err() {
        let _ = kill("KILL", &format!("-{}", child.id()));
        let _ = child.wait();
    }
    let gather = |reader: Option<std::thread::JoinHandle<Vec<u8>>>| {
        reader
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default()
    };
    let (stdout, stderr) = (gather(stdout), gather(stderr));
    match status {
        Ok(status) => Ok(Output {
            status,
            stdout,
            stderr,
        }),
        Err(error) => {
            bail!(
                "{command:?}: {error}; stderr: {}",
                String::from_utf8_lossy(&stderr)
            )
        }
    }
}

/// Runs a program that must succeed, and returns what it printed.
pub fn run_ok(command: &mut Command, limit: Duration) -> Result<String> {
    let output = run(command, limit)?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} ended with {}: {stdout}{stderr}", output.status);
    }
    Ok(stdout)
}

/// The children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|line| {
            line.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

fn kill(signal: &str, whom: &str) -> Result<()> {
    let status = Command::new("kill")
        .args(["-s", signal, "--", whom])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot run kill")?;
    if !status.success() {
        bail!("no process {whom} to send {signal} to");
    }
    Ok(())
}
