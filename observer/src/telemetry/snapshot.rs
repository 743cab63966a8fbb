//! Numbers that others count and the metrics only repeat: the ledger, the probes, the stages.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::capture::{Fates, Proved};
use crate::kernel::{Count, ProbeCost, ProbeOutcome, ProbeStatus, SourceLedger, TlsAttachment};

/// Names of libraries found by signature that have rows of their own: files of containers may say any
/// version of themselves.
const MOST_PROVED: usize = 64;

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Whole = fn(&SourceLedger) -> Count;
type ByReason = fn(&SourceLedger) -> &[(&'static str, Count)];
type Rows = BTreeMap<(&'static str, &'static str), u64>;

/// What was last reported.
#[derive(Debug, Default)]
pub(super) struct Reported {
    pub(super) ledger: Vec<SourceLedger>,
    pub(super) probes: Vec<ProbeStatus>,
    /// What they cost.
    pub(super) costs: Vec<ProbeCost>,
    /// What became of the payload of each process.
    pub(super) processes: BTreeMap<Arc<str>, Fates>,
    /// Connections that are not HTTP, by protocol.
    pub(super) protocols: Vec<(&'static str, u64)>,
    /// Processes with a TLS library: attached, refused.
    pub(super) tls: (u64, u64),
    /// Libraries found by signature, by name and whether they have proved themselves: connections
    /// that have shown it.
    pub(super) proved: BTreeMap<(String, bool), u64>,
    /// Stage and event.
    pub(super) events: Rows,
    /// Stage and table.
    pub(super) entries: Rows,
}

/// Holds the last report and encodes it at each scrape.
#[derive(Debug, Default)]
pub(super) struct Snapshot(Mutex<Reported>);

impl Snapshot {
    pub(super) fn lock(&self) -> MutexGuard<'_, Reported> {
        // Every update is a whole assignment, so what a panicking thread left is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reported {
    pub(super) fn set_proved(&mut self, libraries: Vec<Proved>) {
        self.proved.clear();
        for Proved {
            library,
            connections,
            proved,
        } in libraries
        {
            let key = (library, proved);
            if self.proved.len() < MOST_PROVED || self.proved.contains_key(&key) {
                *self.proved.entry(key).or_default() += connections;
            }
        }
    }

    pub(super) fn set_tls(&mut self, attachments: &[TlsAttachment]) {
        let refused = attachments
            .iter()
            .filter(|tls| tls.refused.is_some())
            .count();
        self.tls = ((attachments.len() - refused) as u64, refused as u64);
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let reported = self.lock();
        let Reported {
            ledger,
            probes,
            costs,
            processes,
            protocols,
            tls,
            proved,
            events,
            entries,
        } = &*reported;
        encode_ledger(&mut encoder, ledger)?;
        encode_processes(&mut encoder, processes)?;

        let help = "Connections found not to be HTTP, by what they speak";
        let rows: Vec<_> = protocols
            .iter()
            .map(|&(protocol, count)| ([("protocol", protocol)], count))
            .collect();
        family(
            &mut encoder,
            "observer_capture_not_http_connections",
            help,
            MetricType::Counter,
            &rows,
        )?;

        let help = "Whether a probe runs: 1 attached, 0 not";
        let attached = probes
            .iter()
            .map(|probe| {
                let required = if probe.required { "yes" } else { "no" };
                let labels = [
                    ("probe", probe.name),
                    ("hook", probe.hook),
                    ("required", required),
                ];
                (labels, u64::from(probe.outcome == ProbeOutcome::Attached))
            })
            .collect::<Vec<_>>();
        family(
            &mut encoder,
            "observer_probe_attached",
            help,
            MetricType::Gauge,
            &attached,
        )?;

        let help = "Share of one processor that a probe used when that was measured last";
        let shares: Vec<_> = costs
            .iter()
            .map(|cost| ([("probe", cost.name.as_str())], cost.processors))
            .collect();
        family(
            &mut encoder,
            "observer_probe_processors",
            help,
            MetricType::Gauge,
            &shares,
        )?;
        let help = "Mean time of one run of a probe when that was measured last";
        let runs: Vec<_> = costs
            .iter()
            .map(|cost| ([("probe", cost.name.as_str())], cost.run))
            .collect();
        family(
            &mut encoder,
            "observer_probe_run_seconds",
            help,
            MetricType::Gauge,
            &runs,
        )?;
        let help = "Calls that the kernel did not run a probe for, because it had stopped another thread inside the probe on the same processor";
        let missed: Vec<_> = costs
            .iter()
            .map(|cost| ([("probe", cost.name.as_str())], cost.missed))
            .collect();
        family(
            &mut encoder,
            "observer_probe_missed_runs",
            help,
            MetricType::Counter,
            &missed,
        )?;

        let help = "Processes that map a TLS library, by whether its plaintext is captured";
        let rows = [
            ([("attached", "yes")], tls.0),
            ([("attached", "no")], tls.1),
        ];
        family(
            &mut encoder,
            "observer_tls_processes",
            help,
            MetricType::Gauge,
            &rows,
        )?;

        let help = "Connections that have shown HTTP to a TLS library found by signature, until it is believed, by whether it is";
        let rows: Vec<_> = proved
            .iter()
            .map(|((library, proved), connections)| {
                let word = if *proved { "yes" } else { "no" };
                (
                    [("library", library.as_str()), ("proved", word)],
                    *connections,
                )
            })
            .collect();
        family(
            &mut encoder,
            "observer_tls_signature_connections",
            help,
            MetricType::Gauge,
            &rows,
        )?;

        let help = "Oddities and drops of the stages";
        let rows = stage_rows(events, "event");
        family(
            &mut encoder,
            "observer_pipeline_events",
            help,
            MetricType::Counter,
            &rows,
        )?;

        let help = "Entries in the bounded tables of the stages";
        let rows = stage_rows(entries, "table");
        family(
            &mut encoder,
            "observer_pipeline_entries",
            help,
            MetricType::Gauge,
            &rows,
        )
    }
}

fn stage_rows(rows: &Rows, key: &'static str) -> Vec<(Labels<2>, u64)> {
    rows.iter()
        .map(|(&(stage, name), &value)| ([("stage", stage), (key, name)], value))
        .collect()
}

fn encode_ledger(
    encoder: &mut DescriptorEncoder<'_>,
    ledger: &[SourceLedger],
) -> Result<(), fmt::Error> {
    let whole: [(&str, &str, Whole); 3] = [
        ("seen", "passed the probes", |source| source.seen),
        ("delivered", "reached the user half", |source| {
            source.delivered
        }),
        (
            "skipped",
            "belonged to bodies that no parser needs",
            |source| source.skipped,
        ),
    ];
    for (name, what, count) in whole {
        let rows: Vec<_> = ledger
            .iter()
            .map(|source| ([("source", source.source)], count(source)))
            .collect();
        ledger_families(encoder, name, what, &rows)?;
    }
    let rows: Vec<_> = ledger
        .iter()
        .map(|source| ([("source", source.source)], source.lost_requests.calls))
        .collect();
    family(
        encoder,
        "observer_capture_lost_requests",
        "Requests among what a full ring cost: their number is known, their content is not",
        MetricType::Counter,
        &rows,
    )?;
    let by_reason: [(&str, &str, ByReason); 2] = [
        ("filtered", "were left out on purpose", |source| {
            &source.filtered
        }),
        ("lost", "were wanted but not delivered", |source| {
            &source.lost
        }),
    ];
    for (name, what, counts) in by_reason {
        let rows: Vec<_> = ledger
            .iter()
            .flat_map(|source| {
                let row =
                    |&(reason, count)| ([("source", source.source), ("reason", reason)], count);
                counts(source).iter().map(row)
            })
            .collect();
        ledger_families(encoder, name, what, &rows)?;
    }
    Ok(())
}

/// Books of connections that ended, by process.
fn encode_processes(
    encoder: &mut DescriptorEncoder<'_>,
    processes: &BTreeMap<Arc<str>, Fates>,
) -> Result<(), fmt::Error> {
    type Rows<'a> = Vec<([(&'static str, &'a str); 2], u64)>;
    let (mut calls, mut bytes, mut ended): (Rows<'_>, Rows<'_>, Rows<'_>) = Default::default();
    let (mut tls_ended, mut tls_bytes): (Rows<'_>, Rows<'_>) = Default::default();
    for (process, fates) in processes {
        let Fates {
            connections,
            connections_with_loss,
            delivered,
            skipped,
            filtered,
            lost,
            tls_read,
            tls_unread,
        } = *fates;
        for (plaintext, count) in [("read", tls_read), ("unread", tls_unread)] {
            let labels = [("process", &**process), ("plaintext", plaintext)];
            tls_ended.push((labels, count.calls));
            tls_bytes.push((labels, count.bytes));
        }
        for (fate, count) in [
            ("delivered", delivered),
            ("skipped", skipped),
            ("filtered", filtered),
            ("lost", lost),
        ] {
            let labels = [("process", &**process), ("fate", fate)];
            calls.push((labels, count.calls));
            bytes.push((labels, count.bytes));
        }
        let whole = connections.saturating_sub(connections_with_loss);
        ended.push(([("process", &**process), ("complete", "yes")], whole));
        let lossy = [("process", &**process), ("complete", "no")];
        ended.push((lossy, connections_with_loss));
    }
    for (name, help, rows) in [
        (
            "observer_process_segments",
            "Segments with payload on connections that ended, by process and what became of them",
            &calls,
        ),
        (
            "observer_process_tls_connections",
            "Connections with TLS that ended, by process and whether their plaintext was read",
            &tls_ended,
        ),
        (
            "observer_process_tls_bytes",
            "Plaintext that was read of those, and bytes of the records of those that were not",
            &tls_bytes,
        ),
        (
            "observer_process_bytes",
            "Payload bytes on connections that ended, by process and what became of them",
            &bytes,
        ),
        (
            "observer_process_connections",
            "Captured connections that ended, by whether all that was wanted of them was delivered",
            &ended,
        ),
    ] {
        family(encoder, name, help, MetricType::Counter, rows)?;
    }
    Ok(())
}

fn ledger_families<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    what: &str,
    rows: &[(Labels<N>, Count)],
) -> Result<(), fmt::Error> {
    let pick = |value: fn(&Count) -> u64| -> Vec<_> {
        rows.iter()
            .map(|(labels, count)| (*labels, value(count)))
            .collect()
    };
    let (calls, bytes) = (pick(|count| count.calls), pick(|count| count.bytes));
    family(
        encoder,
        &format!("observer_capture_{name}"),
        &format!("Segments or library calls that {what}"),
        MetricType::Counter,
        &calls,
    )?;
    family(
        encoder,
        &format!("observer_capture_{name}_bytes"),
        &format!("Payload bytes that {what}"),
        MetricType::Counter,
        &bytes,
    )
}

fn family<const N: usize, V: Copy>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    kind: MetricType,
    rows: &[([(&'static str, &str); N], V)],
) -> Result<(), fmt::Error>
where
    ConstCounter<V>: EncodeMetric,
    ConstGauge<V>: EncodeMetric,
{
    let counter = matches!(kind, MetricType::Counter);
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in rows {
        let row = metric.encode_family(labels)?;
        if counter {
            ConstCounter::new(*value).encode(row)?;
        } else {
            ConstGauge::new(*value).encode(row)?;
        }
    }
    Ok(())
}
