//! The thread that writes the log, and the bounded queue to it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::durable::{read_small, replace};
use super::error::AuditError;
use super::inbox;
use super::log::Log;
use super::ocsf::Ocsf;
use super::own_event::OwnEvent;
use super::search::Indexer;
use super::settings::AuditSettings;
use crate::call::ApiCall;
use crate::detect::Finding;

/// Batches that may wait. With [`BATCH`] it rides out a disk that stalls for most of a second at
/// 100,000 calls a second.
const MOST_BATCHES: usize = 256;
/// Items in a batch; one that is not full goes when the capture thread has no more at hand.
const BATCH: usize = 256;
/// After a write failed, how long until the next try: a full disk does not empty in less.
const RETRY: Duration = Duration::from_secs(1);
/// How often requests of people are looked for.
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// How often new records are indexed, if there are enough of them.
const INDEX_EVERY: Duration = Duration::from_secs(2);

enum Item {
    Call(Box<ApiCall>),
    Finding(Box<Finding>),
    Own(Box<OwnEvent>),
}

/// What the log has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditCounts {
    /// Records written.
    pub records: u64,
    /// Calls and findings that the queue had no room for.
    pub queue_full: u64,
    /// Records that the disk had no room for.
    pub disk: u64,
    /// Times that writing failed.
    pub failed_writes: u64,
}

impl AuditCounts {
    /// Name and value of each, for metrics.
    pub fn named(&self) -> [(&'static str, u64); 4] {
        let Self {
            records,
            queue_full,
            disk,
            failed_writes,
        } = *self;
        [
            ("records", records),
            ("lost_queue_full", queue_full),
            ("lost_disk", disk),
            ("failed_writes", failed_writes),
        ]
    }
}

#[derive(Debug, Default)]
struct Shared {
    records: AtomicU64,
    queue_full: AtomicU64,
    disk: AtomicU64,
    failed_writes: AtomicU64,
}

/// The end that takes calls; never waits.
pub struct AuditSink {
    gathered: Vec<Item>,
    queue: SyncSender<Vec<Item>>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for AuditSink {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("AuditSink")
            .field("gathered", &self.gathered.len())
            .finish_non_exhaustive()
    }
}

impl AuditSink {
    /// Takes a call.
    pub fn call(&mut self, call: ApiCall) {
        self.push(Item::Call(Box::new(call)));
    }

    /// Takes a finding.
    pub fn finding(&mut self, finding: Finding) {
        self.push(Item::Finding(Box::new(finding)));
    }

    /// Hands over what the agent says of itself.
    pub fn own(&mut self, event: OwnEvent) {
        self.push(Item::Own(Box::new(event)));
    }

    fn push(&mut self, item: Item) {
        self.gathered.push(item);
        if self.gathered.len() >= BATCH {
            self.flush();
        }
    }

    /// Hands over what was gathered; without room it is dropped, and the log will say how many.
    pub fn flush(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let batch = std::mem::replace(&mut self.gathered, Vec::with_capacity(BATCH));
        let count = batch.len() as u64;
        if self.queue.try_send(batch).is_err() {
            self.shared.queue_full.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// What the log has done so far.
    pub fn counts(&self) -> AuditCounts {
        let Shared {
            records,
            queue_full,
            disk,
            failed_writes,
        } = &*self.shared;
        AuditCounts {
            records: records.load(Ordering::Relaxed),
            queue_full: queue_full.load(Ordering::Relaxed),
            disk: disk.load(Ordering::Relaxed),
            failed_writes: failed_writes.load(Ordering::Relaxed),
        }
    }
}

impl Drop for AuditSink {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The thread that writes.
#[derive(Debug)]
pub struct AuditThread {
    thread: JoinHandle<()>,
    /// Keeps the index of searches up to date.
    index: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl AuditThread {
    /// Waits until everything is written and signed; the sink must have been dropped.
    pub fn finish(self) {
        self.stop.store(true, Ordering::Release);
        self.index.thread().unpark();
        if self.thread.join().is_err() | self.index.join().is_err() {
            tracing::error!("a thread of the audit log panicked; please report this as a bug");
        }
    }
}

/// Why the log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log cannot be opened.
    #[error("the audit log cannot be opened: {0}")]
    Log(#[from] AuditError),
    /// The thread cannot be started.
    #[error("the audit log has no thread: {0}")]
    Thread(#[from] io::Error),
}

/// Opens the log in `dir` and starts its thread. `settings_sha256` is the hash of the settings in
/// force, in hexadecimal; `origin` names a new log.
///
/// # Errors
/// See [`StartError`].
pub fn start(
    dir: PathBuf,
    origin: &str,
    settings: AuditSettings,
    settings_sha256: String,
) -> Result<(AuditSink, AuditThread), StartError> {
    let now = unix_ms();
    let (mut log, opened) = Log::open(&dir, origin, settings, now)?;
    for alarm in &opened.alarms {
        tracing::error!(?alarm, "the audit log is not as it was left");
        log.append_own(alarm, now)?;
    }
    if opened.dropped_bytes > 0 {
        tracing::warn!(
            bytes = opened.dropped_bytes,
            "the audit log ended inside a record, which was dropped"
        );
    }
    let start = OwnEvent::Start {
        settings: settings_sha256.clone(),
        dropped_bytes: opened.dropped_bytes,
    };
    log.append_own(&start, now)?;
    let hash_path = dir.join("settings.sha256");
    let before = read_small(&hash_path, 256)?;
    let before = before.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    if before.as_deref() != Some(settings_sha256.as_str()) {
        if let Some(before) = before {
            let change = OwnEvent::SettingsChange {
                before,
                now: settings_sha256.clone(),
            };
            log.append_own(&change, now)?;
        }
        replace(&hash_path, settings_sha256.as_bytes(), 0o600)?;
    }
    log.seal(now)?;
    let shared = Arc::new(Shared::default());
    let (queue, items) = sync_channel(MOST_BATCHES);
    let writer = Writer {
        log,
        settings,
        shared: Arc::clone(&shared),
        queue_full_told: 0,
        disk_untold: 0,
        ocsf: Ocsf::default(),
        quiet_since: Instant::now(),
        dir: dir.clone(),
        asked_at: Instant::now(),
        not_before: None,
    };
    let thread = thread::Builder::new()
        .name("audit".to_owned())
        .spawn(move || writer.run(&items))?;
    let stop = Arc::<AtomicBool>::default();
    let (told, mut indexer) = (Arc::clone(&stop), Indexer::new(&dir));
    let index = thread::Builder::new()
        .name("audit-index".to_owned())
        .spawn(move || keep_index(&mut indexer, &told))?;
    let sink = AuditSink {
        gathered: Vec::with_capacity(BATCH),
        queue,
        shared,
    };
    Ok((
        sink,
        AuditThread {
            thread,
            index,
            stop,
        },
    ))
}

/// Indexes what is new until told to stop. A search reads what is not indexed, so that nothing
/// waits for this.
fn keep_index(indexer: &mut Indexer, stop: &AtomicBool) {
    let mut told = false;
    while !stop.load(Ordering::Acquire) {
        if let Err(error) = indexer.extend(&mut || stop.load(Ordering::Acquire))
            && !std::mem::replace(&mut told, true)
        {
            tracing::warn!(%error, "the audit log is not indexed; searches take longer");
        }
        thread::park_timeout(INDEX_EVERY);
    }
}

struct Writer {
    log: Log,
    settings: AuditSettings,
    shared: Arc<Shared>,
    /// Calls that the queue had no room for and that a record tells of.
    queue_full_told: u64,
    /// Records that the disk had no room for and that no record tells of yet.
    disk_untold: u64,
    ocsf: Ocsf,
    quiet_since: Instant,
    dir: PathBuf,
    /// When requests of people were last looked for.
    asked_at: Instant,
    /// Writing failed: not again before this.
    not_before: Option<Instant>,
}

impl Writer {
    fn run(mut self, items: &Receiver<Vec<Item>>) {
        let mut commit_at = Instant::now() + self.settings.commit;
        loop {
            let wait = commit_at.saturating_duration_since(Instant::now());
            let ended = match items.recv_timeout(wait) {
                Ok(batch) => {
                    for item in batch {
                        self.item(&item);
                    }
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if ended {
                self.not_before = None;
                self.losses();
                self.own(&OwnEvent::Stop);
                let sealed = self.log.seal(unix_ms());
                self.outcome(sealed);
                return;
            }
            if Instant::now() >= commit_at {
                self.commit();
                commit_at = Instant::now() + self.settings.commit;
            }
        }
    }

    fn item(&mut self, item: &Item) {
        if self.not_before.is_some() {
            self.shared.disk.fetch_add(1, Ordering::Relaxed);
            self.disk_untold += 1;
            return;
        }
        self.quiet_since = Instant::now();
        let index = self.log.next_index();
        match item {
            Item::Call(call) => {
                let (head, record) = self.ocsf.call(call, index);
                let appended = self.log.append(&head, record.as_bytes());
                self.appended(appended);
                let own = self.log.next_index();
                if let Some((head, record)) = self.ocsf.login(call, own, index) {
                    let appended = self.log.append(&head, record.as_bytes());
                    self.appended(appended);
                }
            }
            Item::Finding(finding) => {
                let (head, record) = self.ocsf.finding(finding, index);
                let appended = self.log.append(&head, record.as_bytes());
                self.appended(appended);
            }
            Item::Own(event) => self.own(event),
        }
    }

    fn appended(&mut self, result: Result<(), AuditError>) {
        self.shared.records.fetch_add(1, Ordering::Relaxed);
        self.outcome(result);
    }

    fn own(&mut self, event: &OwnEvent) {
        let appended = self.log.append_own(event, unix_ms());
        self.shared.records.fetch_add(1, Ordering::Relaxed);
        self.outcome(appended);
    }

    fn commit(&mut self) {
        if self.not_before.is_some_and(|time| Instant::now() < time) {
            return;
        }
        self.not_before = None;
        self.losses();
        if self.quiet_since.elapsed() >= self.settings.heartbeat {
            self.quiet_since = Instant::now();
            self.own(&OwnEvent::Heartbeat);
        }
        let committed = self.log.commit(unix_ms());
        self.outcome(committed);
        if self.asked_at.elapsed() >= ASKED_EVERY {
            self.asked_at = Instant::now();
            for (path, request) in inbox::waiting(&self.dir) {
                let applied = request.apply(&mut self.log, unix_ms());
                if applied.is_ok() {
                    inbox::done(&path);
                }
                self.outcome(applied);
            }
        }
    }

    /// What is missing is said where it is missing.
    fn losses(&mut self) {
        let queue_full = self.shared.queue_full.load(Ordering::Relaxed);
        let untold = queue_full - self.queue_full_told;
        if untold > 0 {
            self.queue_full_told = queue_full;
            self.own(&OwnEvent::Loss {
                records: untold,
                reason: "queue_full",
            });
        }
        if self.disk_untold > 0 {
            let records = std::mem::take(&mut self.disk_untold);
            let index = self.log.next_index();
            self.own(&OwnEvent::Loss {
                records,
                reason: "disk",
            });
            let flushed = self.log.seal(unix_ms());
            if flushed.is_err() && self.log.next_index() <= index {
                // Nor could this be written: it still is to be told.
                self.disk_untold += records;
                let _ = self.log.take_lost();
            }
            self.outcome(flushed);
        }
    }

    /// Takes note of a failure: nothing is tried for a while, and losses are counted.
    fn outcome(&mut self, result: Result<(), AuditError>) {
        let lost = self.log.take_lost();
        if lost > 0 {
            self.disk_untold += lost;
            self.shared.disk.fetch_add(lost, Ordering::Relaxed);
            self.shared.records.fetch_sub(lost, Ordering::Relaxed);
        }
        if let Err(error) = result {
            if self.not_before.is_none() {
                tracing::error!(%error, "the audit log cannot be written; calls are counted as lost until it can");
            }
            self.shared.failed_writes.fetch_add(1, Ordering::Relaxed);
            self.not_before = Some(Instant::now() + RETRY);
        }
    }
}

/// Unix time, milliseconds.
fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| {
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
        })
}
