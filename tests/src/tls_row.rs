//! One row of the table of TLS libraries: a server and a client, the calls each made or served, and
//! those the agent saw at either end.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::agent::{Agent, Launch};
use crate::call::Call;
use crate::running::Running;
use crate::{agent, wait};

/// How long a server may take to listen: Envoy reads 100 MB first.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long the last calls may take to be told.
const SETTLE: Duration = Duration::from_secs(6);
/// How long the numbers must stay as they are: a call told twice may come late.
const QUIET: Duration = Duration::from_millis(400);

/// What one end is, for the calls it takes part in.
#[derive(Clone, Debug)]
pub struct End {
    /// Name of its process, as the agent tells it.
    pub process: &'static str,
    /// What the agent's name of its TLS library begins with.
    pub library: &'static str,
}

/// A server and a client of a TLS library, to be compared with what the agent saw.
#[derive(Debug)]
pub struct Row {
    /// Both ends are observed.
    pub agent: Agent,
    /// Where the server listens.
    pub port: u16,
}

impl Row {
    /// Starts the agent, which shows both ends.
    pub fn start(port: u16) -> Result<Self> {
        let agent = Agent::launch(Launch {
            arguments: vec!["--both-sides".to_owned()],
            ..Launch::default()
        })?;
        Ok(Self { agent, port })
    }

    /// Waits until exactly the calls with these paths were seen, each once, at each end that is
    /// given, and prints the row. `server` may be `None` where no server of the library exists.
    pub fn is_exactly(
        &self,
        paths: &[String],
        server: Option<&End>,
        client: Option<&End>,
    ) -> Result<()> {
        let deadline = Instant::now() + SETTLE;
        let mut same_since: Option<Instant> = None;
        loop {
            let difference = [("server", server), ("client", client)]
                .into_iter()
                .filter_map(|(role, end)| Some(self.difference(role, end?, paths)))
                .find_map(Result::transpose)
                .transpose()?;
            match (difference, same_since) {
                (None, Some(since)) if since.elapsed() >= QUIET => break,
                (None, Some(_)) => {}
                (None, None) => same_since = Some(Instant::now()),
                (Some(difference), _) if Instant::now() >= deadline => {
                    bail!("{difference}\n{}", self.agent.diagnostics());
                }
                (Some(_), _) => same_since = None,
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.print(paths.len(), server, client)
    }

    /// The calls of one end, all to this row's server.
    fn calls(&self, role: &str, end: &End) -> Result<Vec<std::sync::Arc<Call>>> {
        self.agent.calls_where(|call| {
            call.role == role
                && call.server.port == Some(self.port)
                && call.process.name.as_deref() == Some(end.process)
        })
    }

    fn difference(&self, role: &str, end: &End, paths: &[String]) -> Result<Option<String>> {
        let calls = self.calls(role, end)?;
        let mut rows: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for path in paths {
            rows.entry(path).or_default().0 += 1;
        }
        for call in &calls {
            ensure!(call.scheme == "https", "{call}");
            ensure!(call.status == Some(200), "{call}");
            let library = call.tls.as_ref().and_then(|tls| tls.library.as_deref());
            ensure!(
                library.is_some_and(|library| library.starts_with(end.library)),
                "not by {}: {call}",
                end.library
            );
            let version = call.tls.as_ref().and_then(|tls| tls.version.as_deref());
            ensure!(
                matches!(version, Some("TLSv1.2" | "TLSv1.3")),
                "no version: {call}"
            );
            rows.entry(&call.path).or_default().1 += 1;
        }
        rows.retain(|_, (made, seen)| made != seen);
        if rows.is_empty() {
            return Ok(None);
        }
        let lost = self.agent.calls_where(|call| {
            call.server.port.is_none() && call.process.name.as_deref() == Some(end.process)
        })?;
        let rows: Vec<String> = rows
            .iter()
            .take(12)
            .map(|(path, (made, seen))| format!("\n  {path} made {made} seen {seen}"))
            .collect();
        Ok(Some(format!(
            "{role} {}: {} calls made, {} seen, {} more without a server address{}",
            end.process,
            paths.len(),
            calls.len(),
            lost.len(),
            rows.concat()
        )))
    }

    fn print(&self, made: usize, server: Option<&End>, client: Option<&End>) -> Result<()> {
        let cell = |role: &str, end: Option<&End>| -> Result<[String; 2]> {
            let Some(end) = end else {
                return Ok(["-".to_owned(), String::new()]);
            };
            let seen = self.calls(role, end)?;
            let library = seen
                .first()
                .and_then(|call| call.tls.as_ref()?.library.clone());
            Ok([
                format!("{} {}/{made}", end.process, seen.len()),
                library.unwrap_or_default(),
            ])
        };
        let [server_cell, server_library] = cell("server", server)?;
        let [client_cell, client_library] = cell("client", client)?;
        let libraries = if server_library == client_library || client_library.is_empty() {
            server_library
        } else if server_library.is_empty() {
            client_library
        } else {
            format!("{server_library}, {client_library}")
        };
        let metrics = self.agent.metrics()?;
        let count = |event: &str| {
            let sum: f64 = metrics
                .samples
                .iter()
                .filter(|sample| {
                    sample.name == "observer_pipeline_events_total"
                        && sample.labels.get("event").map(String::as_str) == Some(event)
                })
                .map(|sample| sample.value)
                .sum();
            sum
        };
        let bound = format!(
            "{} nested, {} matched",
            count("tls_bound_nested"),
            count("tls_bound_matched")
        );
        // The test framework swallows what a passing test prints with macros.
        let _ = writeln!(
            std::io::stderr(),
            "TLS ROW | {libraries} | {server_cell} | {client_cell} | {bound} | {} ",
            probe_cost(&libraries)?
        );
        Ok(())
    }
}

/// Where the probes of a library are: how many on instructions that the kernel emulates, and how
/// many are single-stepped.
fn probe_cost(libraries: &str) -> Result<String> {
    let output = Command::new(agent::binary()?)
        .args(["doctor", "--json"])
        .output()
        .context("cannot run the doctor")?;
    let report: Value = serde_json::from_slice(&output.stdout).context("the doctor's report")?;
    let rows = report["tls"].as_array().context("no TLS in the report")?;
    let (mut fast, mut slow) = (0, 0);
    let wanted = libraries.split(", ").next().unwrap_or_default();
    let places = rows
        .iter()
        // The agent has a TLS library too, which nobody probes.
        .find(|row| row["library"] == wanted && row["attached"] == true)
        .and_then(|row| row["places"].as_array());
    for place in places.into_iter().flatten() {
        if place["emulated"] == true {
            fast += 1;
        } else {
            slow += 1;
        }
    }
    Ok(format!("{fast} emulated, {slow} stepped"))
}

/// Starts a server that ends with the test, and waits until its port accepts.
pub fn serve(name: &str, command: &mut Command, port: u16) -> Result<Running> {
    let mut running = Running::start(name, command)?;
    wait::until(&format!("{name} to listen on {port}"), START_LIMIT, || {
        if let Ok(Some(status)) = running.ended() {
            return Some(Err(anyhow::anyhow!("{name} ended with {status}")));
        }
        TcpStream::connect(("127.0.0.1", port)).ok().map(Ok)
    })??;
    Ok(running)
}

/// `count` paths, of which no two rows have the same.
pub fn paths(row: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("/{row}/{n}")).collect()
}
