//! Finds TLS libraries as processes map them, and attaches probes once for each file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};

use super::probe_watch::ProbeWatch;
use crate::capture::Libraries;
use crate::discover::placement::LibraryPlan;
use crate::discover::{Candidate, FileId, Finding, Target, TlsLibraries};
use crate::kernel::{
    AttachedLibrary, Kernel, ProcessEvent, ProcessEvents, TlsAttachment, wait_readable,
};

/// How long the thread sleeps when nothing happens.
const ROUND: Duration = Duration::from_millis(50);
/// Least time between two looks at new mappings. A program has mapped its library and made its
/// first connection within a few milliseconds at the earliest; what starts hundreds of programs a
/// second must not wake the agent for each.
const PACE: Duration = Duration::from_millis(5);
/// How often every process is looked at anyway: catches what was missed, finds files that nobody
/// maps any more.
const FULL_SCAN: Duration = Duration::from_secs(30);
/// The same where process events are not to be had: a new library is then found within this.
const FULL_SCAN_BLIND: Duration = Duration::from_millis(700);
/// Processes whose name is kept for the report.
const MOST_REPORTED: usize = 4096;
/// Mapped files known to hold no TLS library; a host has a few thousand. Full, it starts anew.
const MOST_PLAIN: usize = 16_384;

/// Probes on one file.
#[derive(Debug)]
struct Probed {
    plan: Arc<LibraryPlan>,
    outcome: Result<AttachedLibrary, String>,
}

/// A TLS library of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    /// As its memory map names it.
    file: FileId,
    target: Target,
    told: TlsAttachment,
}

/// The libraries found, and the probes on them.
#[derive(Debug)]
pub(super) struct LibraryProbes {
    kernel: Kernel,
    found: TlsLibraries,
    numbers: Libraries,
    probed: HashMap<Target, Probed>,
    /// Files that a process would map next, whether one has or not.
    installed: HashSet<Target>,
    /// Every process with a TLS library.
    report: HashMap<u32, Vec<Row>>,
    /// Files without a TLS library: mapping one asks for nothing.
    plain: HashSet<FileId>,
    changed: bool,
}

impl LibraryProbes {
    pub(super) fn new(kernel: Kernel, numbers: Libraries) -> Self {
        Self {
            kernel,
            found: TlsLibraries::new("/proc"),
            numbers,
            probed: HashMap::new(),
            installed: HashSet::new(),
            report: HashMap::new(),
            plain: HashSet::new(),
            changed: true,
        }
    }

    /// Looks at every process.
    pub(super) fn scan_all(&mut self) {
        let pids = match self.found.processes() {
            Ok(pids) => pids,
            Err(error) => {
                tracing::warn!(%error, "/proc cannot be listed: new TLS libraries are not found");
                return;
            }
        };
        self.attach_installed(&pids);
        let alive: HashSet<u32> = pids.iter().copied().collect();
        for pid in pids {
            self.scan(pid);
        }
        let before = self.report.len();
        self.report.retain(|pid, _| alive.contains(pid));
        self.changed |= before != self.report.len();
        self.detach_unused();
    }

    /// Probes what no process need have mapped: one that is over within milliseconds is over
    /// before it can be looked at.
    fn attach_installed(&mut self, pids: &[u32]) {
        let candidates = self.found.installed(pids);
        self.installed = candidates.iter().map(|it| it.target).collect();
        for candidate in &candidates {
            if let Finding::Plan(plan) = &candidate.finding {
                self.attach_once(candidate, plan);
            }
        }
    }

    /// Looks at one process.
    pub(super) fn scan(&mut self, pid: u32) {
        let candidates = self.found.scan_process(pid);
        let rows: Vec<_> = candidates
            .iter()
            .map(|candidate| Row {
                file: candidate.file,
                target: candidate.target,
                told: self.attach(pid, candidate),
            })
            .collect();
        if rows.is_empty() {
            self.forget(pid);
            return;
        }
        if self.report.len() >= MOST_REPORTED && !self.report.contains_key(&pid) {
            return;
        }
        if self.report.get(&pid) != Some(&rows) {
            self.report.insert(pid, rows);
            self.changed = true;
        }
    }

    /// What of `files` holds no TLS library need not be looked at in the next process.
    fn learn_plain(&mut self, pid: u32, files: Vec<FileId>) {
        if self.plain.len() + files.len() > MOST_PLAIN {
            self.plain.clear();
        }
        let rows = self.report.get(&pid).map(Vec::as_slice).unwrap_or_default();
        let plain = files
            .into_iter()
            .filter(|file| rows.iter().all(|row| row.file != *file));
        self.plain.extend(plain);
    }

    /// A child has what its parent has mapped.
    fn forked(&mut self, pid: u32, parent: u32) {
        let Some(rows) = self.report.get(&parent) else {
            return;
        };
        let rows = rows
            .iter()
            .map(|row| {
                let mut row = row.clone();
                row.told.pid = pid;
                row
            })
            .collect();
        if self.report.len() < MOST_REPORTED {
            self.report.insert(pid, rows);
            self.changed = true;
        }
    }

    /// The process is gone.
    pub(super) fn forget(&mut self, pid: u32) {
        self.changed |= self.report.remove(&pid).is_some();
    }

    fn attach(&mut self, pid: u32, candidate: &Candidate) -> TlsAttachment {
        let (library, plan, refused) = match &candidate.finding {
            Finding::Refused(refusal) => {
                let reason = Some(refusal.reason.clone());
                (refusal.library.clone(), None, reason)
            }
            Finding::Plan(plan) => {
                self.attach_once(candidate, plan);
                let refused = match self.probed.get(&candidate.target) {
                    Some(probed) => probed.outcome.as_ref().err().cloned(),
                    None => Some("the process ended before its file could be opened".to_owned()),
                };
                (plan.library.clone(), Some(Arc::clone(plan)), refused)
            }
        };
        TlsAttachment {
            pid,
            process: name(pid),
            library,
            path: candidate.path.clone(),
            plan,
            refused,
        }
    }

    fn attach_once(&mut self, candidate: &Candidate, plan: &Arc<LibraryPlan>) {
        let known = self.probed.get(&candidate.target);
        if known.is_none_or(|probed| probed.plan != *plan) {
            self.attach_file(candidate, plan);
        }
    }

    fn attach_file(&mut self, candidate: &Candidate, plan: &Arc<LibraryPlan>) {
        if let Some(before) = self.probed.remove(&candidate.target) {
            AttachedLibrary::detach_all(before.outcome);
        }
        let number = self.numbers.number(plan);
        // Gone with its process: the next that maps it will do.
        let Ok(file) = candidate.open() else {
            return;
        };
        let outcome = self.kernel.attach_library(&file, plan, number);
        match &outcome {
            Ok(_) => {
                tracing::info!(
                    library = plan.library,
                    path = candidate.path,
                    "TLS probes attached"
                );
                for note in &plan.notes {
                    tracing::info!(path = candidate.path, "{note}");
                }
            }
            Err(reason) => {
                tracing::warn!(
                    library = plan.library,
                    path = candidate.path,
                    reason,
                    "TLS probes not attached"
                );
            }
        }
        self.probed.insert(
            candidate.target,
            Probed {
                plan: Arc::clone(plan),
                outcome,
            },
        );
    }

    /// Takes probes off files that no process maps any more, nor would, so that the file can be
    /// freed.
    fn detach_unused(&mut self) {
        if self.report.len() >= MOST_REPORTED {
            // The report is not complete, so a file that is not in it may well be in use.
            return;
        }
        let used: HashSet<Target> = self
            .report
            .values()
            .flatten()
            .map(|row| row.target)
            .chain(self.installed.iter().copied())
            .collect();
        let unused = self.probed.extract_if(|target, _| !used.contains(target));
        AttachedLibrary::detach_all(unused.filter_map(|(_, probed)| probed.outcome.ok()));
    }

    /// The report if it changed since it was last asked for: by process, sorted.
    pub(super) fn report_if_changed(&mut self) -> Option<Vec<TlsAttachment>> {
        std::mem::take(&mut self.changed).then(|| self.report())
    }

    /// Every process with a TLS library, sorted.
    pub(super) fn report(&self) -> Vec<TlsAttachment> {
        let mut rows: Vec<_> = self
            .report
            .values()
            .flatten()
            .map(|row| row.told.clone())
            .collect();
        rows.sort_by(|a, b| (a.pid, &a.path).cmp(&(b.pid, &b.path)));
        rows
    }

    /// The kernel half.
    pub(super) const fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Only watches the probes, until `stop` is set.
    pub(super) fn run_without_tls(mut self, stop: &AtomicBool, mut watch: ProbeWatch) {
        while !stop.load(Ordering::Acquire) {
            std::thread::sleep(ROUND);
            watch.tick(&mut self.kernel);
        }
    }

    /// Watches processes until `stop` is set, then takes every probe off.
    pub(super) fn run(
        mut self,
        stop: &AtomicBool,
        mut watch: ProbeWatch,
        publish: &mut impl FnMut(&[TlsAttachment]),
    ) {
        let mut events = ProcessEvents::open()
            .map_err(|error| {
                tracing::warn!(%error, "processes are looked at every {FULL_SCAN_BLIND:?} instead");
            })
            .ok();
        // What was mapped between the first scan and the start of the events.
        self.scan_all();
        let (mut scanned, mut looked) = (Instant::now(), Instant::now());
        let mut due: HashMap<u32, Vec<FileId>> = HashMap::new();
        while !stop.load(Ordering::Acquire) {
            if let Some(report) = self.report_if_changed() {
                publish(&report);
            }
            watch.tick(&mut self.kernel);
            wait_readable(events.iter().flat_map(ProcessEvents::fds), ROUND);
            std::thread::sleep(PACE.saturating_sub(looked.elapsed()));
            looked = Instant::now();
            let mut lost = false;
            if let Some(events) = &mut events {
                events.drain(&mut |event| match event {
                    ProcessEvent::Mapped {
                        pid, dev, inode, ..
                    } => {
                        let file = FileId { dev, inode };
                        if !self.plain.contains(&file) {
                            due.entry(pid).or_default().push(file);
                        }
                    }
                    ProcessEvent::Forked { pid, parent } => self.forked(pid, parent),
                    // Its old mappings are gone; those of the new program follow.
                    ProcessEvent::Exec { pid } => self.forget(pid),
                    ProcessEvent::Exited { pid } => {
                        due.remove(&pid);
                        self.forget(pid);
                    }
                    ProcessEvent::Lost { .. } => lost = true,
                });
            }
            for (pid, files) in due.drain() {
                self.scan(pid);
                self.learn_plain(pid, files);
            }
            let every = if events.is_some() {
                FULL_SCAN
            } else {
                FULL_SCAN_BLIND
            };
            if lost || scanned.elapsed() >= every {
                self.scan_all();
                scanned = Instant::now();
            }
        }
    }
}

impl Drop for LibraryProbes {
    /// Takes every probe off.
    fn drop(&mut self) {
        let all = self.probed.drain();
        AttachedLibrary::detach_all(all.filter_map(|(_, probed)| probed.outcome.ok()));
    }
}

fn name(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .map(|name| name.trim_end().to_owned())
        .unwrap_or_default()
}
