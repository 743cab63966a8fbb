//! The agent under measurement, started and stopped for each sample.
//!
//! In: the built program. Out: its process id and what its own metrics say. It never
//! shares a port or a state folder with an agent that runs already.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::http;
use super::nginx::PATH;

/// How long the agent may take to attach its probes and to say that it is healthy.
const START: Duration = Duration::from_secs(20);

/// How long it may take to detach and end once asked.
const STOP: Duration = Duration::from_secs(10);

/// How long calls may still arrive after the load has ended.
const SETTLE: Duration = Duration::from_secs(5);

/// Two equal readings this far apart mean that nothing arrives any more.
const STILL: Duration = Duration::from_millis(500);

/// What the agent says of itself.
pub struct Books {
    /// Calls of the path under load, seen at their server.
    pub calls: u64,
    /// What it counted as lost: packets, or calls of TLS functions.
    pub lost: u64,
}

/// A running agent, ended when dropped.
pub struct Agent {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Agent {
    /// Starts the agent and waits until it is healthy.
    pub fn start(program: &Path, folder: &Path) -> Result<Self> {
        let port = http::free_port()?;
        let log = folder.join("agent.log");
        let to = File::create(&log).with_context(|| format!("write {}", log.display()))?;
        let child = Command::new(program)
            .args(["run", "--format", "none"])
            .args(["--metrics", &format!("127.0.0.1:{port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(to)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut agent = Self { child, port, log };
        let start = Instant::now();
        while start.elapsed() < START {
            if http::get(port, "/healthz").is_ok_and(|(status, _)| status == 200) {
                return Ok(agent);
            }
            if let Some(status) = agent.child.try_wait().context("ask for the agent")? {
                bail!(
                    "the agent ended at once ({status}):\n{}",
                    agent.last_words()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!(
            "the agent was not healthy within {} s:\n{}",
            START.as_secs(),
            agent.last_words()
        );
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its books, once nothing arrives any more.
    pub fn settled_books(&self) -> Result<Books> {
        let start = Instant::now();
        let mut before = self.books()?;
        loop {
            std::thread::sleep(STILL);
            let now = self.books()?;
            if now.calls == before.calls || start.elapsed() > SETTLE {
                return Ok(now);
            }
            before = now;
        }
    }

    /// Asks it to end, as a service manager would, and demands that it does.
    pub fn stop(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .context("start kill")?;
        let start = Instant::now();
        while start.elapsed() < STOP {
            match self.child.try_wait().context("ask for the agent")? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the agent ended with {status}:\n{}", self.last_words()),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        bail!(
            "the agent did not end within {} s of SIGTERM",
            STOP.as_secs()
        );
    }

    /// Payload bytes that came through the ring.
    pub fn delivered_bytes(&self) -> Result<u64> {
        Ok(sum(&self.page()?, "observer_capture_delivered_bytes_total"))
    }

    /// Entries of all its tables.
    pub fn entries(&self) -> Result<u64> {
        Ok(sum(&self.page()?, "observer_pipeline_entries"))
    }

    fn books(&self) -> Result<Books> {
        Ok(books(&self.page()?))
    }

    fn page(&self) -> Result<String> {
        let (status, text) = http::get(self.port, "/metrics")?;
        if status != 200 {
            bail!("the agent's /metrics answers {status}");
        }
        Ok(text)
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(10);
        lines[from..].join("\n")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Reached on an error only; the kernel detaches its probes with it.
            let _gone = self.child.kill();
            let _status = self.child.wait();
        }
    }
}

/// Adds up all series of one name.
fn sum(page: &str, name: &str) -> u64 {
    let values = page.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let same = series.split('{').next() == Some(name);
        let value: f64 = value.parse().ok()?;
        same.then_some(value as u64)
    });
    values.sum()
}

/// Adds up the series that matter in a Prometheus text page.
fn books(page: &str) -> Books {
    let mut books = Books { calls: 0, lost: 0 };
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let name = series.split('{').next().unwrap_or(series);
        // Counters are whole numbers, though the format would allow others.
        let value = value.parse::<f64>().map_or(0, |value| value as u64);
        let has = |label: &str, of: &str| series.contains(&format!("{label}=\"{of}\""));
        if name == "observer_calls_total" && has("role", "server") && has("route", PATH) {
            books.calls += value;
        } else if name == "observer_capture_lost_total" {
            books.lost += value;
        }
    }
    books
}

#[cfg(test)]
mod tests {
    use super::books;

    #[test]
    fn calls_and_losses_are_added_up_over_their_labels() {
        let page = "# HELP x y\n\
            observer_calls_total{service=\"a b\",role=\"server\",route=\"/tiny\"} 7\n\
            observer_calls_total{service=\"a\",role=\"server\",route=\"/other\"} 100\n\
            observer_calls_total{service=\"w\",role=\"client\",route=\"/tiny\"} 100\n\
            observer_calls_total{service=\"c\",role=\"server\",route=\"/tiny\"} 3\n\
            observer_capture_lost_total{source=\"tls\",reason=\"ring_full\"} 2\n\
            observer_capture_lost_bytes_total{source=\"tls\",reason=\"ring_full\"} 900\n";
        let books = books(page);
        assert_eq!((books.calls, books.lost), (10, 2));
    }
}
