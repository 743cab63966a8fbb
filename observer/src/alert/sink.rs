//! The thread that makes alerts of findings and delivers them.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::address::{HttpAddress, SyslogAddress};
use super::note::Alert;
use super::open_alerts::{OpenAlerts, read_open};
use super::silences::Silences;
use super::spool::{Spool, Waiting, write_whole};
use super::{deliver, message};
use crate::audit::Anchor;
use crate::detect::Finding;

/// Findings on their way to the thread; rules speak seldom.
const QUEUE: usize = 1024;
/// How often is looked whether alerts are over and deliveries are due.
const ROUND: Duration = Duration::from_millis(500);
/// Wait after a delivery that failed: doubled each time, up to a minute.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Longest secret of a webhook, bytes.
const MOST_SECRET: u64 = 4096;

/// Where alerts go, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSettings {
    /// Alertmanager, v2 API.
    pub alertmanager: Option<HttpAddress>,
    /// Any program that takes JSON.
    pub webhook: Option<HttpAddress>,
    /// File with the secret that signs what the webhook gets.
    pub webhook_secret_file: Option<PathBuf>,
    /// What takes messages as Slack does.
    pub slack: Option<HttpAddress>,
    /// Syslog server.
    pub syslog: Option<SyslogAddress>,
    /// An alert that goes on is told again after this time.
    pub cooldown: Duration,
    /// An alert is over if nothing was found for this time.
    pub resolve_after: Duration,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            alertmanager: None,
            webhook: None,
            webhook_secret_file: None,
            slack: None,
            syslog: None,
            cooldown: Duration::from_secs(3600),
            resolve_after: Duration::from_secs(1800),
        }
    }
}

/// What became of alerts.
#[derive(Debug, Default)]
pub struct AlertCounts {
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl AlertCounts {
    /// Names and values for the metrics.
    pub fn named(&self) -> [(&'static str, u64); 3] {
        [
            ("delivered", self.delivered.load(Ordering::Relaxed)),
            ("delivery_failed", self.failed.load(Ordering::Relaxed)),
            ("dropped", self.dropped.load(Ordering::Relaxed)),
        ]
    }
}

/// The end that takes findings. Never waits.
#[derive(Clone, Debug)]
pub struct AlertSink {
    queue: SyncSender<Finding>,
    counts: Arc<AlertCounts>,
    anchor: Arc<OnceLock<Anchor>>,
}

impl AlertSink {
    /// Hands a finding over.
    pub fn finding(&self, finding: &Finding) {
        if self.queue.try_send(finding.clone()).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Alerts carry the last checkpoint of this audit log from now on; the first call counts.
    pub fn set_anchor(&self, anchor: Anchor) {
        // A second log there is none.
        let _ = self.anchor.set(anchor);
    }

    /// What became of alerts so far.
    pub fn counts(&self) -> &AlertCounts {
        &self.counts
    }
}

/// The thread.
#[derive(Debug)]
pub struct AlertThread {
    thread: JoinHandle<()>,
}

impl AlertThread {
    /// Waits until what was found is kept; all sinks must have been dropped. What could not be
    /// delivered waits for the next start.
    pub fn finish(self) {
        // A thread that panicked has nothing left to keep.
        let _ = self.thread.join();
    }
}

/// Starts the thread; alerts are kept under `state`.
///
/// # Errors
/// The folder or the secret cannot be read, or the thread not started.
pub fn start(state: PathBuf, settings: AlertSettings) -> io::Result<(AlertSink, AlertThread)> {
    let spool = Spool::open(state.join("alerts").join("queue"))?;
    let secret = settings
        .webhook_secret_file
        .as_ref()
        .map(|path| {
            use io::Read as _;
            let mut secret = Vec::new();
            std::fs::File::open(path)?
                .take(MOST_SECRET)
                .read_to_end(&mut secret)?;
            Ok::<_, io::Error>(secret.trim_ascii().to_vec())
        })
        .transpose()?;
    let mut open = OpenAlerts::new(settings.cooldown, settings.resolve_after);
    open.restore(read_open(&state).unwrap_or_default());
    let counts = Arc::new(AlertCounts::default());
    let (queue, findings) = sync_channel(QUEUE);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(char::is_ascii_graphic).collect();
    let anchor = Arc::<OnceLock<Anchor>>::default();
    let work = Work {
        anchor: Arc::clone(&anchor),
        settings,
        secret,
        host: if host.is_empty() {
            "-".to_owned()
        } else {
            host
        },
        open,
        silences: Silences::open(&state)?,
        state,
        spool,
        counts: Arc::clone(&counts),
        wait: FIRST_WAIT,
        not_before: Instant::now(),
    };
    let thread = thread::Builder::new()
        .name("alerts".to_owned())
        .spawn(move || work.run(&findings))?;
    let sink = AlertSink {
        queue,
        counts,
        anchor,
    };
    Ok((sink, AlertThread { thread }))
}

/// Unix time, nanoseconds.
fn unix_ns() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

struct Work {
    anchor: Arc<OnceLock<Anchor>>,
    state: PathBuf,
    settings: AlertSettings,
    secret: Option<Vec<u8>>,
    host: String,
    open: OpenAlerts,
    silences: Silences,
    spool: Spool,
    counts: Arc<AlertCounts>,
    wait: Duration,
    not_before: Instant,
}

impl Work {
    fn run(mut self, findings: &Receiver<Finding>) {
        self.list();
        let mut looked = Instant::now();
        loop {
            match findings.recv_timeout(ROUND) {
                Ok(finding) => {
                    let now = unix_ns();
                    let silences = &self.silences;
                    if let Some(alert) =
                        self.open.push(&finding, |alert| silences.cover(alert, now))
                    {
                        self.keep(&alert);
                    }
                    self.list();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.deliver();
                    return;
                }
            }
            if looked.elapsed() >= ROUND {
                looked = Instant::now();
                self.look();
            }
            self.deliver();
        }
    }

    /// Takes note of other silences, and of alerts that are over.
    fn look(&mut self) {
        if let Err(error) = self.silences.read() {
            tracing::warn!(%error, "the list of silences cannot be read; the one before stays in force");
        }
        let now = unix_ns();
        let over = self.open.resolve(now);
        for alert in &over {
            // Nobody is told of the end of what nobody was told of.
            if alert.told_unix_ns != 0 && !self.silences.cover(alert, now) {
                self.keep(alert);
            }
        }
        if !over.is_empty() {
            self.list();
        }
    }

    fn destinations(&self) -> impl Iterator<Item = &'static str> {
        let AlertSettings {
            alertmanager,
            webhook,
            slack,
            syslog,
            ..
        } = &self.settings;
        [
            alertmanager.as_ref().map(|_| "alertmanager"),
            webhook.as_ref().map(|_| "webhook"),
            slack.as_ref().map(|_| "slack"),
            syslog.as_ref().map(|_| "syslog"),
        ]
        .into_iter()
        .flatten()
    }

    fn keep(&mut self, alert: &Alert) {
        let destinations: Vec<_> = self.destinations().collect();
        for to in destinations {
            let waiting = Waiting {
                to: to.to_owned(),
                alert: alert.clone(),
            };
            if !self.spool.push(&waiting).unwrap_or(false) {
                self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Writes the list of open alerts for `observer alerts`.
    fn list(&self) {
        let written = serde_json::to_vec(&self.open.list())
            .map_err(io::Error::from)
            .and_then(|bytes| write_whole(&self.state.join("alerts").join("open.json"), &bytes));
        if let Err(error) = written {
            tracing::warn!(%error, "the list of open alerts cannot be written");
        }
    }

    /// Delivers what waits; after a failure the others are tried once, then all wait.
    fn deliver(&mut self) {
        if self.spool.len() == 0 || Instant::now() < self.not_before {
            return;
        }
        let (mut from, mut broken) = (0, Vec::new());
        while let Some((number, waiting)) = self.spool.next(from) {
            from = number + 1;
            if broken.contains(&waiting.to) {
                continue;
            }
            match self.send(&waiting) {
                Ok(()) => {
                    self.spool.done(number);
                    self.counts.delivered.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    self.counts.failed.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(to = waiting.to, %error, "an alert is not delivered yet");
                    broken.push(waiting.to);
                }
            }
        }
        self.wait = if broken.is_empty() {
            FIRST_WAIT
        } else {
            self.not_before = Instant::now() + self.wait;
            (self.wait * 2).min(LONGEST_WAIT)
        };
    }

    fn send(&self, Waiting { to, alert }: &Waiting) -> io::Result<()> {
        let settings = &self.settings;
        let checkpoint = self.anchor.get().and_then(Anchor::checkpoint);
        let checkpoint = checkpoint.as_deref();
        match (to.as_str(), settings) {
            (
                "alertmanager",
                AlertSettings {
                    alertmanager: Some(to),
                    ..
                },
            ) => {
                let path = format!("{}/api/v2/alerts", to.path.trim_end_matches('/'));
                deliver::post(to, &path, &message::alertmanager(alert, checkpoint), None)
            }
            (
                "webhook",
                AlertSettings {
                    webhook: Some(to), ..
                },
            ) => deliver::post(
                to,
                &to.path,
                &message::webhook(alert, checkpoint),
                self.secret.as_deref(),
            ),
            (
                "slack",
                AlertSettings {
                    slack: Some(to), ..
                },
            ) => deliver::post(to, &to.path, &message::slack(alert), None),
            (
                "syslog",
                AlertSettings {
                    syslog: Some(to), ..
                },
            ) => deliver::syslog(to, &message::syslog(alert, &self.host, checkpoint)),
            // Nobody takes it any more: the settings changed.
            _ => Ok(()),
        }
    }
}
