//! Reads the rings and rebuilds calls, all on one thread.
//!
//! Enters: what the kernel half captured. Leaves: calls, for what names and judges them, and what the
//! kernel half is to leave out from now on. Never: loss in silence. Where capture or judging cannot
//! keep up, the rings fill, and their ledger counts what found no room.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use super::calls_thread::Judged;
use super::judging::Judging;
use super::output::Lines;
use crate::call::{Fingerprints, TrustedProxies};
use crate::capture::{Libraries, Listing, Translator};
use crate::discover::Processes;
use crate::kernel::{
    CaptureFilters, Controls, LedgerReader, Parts, clock_offset_ns, monotonic_ns, run_promptly,
};
use crate::pipeline::{Output, Pipeline, PipelineSettings};
use crate::record::Secrets;
use crate::stream::{ConnId, Input, Position};
use crate::telemetry::Metrics;

/// Longest time an event waits in the ring: what a person or a scrape does not notice, and long
/// enough that a busy host pays for 200 rounds a second and not for one an event.
const POLL: Duration = Duration::from_millis(5);
/// Events between two looks at the clock.
const BATCH: usize = 4096;
/// How often time is passed to the pipeline.
const TICK_NS: u64 = 100_000_000;
/// How often counters are published and the clocks compared.
const PUBLISH_NS: u64 = 500_000_000;

/// What the thread needs from others.
#[derive(Debug)]
pub(super) struct CaptureThread {
    pub(super) parts: Parts,
    pub(super) libraries: Libraries,
    pub(super) calls: Judging<Lines>,
    pub(super) metrics: Metrics,
    pub(super) both_sides: bool,
    /// What is left out; the kernel half has left out most of it.
    pub(super) filters: CaptureFilters,
    pub(super) body_peek: u32,
    pub(super) fingerprints: Fingerprints,
    /// Who has the connections that are open.
    pub(super) listings: Receiver<Listing>,
    pub(super) proxies: Arc<TrustedProxies>,
    pub(super) shown_query_values: Arc<[Box<str>]>,
    /// Where a recording goes, if there is one.
    pub(super) record: Option<(Secrets, Lines)>,
    /// Set when everything is detached: drain what is left and end.
    pub(super) stop: Arc<AtomicBool>,
    /// Set by this thread when it cannot go on.
    pub(super) failed: Arc<AtomicBool>,
}

/// What the thread leaves.
#[derive(Debug)]
pub(super) struct Captured {
    /// Calls by service and route, for people.
    pub(super) summary: String,
    /// Calls.
    pub(super) calls: u64,
    /// Lines that nobody read fast enough.
    pub(super) lines_dropped: u64,
    /// Lines of the recording that could not be written.
    pub(super) recorded_lost: u64,
    /// The books at the end.
    pub(super) ledger: Vec<crate::kernel::SourceLedger>,
}

impl CaptureThread {
    /// Runs until `stop` is set and the rings are empty.
    pub(super) fn run(self) -> Captured {
        let Self {
            parts,
            libraries,
            mut calls,
            metrics,
            both_sides,
            filters,
            body_peek,
            fingerprints,
            listings,
            shown_query_values,
            proxies,
            record,
            stop,
            failed,
        } = self;
        if let Err(error) = run_promptly() {
            tracing::info!(%error, "the capture thread has the usual priority: a busy host may lose events");
        }
        let mut pipeline = Pipeline::new(PipelineSettings {
            clock_offset_ns: clock_offset_ns(),
            both_sides,
            body_peek,
            ..PipelineSettings::default()
        });
        let Parts {
            mut rings,
            ledger,
            controls,
        } = parts;
        let mut gate = Gate {
            controls,
            filters,
            left_out: 0,
            unrecorded: Vec::new(),
        };
        let mut record = record.map(|(secrets, lines)| {
            pipeline.record(secrets);
            lines
        });
        pipeline.set_fingerprints(fingerprints);
        pipeline.show_query_values(shown_query_values);
        pipeline.trust(proxies);
        let mut translator = Translator::new(libraries);
        let mut processes = Processes::new("/proc");
        let mut malformed = 0_u64;
        let (mut ticked, mut published) = (0, 0);
        loop {
            // Read before the wait: what was captured until then is drained below.
            let last_round = stop.load(Ordering::Acquire);
            if !last_round && let Err(error) = rings.wait(POLL) {
                tracing::error!(%error, "the rings cannot be read");
                failed.store(true, Ordering::Release);
                break;
            }
            loop {
                let gate = &mut gate;
                let taken = rings.drain(BATCH, &mut |event| match event {
                    Ok(event) => {
                        translator.push(&event, &mut |pid| processes.resolve(pid), &mut |input| {
                            feed(input, &mut pipeline, &mut calls, gate);
                        });
                    }
                    Err(error) => {
                        if malformed == 0 {
                            tracing::error!(%error, "a ring holds an event that is none");
                        }
                        malformed += 1;
                    }
                });
                if taken < BATCH {
                    break;
                }
            }
            let now = monotonic_ns();
            let ticks = now - ticked >= TICK_NS || last_round;
            if ticks {
                ticked = now;
                if let Ok(listing) = listings.try_recv() {
                    translator.set_listing(listing);
                }
                let gate = &mut gate;
                translator.tick(now, &mut |input| {
                    feed(input, &mut pipeline, &mut calls, gate);
                });
                pipeline.tick(now, &mut |output| take(output, &mut calls, gate));
            }
            if last_round {
                let gate = &mut gate;
                pipeline.finish(now, &mut |output| take(output, &mut calls, gate));
            }
            if let Some(record) = &mut record {
                gate.forget_recorded(&mut pipeline);
                for line in pipeline
                    .take_recorded()
                    .split_inclusive(|byte| *byte == b'\n')
                {
                    // The queue takes lines without failing; a reader that is gone shows as
                    // `broken`.
                    let _ = record.write_all(line);
                }
                let _ = record.flush();
            }
            if now - published >= PUBLISH_NS || last_round {
                published = now;
                pipeline.set_clock_offset(clock_offset_ns());
                let counts = [
                    ("malformed_event", malformed),
                    ("calls_waited_for", calls.waits()),
                ];
                let lost = publish(&metrics, &ledger, &gate, &translator, &pipeline, counts);
                calls.round(Some(lost));
            } else if ticks || calls.has_gathered() {
                calls.round(None);
            }
            if calls.is_gone() {
                failed.store(true, Ordering::Release);
                break;
            }
            if last_round {
                break;
            }
        }
        let ledger = ledger.read().unwrap_or_default();
        let Judged {
            summary,
            calls,
            out,
        } = calls.finish();
        Captured {
            summary,
            calls,
            lines_dropped: out.dropped(),
            recorded_lost: record.map_or(0, |lines| lines.dropped()),
            ledger,
        }
    }
}

/// What goes back to the kernel half, and what is left out here.
struct Gate {
    controls: Controls,
    filters: CaptureFilters,
    /// Calls that a filter left out late.
    left_out: u64,
    /// Connections that are not to be recorded.
    unrecorded: Vec<ConnId>,
}

impl Gate {
    fn forget_recorded(&mut self, pipeline: &mut Pipeline) {
        for conn in self.unrecorded.drain(..) {
            pipeline.forget_recorded(conn);
        }
    }
}

/// The numbers of TLS objects have their top bit set, socket cookies never.
const fn is_plaintext(id: u64) -> bool {
    id >> 63 != 0
}

fn feed(input: Input<'_>, pipeline: &mut Pipeline, calls: &mut Judging<Lines>, gate: &mut Gate) {
    if let Input::Closed {
        conn: ConnId(id), ..
    } = input
    {
        if is_plaintext(id) {
            gate.controls.forget_plaintext(id);
        } else {
            gate.controls.forget(id);
        }
    }
    pipeline.push(input, &mut |output| take(output, calls, gate));
    gate.forget_recorded(pipeline);
}

fn take(output: Output, calls: &mut Judging<Lines>, gate: &mut Gate) {
    let controls = &mut gate.controls;
    match output {
        Output::Call(call) if gate.filters.leaves_out(&call) => {
            gate.left_out += 1;
            gate.unrecorded.push(call.conn);
            let ConnId(id) = call.conn;
            if is_plaintext(id) {
                controls.stop_plaintext(id);
            } else {
                controls.stop(id);
            }
        }
        Output::Call(call) => calls.call(call),
        Output::Skip {
            conn: ConnId(id),
            direction,
            until,
        } => match until {
            Position::Seq(until) => controls.skip(id, direction, until),
            Position::Offset(until) => controls.skip_plaintext(id, direction, until),
        },
        Output::Verdict { verdict, .. } if verdict.is_http() => {}
        Output::Verdict {
            conn: ConnId(id), ..
        } => {
            if is_plaintext(id) {
                controls.stop_plaintext(id);
            } else {
                controls.stop(id);
            }
        }
        Output::Disputed { conn: ConnId(id) } => {
            if is_plaintext(id) {
                controls.take_whole_plaintext(id);
            } else {
                controls.take_whole(id);
            }
        }
        Output::Duplicate { conn } => {
            controls.duplicate(conn.0);
            gate.unrecorded.push(conn);
        }
    }
}

/// Tells the metrics; returns how many segments and library calls were lost so far.
fn publish(
    metrics: &Metrics,
    ledger: &LedgerReader,
    gate: &Gate,
    translator: &Translator,
    pipeline: &Pipeline,
    more: [(&'static str, u64); 2],
) -> u64 {
    let mut lost = 0;
    match ledger.read() {
        Ok(books) => {
            metrics.set_ledger(&books);
            let all = books.iter().flat_map(|source| &source.lost);
            lost = all.map(|(_, count)| count.calls).sum();
        }
        Err(error) => tracing::warn!(%error, "the ledger cannot be read"),
    }
    let counts = translator.counts();
    match ledger.protocols() {
        Ok(protocols) => metrics.set_protocols(&protocols),
        Err(error) => tracing::warn!(%error, "the counts of protocols cannot be read"),
    }
    metrics.set_processes(translator.books());
    metrics.set_proved(translator.proved());
    metrics.set_pipeline("capture", &more);
    metrics.set_pipeline(
        "capture",
        &[
            ("control_failed", gate.controls.failed()),
            ("tls_streams", counts.tls_streams),
            ("tls_bound_nested", counts.tls_bound_nested),
            ("tls_bound_matched", counts.tls_bound_matched),
            ("tls_left_out", counts.tls_left_out),
            ("tls_unproved", counts.tls_unproved),
            ("calls_left_out", gate.left_out),
            ("table_full", counts.tables_full),
            ("embryo_lost", counts.embryos_lost),
            ("connection_not_recorded", pipeline.not_recorded()),
        ],
    );
    let (sockets, streams) = translator.entries();
    metrics.set_entries(
        "capture",
        &[
            ("tls_sockets", sockets as u64),
            ("tls_streams", streams as u64),
        ],
    );
    for (stage, name, _, value) in pipeline.counts().rows() {
        metrics.set_pipeline(stage, &[(name, value)]);
    }
    lost
}
