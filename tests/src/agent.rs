//! The built agent: started, asked, stopped. Its lines are collected from the first to the last.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::call::{Call, listed};
use crate::metrics::{self, Metrics};
use crate::running::Running;
use crate::{port, wait};

/// How long probes may take to attach.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// How long a stop may take: the drain and the detaching of all probes.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// How to start the agent.
#[derive(Debug, Default)]
pub struct Launch {
    /// More arguments after those every test uses.
    pub arguments: Vec<String>,
    /// Settings, as the text of a configuration file.
    pub settings: Option<String>,
    /// Folder of the state, if it is to outlive the agent.
    pub state: Option<PathBuf>,
    /// Environment variables.
    pub environment: Vec<(&'static str, &'static str)>,
}

impl Launch {
    /// With a log that says all it can.
    pub fn talkative() -> Self {
        Self {
            environment: vec![("OBSERVER_LOG", "trace")],
            ..Self::default()
        }
    }
}

/// A running `observer run --format jsonl`.
#[derive(Debug)]
pub struct Agent {
    running: Running,
    port: u16,
    lines: Arc<Mutex<Lines>>,
    stdout: Option<JoinHandle<()>>,
    stderr: Option<JoinHandle<()>>,
    folder: TempDir,
}

/// How an agent ended, and all it wrote.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// All of standard output.
    pub stdout: String,
    /// All of standard error.
    pub stderr: String,
    /// The calls in `stdout`.
    pub calls: Vec<Arc<Call>>,
}

#[derive(Debug, Default)]
struct Lines {
    raw: Vec<String>,
    /// How many of `raw` were parsed.
    parsed: usize,
    calls: Vec<Arc<Call>>,
    findings: Vec<Value>,
    stderr: String,
}

impl Agent {
    /// Starts it and waits until it says that all probes are attached.
    pub fn start() -> Result<Self> {
        Self::launch(Launch::default())
    }

    /// Starts it as told.
    pub fn launch(launch: Launch) -> Result<Self> {
        let folder = TempDir::new()?;
        let port = port::free();
        let mut command = Command::new(binary()?);
        command
            .args(["run", "--format", "jsonl", "--duration", "300s"])
            .args(["--metrics", &format!("127.0.0.1:{port}")])
            .arg("--state-dir")
            .arg(launch.state.unwrap_or_else(|| folder.path().join("state")));
        if let Some(settings) = &launch.settings {
            let file = folder.path().join("observer.toml");
            fs::write(&file, settings)?;
            command.arg("--config").arg(file);
        }
        command
            .args(&launch.arguments)
            .envs(launch.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut running = Running::start("the agent", &mut command)?;
        let lines = Arc::new(Mutex::new(Lines::default()));
        let stdout = running
            .child()
            .stdout
            .take()
            .context("no standard output")?;
        let stderr = running.child().stderr.take().context("no standard error")?;
        let stdout = collect(stdout, Arc::clone(&lines), |lines, line| {
            lines.raw.push(line);
        });
        let stderr = collect(stderr, Arc::clone(&lines), |lines, line| {
            lines.stderr.push_str(&line);
            lines.stderr.push('\n');
        });
        let mut agent = Self {
            running,
            port,
            lines,
            stdout: Some(stdout),
            stderr: Some(stderr),
            folder,
        };
        agent.wait_ready()?;
        Ok(agent)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let port = self.port;
        let running = &mut self.running;
        let answer = wait::until("200 from /healthz", READY_LIMIT, || {
            if let Ok(Some(status)) = running.ended() {
                return Some(Err(status));
            }
            metrics::get(port, "/healthz")
                .ok()
                .filter(|(code, _)| *code == 200)
                .map(Ok)
        });
        match answer {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => {
                bail!(
                    "the agent ended at once with {status}: {}",
                    self.diagnostics()
                )
            }
            Err(error) => {
                let last = metrics::get(port, "/healthz");
                bail!("{error}; it answers {last:?}; {}", self.diagnostics())
            }
        }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Port of `/metrics` and `/healthz`.
    pub fn metrics_port(&self) -> u16 {
        self.port
    }

    /// The folder it keeps its state in.
    pub fn state_folder(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// A scrape.
    pub fn metrics(&self) -> Result<Metrics> {
        Metrics::scrape(self.port).with_context(|| self.diagnostics())
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.running.ended(), Ok(None))
    }

    /// All calls printed until now.
    pub fn calls(&self) -> Result<Vec<Arc<Call>>> {
        let mut lines = lock(&self.lines);
        lines.parse()?;
        Ok(lines.calls.clone())
    }

    /// The calls printed until now that `wanted` accepts.
    pub fn calls_where(&self, wanted: impl Fn(&Call) -> bool) -> Result<Vec<Arc<Call>>> {
        let mut lines = lock(&self.lines);
        lines.parse()?;
        Ok(lines
            .calls
            .iter()
            .filter(|call| wanted(call))
            .cloned()
            .collect())
    }

    /// Waits for a call that `wanted` accepts; the error lists what was seen instead.
    pub fn wait_for_call(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Call) -> bool,
    ) -> Result<Arc<Call>> {
        let found = wait::until(what, limit, || self.calls_where(&wanted).ok()?.pop());
        found.with_context(|| {
            let calls = self.calls().unwrap_or_default();
            format!(
                "last calls seen: {}\n{}",
                listed(calls.iter().rev()),
                self.diagnostics()
            )
        })
    }

    /// All findings printed until now.
    pub fn findings(&self) -> Result<Vec<Value>> {
        let mut lines = lock(&self.lines);
        lines.parse()?;
        Ok(lines.findings.clone())
    }

    /// All it wrote until now: standard output, then standard error.
    pub fn written(&self) -> String {
        let lines = lock(&self.lines);
        format!("{}\n{}", lines.raw.join("\n"), lines.stderr)
    }

    /// The end of its log, for the message of a failed test.
    pub fn diagnostics(&self) -> String {
        let lines = lock(&self.lines);
        let tail: Vec<&str> = lines.stderr.lines().rev().take(15).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        format!("agent's log ends with:\n{}", tail.join("\n"))
    }

    /// Peak resident memory in KiB.
    pub fn peak_memory_kib(&self) -> Result<u64> {
        self.memory_kib("VmHWM:")
    }

    /// Resident memory now, in KiB.
    pub fn resident_memory_kib(&self) -> Result<u64> {
        self.memory_kib("VmRSS:")
    }

    fn memory_kib(&self, field: &'static str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line
            .and_then(|line| line.split_whitespace().next())
            .context(field)?;
        Ok(kib.parse()?)
    }

    /// Sends a signal, such as `STOP`, to the agent.
    pub fn signal(&self, signal: &str) -> Result<()> {
        self.running.signal(signal)
    }

    /// Asks it to end with a signal (`TERM` or `INT`), and waits for it.
    pub fn stop_by(mut self, signal: &str) -> Result<Ended> {
        self.running.signal(signal)?;
        self.gather()
    }

    /// Asks it to end, and waits for it.
    pub fn stop(self) -> Result<Ended> {
        self.stop_by("TERM")
    }

    /// Ends it without warning.
    pub fn kill9(mut self) -> Result<Ended> {
        self.running.signal("KILL")?;
        self.gather()
    }

    fn gather(&mut self) -> Result<Ended> {
        let status = self
            .running
            .wait(STOP_LIMIT)
            .with_context(|| self.diagnostics())?;
        for reader in [self.stdout.take(), self.stderr.take()]
            .into_iter()
            .flatten()
        {
            let _ = reader.join();
        }
        let mut lines = lock(&self.lines);
        lines.parse()?;
        Ok(Ended {
            status,
            stdout: lines.raw.join("\n"),
            stderr: lines.stderr.clone(),
            calls: lines.calls.clone(),
        })
    }
}

impl Lines {
    fn parse(&mut self) -> Result<()> {
        let Self {
            raw,
            parsed,
            calls,
            findings,
            stderr: _,
        } = self;
        for line in raw.iter().skip(*parsed) {
            let kind = Kind::of(line)?;
            match kind {
                Kind::Call(call) => calls.push(Arc::new(*call)),
                Kind::Finding(finding) => findings.push(finding),
            }
        }
        *parsed = raw.len();
        Ok(())
    }
}

enum Kind {
    Call(Box<Call>),
    Finding(Value),
}

impl Kind {
    fn of(line: &str) -> Result<Self> {
        #[derive(serde::Deserialize)]
        struct Type {
            r#type: String,
        }
        let Type { r#type } = serde_json::from_str(line)
            .with_context(|| format!("a line that is no JSON object with a type: {line}"))?;
        match r#type.as_str() {
            "call" => {
                let call = serde_json::from_str(line)
                    .with_context(|| format!("a call that breaks the contract: {line}"))?;
                Ok(Self::Call(call))
            }
            "finding" => Ok(Self::Finding(serde_json::from_str(line)?)),
            other => bail!("a line of unknown type {other}: {line}"),
        }
    }
}

/// Where the built agent is: `OBSERVER_BIN`, else the newer of the workspace's builds.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("OBSERVER_BIN") {
        return Ok(PathBuf::from(path));
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("no workspace")?;
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace.join("target"), PathBuf::from);
    ["release", "debug"]
        .into_iter()
        .map(|profile| target.join(profile).join("observer"))
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .max()
        .map(|(_, path)| path)
        .context("the agent is not built: cargo build --release -p observer, or set OBSERVER_BIN")
}

/// Reads a stream to its end in a thread.
pub(crate) fn drain(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        all
    })
}

fn collect(
    stream: impl Read + Send + 'static,
    lines: Arc<Mutex<Lines>>,
    take: impl Fn(&mut Lines, String) + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::with_capacity(1 << 16, stream);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line)
                .trim_end_matches('\n')
                .to_owned();
            line.clear();
            take(&mut lock(&lines), text);
        }
    })
}

fn lock(lines: &Mutex<Lines>) -> std::sync::MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}
