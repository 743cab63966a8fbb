//! The thread that makes alerts of findings and delivers them.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::note::Alert;
use super::open_alerts::{OpenAlerts, read_open};
use super::settings::AlertSettings;
use super::silences::Silences;
use super::spool::{Spool, Waiting, write_whole};
use super::targets::{MAIL, Targets};
use crate::audit::Anchor;
use crate::detect::Finding;

/// Findings on their way to the thread; rules speak seldom.
const QUEUE: usize = 1024;
/// How often is looked whether alerts are over and deliveries are due.
const ROUND: Duration = Duration::from_millis(500);
/// Wait after a delivery that failed: doubled each time, up to a minute.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Alerts in one mail: what comes after a mail waits for [`MAIL_WAIT`] and goes together.
const MOST_IN_MAIL: usize = 100;
const MAIL_WAIT: Duration = Duration::from_secs(30);

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
    let (cooldown, resolve_after) = (settings.cooldown, settings.resolve_after);
    let targets = Targets::new(settings)?;
    let mut open = OpenAlerts::new(cooldown, resolve_after);
    open.restore(read_open(&state).unwrap_or_default());
    let counts = Arc::new(AlertCounts::default());
    let (queue, findings) = sync_channel(QUEUE);
    let anchor = Arc::<OnceLock<Anchor>>::default();
    let work = Work {
        anchor: Arc::clone(&anchor),
        targets,
        open,
        silences: Silences::open(&state)?,
        state,
        spool,
        counts: Arc::clone(&counts),
        wait: FIRST_WAIT,
        not_before: Instant::now(),
        no_mail_before: Instant::now(),
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
    targets: Targets,
    open: OpenAlerts,
    silences: Silences,
    spool: Spool,
    counts: Arc<AlertCounts>,
    wait: Duration,
    not_before: Instant,
    no_mail_before: Instant,
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

    fn keep(&mut self, alert: &Alert) {
        let destinations: Vec<_> = self.targets.names().collect();
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
        let checkpoint = self.anchor.get().and_then(Anchor::checkpoint);
        let mut mail: Vec<(u64, Alert)> = Vec::new();
        while let Some((number, waiting)) = self.spool.next(from) {
            from = number + 1;
            if broken.contains(&waiting.to) {
                continue;
            }
            if waiting.to == MAIL {
                if mail.len() < MOST_IN_MAIL && Instant::now() >= self.no_mail_before {
                    mail.push((number, waiting.alert));
                }
                continue;
            }
            let sent = self
                .targets
                .send(&waiting.to, &waiting.alert, checkpoint.as_deref());
            self.sent(sent, &waiting.to, &[number], &mut broken);
        }
        if !mail.is_empty() {
            let (numbers, alerts): (Vec<u64>, Vec<Alert>) = mail.into_iter().unzip();
            let sent = self.targets.mail(&alerts, unix_ns(), checkpoint.as_deref());
            if sent.is_ok() {
                self.no_mail_before = Instant::now() + MAIL_WAIT;
            }
            self.sent(sent, MAIL, &numbers, &mut broken);
        }
        self.wait = if broken.is_empty() {
            FIRST_WAIT
        } else {
            self.not_before = Instant::now() + self.wait;
            (self.wait * 2).min(LONGEST_WAIT)
        };
    }

    /// Takes note of what became of deliveries.
    fn sent(&mut self, sent: io::Result<()>, to: &str, numbers: &[u64], broken: &mut Vec<String>) {
        match sent {
            Ok(()) => {
                for number in numbers {
                    self.spool.done(*number);
                }
                self.counts
                    .delivered
                    .fetch_add(numbers.len() as u64, Ordering::Relaxed);
            }
            Err(error) => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(to, %error, "an alert is not delivered yet");
                broken.push(to.to_owned());
            }
        }
    }
}
