//! Usage: kept beside capture, and the command that reads it.
//!
//! Who judges calls counts and hands over what changed, twice a second; this thread appends it to
//! the file. A slow disk delays the file and nothing else: what changed waits in the tables, which
//! have bounds.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{complain, print};
use crate::call::ApiCall;
use crate::cli::{Exit, UsageCommand};
use crate::export::{UsageReport, harden_json, terminal_text};
use crate::journal::{Batch, Journal, KeptQuota, read};
use crate::usage::{Dimension, Limit, Limits, Meter, Period, Quota};

/// Batches under way.
const UNDER_WAY: usize = 2;
/// Rows of a dimension that are written at a time; what else changed is written the next time. An
/// attacker who rotates names cannot make the disk busy.
const MOST_ROWS: usize = 2048;
/// Width of the table where it goes to no terminal.
const FILE_WIDTH: usize = 140;

/// The end of who judges calls.
#[derive(Debug)]
pub(super) struct UsageSink {
    meter: Meter,
    sender: SyncSender<Batch>,
    waiting: Option<Batch>,
    /// All there is is wanted next.
    whole: Arc<AtomicBool>,
}

/// The thread that writes the file.
#[derive(Debug)]
pub(super) struct UsageThread(JoinHandle<()>);

/// Starts it, and goes on where the last run ended.
pub(super) fn start(state_dir: &Path, limits: &mut Limits) -> io::Result<(UsageSink, UsageThread)> {
    let mut meter = Meter::default();
    match read(state_dir, &mut meter) {
        Ok(None) => {}
        Ok(Some((quotas, damaged))) => {
            if damaged > 0 {
                tracing::warn!(lines = damaged, "usage of the last run is damaged in part");
            }
            restore(&quotas, limits);
        }
        Err(error) => tracing::warn!(%error, "usage starts anew"),
    }
    let (sender, receiver) = sync_channel(UNDER_WAY);
    let whole = Arc::new(AtomicBool::new(true));
    let wanted = Arc::clone(&whole);
    let journal = Journal::new(state_dir);
    let thread = thread::Builder::new()
        .name("usage".to_owned())
        .spawn(move || keep(journal, &receiver, &wanted))?;
    let sink = UsageSink {
        meter,
        sender,
        waiting: None,
        whole,
    };
    Ok((sink, UsageThread(thread)))
}

/// Quotas of limits that are still in the settings.
fn restore(quotas: &[KeptQuota], limits: &mut Limits) {
    let ids: Vec<String> = limits.limits().map(Limit::id).collect();
    for kept in quotas {
        if let Some(limit) = ids.iter().position(|id| *id == kept.limit) {
            limits.restore(&Quota {
                limit,
                name: kept.name.as_str().into(),
                period: kept.period,
                used: kept.used,
            });
        }
    }
}

fn keep(mut journal: Journal, batches: &Receiver<Batch>, whole: &AtomicBool) {
    let mut said = false;
    while let Ok(batch) = batches.recv() {
        match journal.write(&batch) {
            Ok(()) => said = false,
            Err(error) if !said => {
                said = true;
                tracing::warn!(%error, "usage is not saved; it is tried again");
            }
            Err(_) => {}
        }
        if journal.wants_whole() {
            whole.store(true, Ordering::Release);
        }
    }
}

fn kept(limits: &Limits, quotas: Vec<Quota>) -> Vec<KeptQuota> {
    let quotas = quotas.into_iter().filter_map(|quota| {
        let limit = limits.limit(quota.limit)?;
        Some(KeptQuota {
            limit: limit.id(),
            name: quota.name.to_string(),
            period: quota.period,
            used: quota.used,
            most: limit.limit,
        })
    });
    quotas.collect()
}

impl UsageSink {
    pub(super) fn push(&mut self, call: &ApiCall) {
        self.meter.push(call);
    }

    /// Hands over what changed, if the thread is ready for it.
    pub(super) fn flush(&mut self, limits: &mut Limits) {
        let batch = self.waiting.take().or_else(|| {
            let batch = self.batch(limits);
            (!batch.is_empty()).then_some(batch)
        });
        if let Some(batch) = batch
            && let Err(TrySendError::Full(batch)) = self.sender.try_send(batch)
        {
            self.waiting = Some(batch);
        }
    }

    fn batch(&mut self, limits: &mut Limits) -> Batch {
        let whole = self.whole.swap(false, Ordering::AcqRel);
        let mut batch = Batch::of(&mut self.meter, whole, MOST_ROWS);
        let changed = limits.take_changed();
        let quotas = if whole { limits.quotas() } else { changed };
        batch.quotas = kept(limits, quotas);
        batch
    }

    /// Hands over the last of it.
    pub(super) fn finish(mut self, limits: &mut Limits) {
        let waiting = self.waiting.take();
        self.whole.store(true, Ordering::Release);
        let last = self.batch(limits);
        for batch in waiting.into_iter().chain([last]) {
            // A thread that is gone has said why.
            let _ = self.sender.send(batch);
        }
    }

    /// Rows let go because a table was full.
    pub(super) fn evicted(&self) -> u64 {
        self.meter.evicted()
    }

    /// Rows of each dimension.
    pub(super) fn entries(&self) -> [(&'static str, u64); 4] {
        Dimension::ALL.map(|by| (by.as_str(), self.meter.ranking(by).len() as u64))
    }

    /// Callers that a client's address is known to be shared by, up to four.
    pub(super) fn callers_of(&self, client: IpAddr) -> usize {
        self.meter.callers_of(client)
    }
}

impl UsageThread {
    /// Waits for the last write; the sink must be gone.
    pub(super) fn finish(self) {
        if self.0.join().is_err() {
            complain("usage was not saved at the end");
        }
    }
}

/// `observer usage`.
pub(super) fn run(command: &UsageCommand) -> Exit {
    let UsageCommand { dir, json, top, by } = command;
    let mut meter = Meter::default();
    let (quotas, damaged) = match read(dir, &mut meter) {
        Ok(Some(kept)) => kept,
        Ok(None) => {
            complain(&format!(
                "there is no usage in {}: it is counted by `observer run`; --state-dir names the folder",
                dir.display()
            ));
            return Exit::Failed;
        }
        Err(error) => {
            complain(&error.to_string());
            return Exit::Failed;
        }
    };
    if damaged > 0 {
        complain(&format!("{damaged} lines of {} are damaged", dir.display()));
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    let dimensions: Vec<Dimension> = Dimension::ALL
        .into_iter()
        .filter(|one| by.is_none_or(|by| by == *one))
        .collect();
    let report = UsageReport {
        meter: &meter,
        dimensions: &dimensions,
        quotas: &present(quotas, now_ns),
        top: *top,
        now_ns,
    };
    if *json {
        return print(&format!("{}\n", harden_json(&report.json().to_string())));
    }
    let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    let lines = report.text(width.unwrap_or(FILE_WIDTH));
    print(
        &lines
            .lines()
            .map(|line| terminal_text(line) + "\n")
            .collect::<String>(),
    )
}

/// Quotas of periods that are not over, most used first.
fn present(mut quotas: Vec<KeptQuota>, now_ns: u64) -> Vec<KeptQuota> {
    quotas.retain(|quota| {
        let period = quota.limit.split(' ').nth(2).and_then(Period::named);
        period.is_some_and(|period| period.number(now_ns) == quota.period)
    });
    let share =
        |quota: &KeptQuota| u128::from(quota.used) * 1_000_000 / u128::from(quota.most.max(1));
    quotas.sort_by(|a, b| share(b).cmp(&share(a)).then_with(|| a.name.cmp(&b.name)));
    quotas
}
