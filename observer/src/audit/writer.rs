//! The thread that writes the log: takes calls from the queue until it ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::error::AuditError;
use super::inbox;
use super::log::Log;
use super::ocsf::Ocsf;
use super::own_event::OwnEvent;
use super::pace::{Late, Pace};
use super::queue::{Batch, Item, Shared, unix_ms};
use super::record_head::RecordHead;
use super::sampling::Sampling;
use super::sealing::Sealer;
use super::settings::AuditSettings;
use crate::kernel::run_promptly;

/// After a write failed, how long until the next try: a full disk does not empty in less.
const RETRY: Duration = Duration::from_secs(1);
/// How often requests of people are looked for.
const ASKED_EVERY: Duration = Duration::from_secs(1);
/// How often the log says how many calls were left out: what a kill can make unsaid.
const LEFT_OUT_EVERY: Duration = Duration::from_secs(10);

/// How often the log says that commits took too long.
const LATE_EVERY: Duration = Duration::from_secs(10);

/// The writing end.
pub(super) struct Writer {
    log: Log,
    settings: AuditSettings,
    shared: Arc<Shared>,
    /// Calls that the queue had no room for and that a record tells of.
    queue_full_told: u64,
    /// Records that the disk had no room for and that no record tells of yet.
    disk_untold: u64,
    ocsf: Ocsf,
    sampling: Sampling,
    sealer: Option<Sealer>,
    pace: Pace,
    /// Commits that took too long and that no record tells of yet.
    late: Late,
    late_at: Instant,
    /// When calls left out were last told of.
    left_out_at: Instant,
    quiet_since: Instant,
    dir: PathBuf,
    /// When requests of people were last looked for.
    asked_at: Instant,
    /// Writing failed: not again before this.
    not_before: Option<Instant>,
}

impl Writer {
    pub(super) fn new(log: Log, dir: &Path, settings: AuditSettings, shared: Arc<Shared>) -> Self {
        let now = Instant::now();
        Self {
            log,
            sampling: Sampling::new(&settings.sample),
            sealer: Sealer::new(dir, &settings.readers),
            pace: Pace::new(settings.commit, now),
            late: Late::default(),
            late_at: now,
            settings,
            shared,
            queue_full_told: 0,
            disk_untold: 0,
            ocsf: Ocsf::default(),
            left_out_at: now,
            quiet_since: now,
            dir: dir.to_owned(),
            asked_at: now,
            not_before: None,
        }
    }

    pub(super) fn run(mut self, batches: &Receiver<Batch>) {
        if let Err(error) = run_promptly() {
            tracing::info!(%error, "the audit log's thread has the usual priority: on a busy host commits may be late");
        }
        self.renew_key();
        loop {
            let wait = self.pace.due().saturating_duration_since(Instant::now());
            match batches.recv_timeout(wait) {
                Ok(Batch { given, items }) => {
                    self.pace.given(given);
                    for item in items {
                        self.item(&item);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.end();
                    return;
                }
            }
            if Instant::now() >= self.pace.due() {
                self.commit();
            }
        }
    }

    fn end(&mut self) {
        self.not_before = None;
        self.losses();
        self.left_out();
        self.late();
        self.own(&OwnEvent::Stop);
        let sealed = self.log.seal(unix_ms());
        self.outcome(sealed);
    }

    fn item(&mut self, item: &Item) {
        if self.not_before.is_some() {
            self.shared.disk.fetch_add(1, Ordering::Relaxed);
            self.disk_untold += 1;
            return;
        }
        if let Item::Call(call) = item
            && !self.sampling.keeps(call)
        {
            return;
        }
        self.quiet_since = Instant::now();
        match item {
            Item::Call(call) => {
                let index = self.log.next_index();
                let Self {
                    ocsf, log, sealer, ..
                } = &mut *self;
                let (head, record) = ocsf.call(call, index);
                let appended = append(log, sealer.as_mut(), &head, record);
                self.appended(appended);
                let own = self.log.next_index();
                let Self {
                    ocsf, log, sealer, ..
                } = &mut *self;
                if let Some((head, record)) = ocsf.login(call, own, index) {
                    let appended = append(log, sealer.as_mut(), &head, record);
                    self.appended(appended);
                }
            }
            Item::Finding(finding) => {
                let index = self.log.next_index();
                let Self {
                    ocsf, log, sealer, ..
                } = &mut *self;
                let (head, record) = ocsf.finding(finding, index);
                let appended = append(log, sealer.as_mut(), &head, record);
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
        let began = Instant::now();
        if self.not_before.is_some_and(|time| began < time) {
            // Nothing is promised of what is counted as lost.
            self.pace = Pace::new(self.settings.commit, began);
            return;
        }
        self.not_before = None;
        self.losses();
        if self.left_out_at.elapsed() >= LEFT_OUT_EVERY {
            self.left_out();
        }
        if self.late_at.elapsed() >= LATE_EVERY {
            self.late();
        }
        for alarm in self.shared.witnessed.alarms() {
            self.shared.alarms.fetch_add(1, Ordering::Relaxed);
            self.own(&alarm);
        }
        if self.quiet_since.elapsed() >= self.settings.heartbeat {
            self.quiet_since = Instant::now();
            self.own(&OwnEvent::Heartbeat);
        }
        let committed = self.log.persist(unix_ms());
        if let Some(late) = self.pace.committed(began, Instant::now()) {
            let commits = late.commits;
            self.shared
                .late_commits
                .fetch_add(commits, Ordering::Relaxed);
            self.late.add(late);
        }
        let good = committed.is_ok();
        self.outcome(committed);
        if good {
            self.chores(began);
        }
    }

    /// What can wait until everything that was given is safe: as much as fits before the next
    /// commit, and one thing at least.
    fn chores(&mut self, began: Instant) {
        let until = self.pace.free_until(began);
        loop {
            match self.log.chore(unix_ms()) {
                Ok(true) if Instant::now() < until => {}
                Ok(true) => return,
                Ok(false) => break,
                Err(error) => {
                    self.outcome(Err(error));
                    return;
                }
            }
        }
        self.renew_key();
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

    /// Says how many commits took too long.
    fn late(&mut self) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.late_at = Instant::now();
        let Late { commits, worst } = std::mem::take(&mut self.late);
        if commits > 0 {
            self.own(&OwnEvent::CommitLate {
                commits,
                worst_ms: millis(worst),
                window_ms: millis(self.settings.commit),
            });
        }
    }

    /// Records are sealed with a new key when it is time.
    fn renew_key(&mut self) {
        match self.sealer.as_mut().map(|sealer| sealer.renew(unix_ms())) {
            Some(Ok(Some(event))) => self.own(&event),
            Some(Err(error)) => self.outcome(Err(error)),
            Some(Ok(None)) | None => {}
        }
    }

    /// How many calls the rules left out.
    fn left_out(&mut self) {
        self.left_out_at = Instant::now();
        for (rule, calls) in self.sampling.take_left_out() {
            self.own(&OwnEvent::LeftOut { rule, calls });
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

/// Appends a record, sealed if there are readers it is for. What cannot be sealed is lost.
fn append(
    log: &mut Log,
    sealer: Option<&mut Sealer>,
    head: &RecordHead,
    record: &str,
) -> Result<(), AuditError> {
    let Some(sealer) = sealer else {
        return log.append(head, record.as_bytes());
    };
    match sealer.seal(head, log.next_index(), record.as_bytes()) {
        Some(sealed) => log.append(head, sealed.as_bytes()),
        None => {
            log.lose(1);
            Ok(())
        }
    }
}
