//! The comparison that all tests stand on: the server's own access log against the calls the
//! agent saw come in at that server. The same method, path and status, the same number of times.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::access_log::{AccessLog, Logged};
use crate::agent::Agent;
use crate::call::Call;

/// How long log and agent may take to write down the last calls.
const SETTLE: Duration = Duration::from_secs(6);
/// How long both must stay as they are: a call reported twice may come late.
const QUIET: Duration = Duration::from_millis(300);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Rows of a difference that are shown.
const SHOWN: usize = 12;

type Key = (String, String, Option<u16>);

/// What must agree.
#[derive(Debug)]
pub struct Agreement<'a> {
    agent: &'a Agent,
    log: &'a AccessLog,
    port: u16,
    cut_off: usize,
}

/// One call in both records.
#[derive(Clone, Debug)]
pub struct Pair {
    /// As the server wrote it down.
    pub logged: Logged,
    /// As the agent saw it.
    pub call: Arc<Call>,
}

impl<'a> Agreement<'a> {
    /// Between what `agent` saw and what the server on `port` wrote in `log`.
    pub fn of(agent: &'a Agent, log: &'a AccessLog, port: u16) -> Self {
        Self {
            agent,
            log,
            port,
            cut_off: 0,
        }
    }

    /// The client dropped this many connections with a request under way. Each may leave one
    /// request that the server never answered: not in its log, or there with no byte sent.
    pub fn with_cut_off(mut self, connections: usize) -> Self {
        self.cut_off = connections;
        self
    }

    /// Waits until both agree, and gives each call as both saw it, which also agree on the
    /// client's port, the process and the sizes wherever the server wrote them down.
    pub fn reached(self) -> Result<Vec<Pair>> {
        let agent = self.agent;
        self.settled().with_context(|| {
            format!(
                "{}\n{}",
                counters(agent).unwrap_or_default(),
                agent.diagnostics()
            )
        })
    }

    fn settled(self) -> Result<Vec<Pair>> {
        let deadline = Instant::now() + SETTLE;
        let mut agreed_since: Option<Instant> = None;
        loop {
            let logged = self.log.entries(self.port)?;
            let calls = self.agent.calls_where(|call| call.served_by(self.port))?;
            let difference = self.difference(&logged, &calls);
            match (&difference, agreed_since) {
                (None, Some(since)) if since.elapsed() >= QUIET => {
                    if logged.is_empty() {
                        bail!(
                            "the server on port {} logged no call: nothing was shown",
                            self.port
                        );
                    }
                    return self.paired(logged, calls);
                }
                (None, Some(_)) => {}
                (None, None) => agreed_since = Some(Instant::now()),
                (Some(_), _) => agreed_since = None,
            }
            if let Some(difference) = difference
                && Instant::now() >= deadline
            {
                bail!(
                    "{difference}{}\n{}",
                    self.elsewhere()?,
                    self.agent.diagnostics()
                );
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// What differs, in words; `None` if nothing does.
    fn difference(&self, logged: &[Logged], calls: &[Arc<Call>]) -> Option<String> {
        let mut rows: BTreeMap<Key, (i64, i64)> = BTreeMap::new();
        for entry in logged {
            let key = (
                entry.method.clone(),
                entry.path().to_owned(),
                Some(entry.status),
            );
            rows.entry(key).or_default().0 += 1;
        }
        for call in calls {
            let key = (call.method.clone(), call.path.clone(), call.status);
            rows.entry(key).or_default().1 += 1;
        }
        let mut unanswered: i64 = rows
            .iter()
            .filter(|(key, _)| key.2.is_none())
            .map(|(_, count)| count.1)
            .sum();
        let limit = i64::try_from(self.cut_off).unwrap_or(i64::MAX);
        if unanswered <= limit {
            rows.retain(|key, _| key.2.is_some());
            // Logged, but with nothing sent: seen as a request without an answer.
            let mut silent: HashMap<Key, i64> = HashMap::new();
            for entry in logged
                .iter()
                .filter(|entry| entry.response_bytes == Some(0))
            {
                let key = (
                    entry.method.clone(),
                    entry.path().to_owned(),
                    Some(entry.status),
                );
                *silent.entry(key).or_default() += 1;
            }
            for (key, (log, seen)) in &mut rows {
                let take = (*log - *seen)
                    .min(unanswered)
                    .min(silent.get(key).copied().unwrap_or(0))
                    .max(0);
                *log -= take;
                unanswered -= take;
            }
        }
        rows.retain(|_, (log, seen)| log != seen);
        if rows.is_empty() {
            return None;
        }
        let mut text = format!(
            "port {}: the server logged {} calls, the agent saw {}\n   log  seen  call\n",
            self.port,
            logged.len(),
            calls.len()
        );
        for ((method, path, status), (log, seen)) in rows.iter().take(SHOWN) {
            let status = status.map_or("no answer".to_owned(), |status| status.to_string());
            let path: String = path.chars().take(80).collect();
            let _ = writeln!(text, "{log:>6} {seen:>5}  {method} {path} {status}");
        }
        if rows.len() > SHOWN {
            let _ = writeln!(text, "       and {} rows more", rows.len() - SHOWN);
        }
        Some(text)
    }

    /// Calls of no known server port, which may be the missing ones.
    fn elsewhere(&self) -> Result<String> {
        let lost = self.agent.calls_where(|call| call.server.port.is_none())?;
        let client = self
            .agent
            .calls_where(|call| call.role == "client" && call.server.port == Some(self.port))?;
        let mut text = format!(
            "besides, calls without a server address: {}, calls of role client to this port: {}",
            lost.len(),
            client.len()
        );
        if let Some(example) = lost.first().or_else(|| client.first()) {
            let _ = write!(text, ", such as {example}");
        }
        Ok(text)
    }

    fn paired(&self, logged: Vec<Logged>, calls: Vec<Arc<Call>>) -> Result<Vec<Pair>> {
        type Exact = (Option<u16>, String, String, Option<u16>);
        let mut waiting: HashMap<Exact, VecDeque<Arc<Call>>> = HashMap::new();
        // Not every server writes the client's port: then any call of the same kind will do.
        let ports = logged.iter().all(|entry| entry.client_port.is_some());
        let port_of = |port: Option<u16>| if ports { port } else { None };
        for call in calls {
            let key = (
                port_of(call.client.port),
                call.method.clone(),
                call.path.clone(),
                call.status,
            );
            waiting.entry(key).or_default().push_back(call);
        }
        let mut pairs = Vec::with_capacity(logged.len());
        let mut cut_off = self.cut_off;
        for entry in logged {
            let key = (
                port_of(entry.client_port),
                entry.method.clone(),
                entry.path().to_owned(),
                Some(entry.status),
            );
            match waiting.get_mut(&key).and_then(VecDeque::pop_front) {
                Some(call) => {
                    let pair = Pair {
                        logged: entry,
                        call,
                    };
                    pair.check()?;
                    pairs.push(pair);
                }
                None if cut_off > 0 && entry.response_bytes == Some(0) => cut_off -= 1,
                None => bail!("no call seen from the client's port for {entry:?}"),
            }
        }
        Ok(pairs)
    }
}

impl Pair {
    fn check(&self) -> Result<()> {
        let Self { logged, call } = self;
        let same = |what: &str, log: Option<u64>, seen: Option<u64>| match log {
            Some(log) if seen != Some(log) => {
                bail!("{what}: the server logged {log}, the agent saw {seen:?}, in {call}")
            }
            _ => Ok(()),
        };
        // An answer that the client did not stay for may be cut at any byte.
        if !call.flags.iter().any(|flag| flag == "response_cut") {
            same(
                "body bytes sent",
                logged.response_bytes,
                call.response_bytes,
            )?;
        }
        same(
            "body bytes received",
            logged.request_bytes,
            call.request_bytes,
        )?;
        same(
            "process",
            logged.pid.map(u64::from),
            call.process.pid.map(u64::from),
        )
    }
}

/// What the agent counted that may explain a difference.
fn counters(agent: &Agent) -> Result<String> {
    let metrics = agent.metrics()?;
    let told = [
        "observer_capture_lost_total",
        "observer_pipeline_events_total",
    ];
    let mut text = String::from("the agent counted:");
    for sample in metrics.samples.iter().filter(|it| it.value > 0.0) {
        if told.contains(&sample.name.as_str()) {
            let labels: Vec<&str> = sample.labels.values().map(String::as_str).collect();
            let _ = write!(
                text,
                "\n  {} {} {}",
                sample.name,
                labels.join(" "),
                sample.value
            );
        }
    }
    Ok(text)
}
