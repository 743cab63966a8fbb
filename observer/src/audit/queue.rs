//! The bounded queue to the thread that writes the log, and its start.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::anchor::Anchor;
use super::durable::{read_small, replace};
use super::error::AuditError;
use super::log::Log;
use super::own_event::OwnEvent;
use super::search::Indexer;
use super::settings::AuditSettings;
use super::witness::{self, Told};
use super::writer::Writer;
use crate::call::ApiCall;
use crate::detect::Finding;
use crate::kernel::run_behind_others;

/// Batches that may wait. With [`BATCH`] it rides out a disk that stalls for most of a second at
/// 100,000 calls a second.
const MOST_BATCHES: usize = 256;
/// Items in a batch; one that is not full goes when the thread that gives them has no more at hand.
const BATCH: usize = 256;
/// How often new records are indexed, if there are enough of them.
const INDEX_EVERY: Duration = Duration::from_secs(2);

/// What the queue takes.
pub(super) enum Item {
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
    /// Alarms raised: the log is not what a checkpoint or a witness says.
    pub alarms: u64,
    /// Checkpoints that witnesses signed.
    pub cosigned: u64,
    /// Checkpoints that witnesses did not sign.
    pub not_cosigned: u64,
    /// Commits that ended later than [`AuditSettings::commit`] after a record was given.
    pub late_commits: u64,
}

impl AuditCounts {
    /// Name and value of each, for metrics.
    pub fn named(&self) -> [(&'static str, u64); 8] {
        let Self {
            records,
            queue_full,
            disk,
            failed_writes,
            alarms,
            cosigned,
            not_cosigned,
            late_commits,
        } = *self;
        [
            ("records", records),
            ("lost_queue_full", queue_full),
            ("lost_disk", disk),
            ("failed_writes", failed_writes),
            ("alarms", alarms),
            ("cosigned", cosigned),
            ("not_cosigned", not_cosigned),
            ("late_commits", late_commits),
        ]
    }
}

/// Items that were handed over together.
pub(super) struct Batch {
    /// When the first was given.
    pub(super) given: Instant,
    pub(super) items: Vec<Item>,
}

/// Counts of both ends.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) records: AtomicU64,
    pub(super) queue_full: AtomicU64,
    pub(super) disk: AtomicU64,
    pub(super) failed_writes: AtomicU64,
    pub(super) alarms: AtomicU64,
    pub(super) late_commits: AtomicU64,
    pub(super) witnessed: Arc<Told>,
}

/// The end that takes calls; never waits.
pub struct AuditSink {
    gathered: Vec<Item>,
    /// When the first of them was given.
    since: Instant,
    queue: SyncSender<Batch>,
    shared: Arc<Shared>,
    anchor: Anchor,
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
        if self.gathered.is_empty() {
            self.since = Instant::now();
        }
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
        let items = std::mem::replace(&mut self.gathered, Vec::with_capacity(BATCH));
        let count = items.len() as u64;
        let batch = Batch {
            given: self.since,
            items,
        };
        if self.queue.try_send(batch).is_err() {
            self.shared.queue_full.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Where the last checkpoint of the log is, for whoever takes it elsewhere.
    pub fn anchor(&self) -> Anchor {
        self.anchor.clone()
    }

    /// What the log has done so far.
    pub fn counts(&self) -> AuditCounts {
        let Shared {
            records,
            queue_full,
            disk,
            failed_writes,
            alarms,
            late_commits,
            witnessed,
        } = &*self.shared;
        AuditCounts {
            records: records.load(Ordering::Relaxed),
            queue_full: queue_full.load(Ordering::Relaxed),
            disk: disk.load(Ordering::Relaxed),
            failed_writes: failed_writes.load(Ordering::Relaxed),
            alarms: alarms.load(Ordering::Relaxed),
            cosigned: witnessed.cosigned.load(Ordering::Relaxed),
            not_cosigned: witnessed.failed.load(Ordering::Relaxed),
            late_commits: late_commits.load(Ordering::Relaxed),
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
    /// Takes checkpoints to witnesses.
    witness: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl AuditThread {
    /// Waits until everything is written and signed; the sink must have been dropped.
    pub fn finish(self) {
        // First, so that the witnesses get the last checkpoint.
        let written = self.thread.join();
        self.stop.store(true, Ordering::Release);
        self.index.thread().unpark();
        let witnessed = self.witness.map_or(Ok(()), |witness| {
            witness.thread().unpark();
            witness.join()
        });
        if written.is_err() | witnessed.is_err() | self.index.join().is_err() {
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
    let (mut log, opened) = Log::open(&dir, origin, settings.clone(), now)?;
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
        cut_off: opened.cut_off,
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
    let stop = Arc::<AtomicBool>::default();
    let anchor = log.anchor();
    let key = witness::log_key(&dir, log.origin())?;
    let (witnessed, witness) = if settings.witnesses.is_empty() {
        (Arc::default(), None)
    } else {
        let (told, thread) = witness::start(
            &dir,
            key,
            &settings.witnesses,
            settings.witness_every,
            anchor.clone(),
            &stop,
        )?;
        (told, Some(thread))
    };
    let shared = Arc::new(Shared {
        alarms: AtomicU64::new(opened.alarms.len() as u64),
        witnessed,
        ..Shared::default()
    });
    let (queue, items) = sync_channel(MOST_BATCHES);
    let writer = Writer::new(log, &dir, settings, Arc::clone(&shared));
    let thread = thread::Builder::new()
        .name("audit".to_owned())
        .spawn(move || writer.run(&items))?;
    let (told, mut indexer) = (Arc::clone(&stop), Indexer::new(&dir));
    let index = thread::Builder::new()
        .name("audit-index".to_owned())
        .spawn(move || keep_index(&mut indexer, &told))?;
    let sink = AuditSink {
        gathered: Vec::with_capacity(BATCH),
        since: Instant::now(),
        queue,
        shared,
        anchor,
    };
    Ok((
        sink,
        AuditThread {
            thread,
            index,
            witness,
            stop,
        },
    ))
}

/// Indexes what is new until told to stop. A search reads what is not indexed, so that nothing
/// waits for this.
fn keep_index(indexer: &mut Indexer, stop: &AtomicBool) {
    run_behind_others();
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

/// Unix time, milliseconds.
pub(super) fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| {
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
        })
}
