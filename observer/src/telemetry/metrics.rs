//! The registry and all that is in it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::exposition::{Exposition, to_text};
use super::process::ProcessCollector;
use super::recorder::Recorder;
use super::snapshot::Snapshot;
use crate::capture::{Fates, Proved};
use crate::detect::RULES;
use crate::kernel::{ProbeCost, ProbeOutcome, ProbeStatus, SourceLedger, TlsAttachment};

/// Bounds of the duration buckets, seconds: those that OpenTelemetry advises for HTTP, and three
/// below them, because calls on one host are faster than that.
const DURATION_BUCKETS: [f64; 17] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CallLabels {
    pub(super) service: Arc<str>,
    pub(super) role: &'static str,
    pub(super) method: &'static str,
    pub(super) route: Arc<str>,
    pub(super) status_class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DurationLabels {
    pub(super) service: Arc<str>,
    pub(super) method: &'static str,
    pub(super) route: Arc<str>,
    pub(super) status_class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ServiceLabels {
    pub(super) service: Arc<str>,
    pub(super) role: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AuthLabels {
    pub(super) service: Arc<str>,
    pub(super) scheme: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RuleLabels {
    pub(super) rule: Cow<'static, str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// The metrics that are counted here, and what every recorder shares.
#[derive(Debug)]
pub(super) struct Families {
    pub(super) server_duration: Family<DurationLabels, Histogram, fn() -> Histogram>,
    pub(super) client_duration: Family<DurationLabels, Histogram, fn() -> Histogram>,
    pub(super) calls: Family<CallLabels, Counter>,
    pub(super) request_bytes: Family<ServiceLabels, Counter>,
    pub(super) response_bytes: Family<ServiceLabels, Counter>,
    pub(super) auth: Family<AuthLabels, Counter>,
    pub(super) findings: Family<RuleLabels, Counter>,
    pub(super) folded: Counter,
    /// Label sets of calls and of authentication that were created.
    pub(super) call_series: AtomicUsize,
    pub(super) auth_series: AtomicUsize,
}

/// The agent's metrics. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    families: Arc<Families>,
    snapshot: Arc<Snapshot>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn duration_histogram() -> Histogram {
    Histogram::new(DURATION_BUCKETS)
}

impl Metrics {
    /// Metrics that count nothing yet.
    pub fn new() -> Self {
        let families = Families {
            server_duration: Family::new_with_constructor(duration_histogram),
            client_duration: Family::new_with_constructor(duration_histogram),
            calls: Family::default(),
            request_bytes: Family::default(),
            response_bytes: Family::default(),
            auth: Family::default(),
            findings: Family::default(),
            folded: Counter::default(),
            call_series: AtomicUsize::new(0),
            auth_series: AtomicUsize::new(0),
        };
        for rule in RULES {
            let rule = rule.name.into();
            drop(families.findings.get_or_create(&RuleLabels { rule }));
        }
        let build = Family::<BuildLabels, Gauge>::default();
        build
            .get_or_create(&BuildLabels {
                version: env!("CARGO_PKG_VERSION"),
            })
            .set(1);
        let snapshot = Arc::new(Snapshot::default());

        let mut registry = Registry::default();
        registry.register(
            "http_server_request_duration_seconds",
            "Time from the first request byte to the last response byte of calls that came in",
            families.server_duration.clone(),
        );
        registry.register(
            "http_client_request_duration_seconds",
            "Time from the first request byte to the last response byte of calls that went out",
            families.client_duration.clone(),
        );
        registry.register("observer_calls", "API calls", families.calls.clone());
        registry.register(
            "observer_request_body_bytes",
            "Body bytes of requests",
            families.request_bytes.clone(),
        );
        registry.register(
            "observer_response_body_bytes",
            "Body bytes of responses",
            families.response_bytes.clone(),
        );
        registry.register(
            "observer_auth",
            "API calls by kind of credential and what became of it",
            families.auth.clone(),
        );
        registry.register("observer_findings", "Detections", families.findings.clone());
        registry.register(
            "observer_metric_series_folded",
            "API calls counted under {other} because the cap on series was reached",
            families.folded.clone(),
        );
        registry.register("observer_build_info", "Version of the agent", build);
        registry.register_collector(Box::new(Arc::clone(&snapshot)));
        registry.register_collector(Box::new(ProcessCollector));
        Self {
            registry: Arc::new(registry),
            families: Arc::new(families),
            snapshot,
        }
    }

    /// A recorder for one thread. Recorders count into the same metrics.
    pub fn recorder(&self) -> Recorder {
        Recorder::new(Arc::clone(&self.families))
    }

    /// Repeats the ledger; call it before a scrape or every second.
    pub fn set_ledger(&self, ledger: &[SourceLedger]) {
        self.snapshot.lock().ledger = ledger.to_vec();
    }

    /// The ledger as it was told last.
    pub fn ledger(&self) -> Vec<SourceLedger> {
        self.snapshot.lock().ledger.clone()
    }

    /// Repeats the outcome of the probes.
    pub fn set_probes(&self, probes: &[ProbeStatus]) {
        // Of probes that do the same work, the one that runs.
        let here = |probe: &&ProbeStatus| !matches!(probe.outcome, ProbeOutcome::Replaced(_));
        self.snapshot.lock().probes = probes.iter().filter(here).cloned().collect();
    }

    /// Repeats which processes have a TLS library, attached or not.
    pub fn set_tls(&self, attachments: &[TlsAttachment]) {
        self.snapshot.lock().set_tls(attachments);
    }

    /// Repeats which libraries were found by signature, and what they have shown.
    pub fn set_proved(&self, libraries: Vec<Proved>) {
        self.snapshot.lock().set_proved(libraries);
    }

    /// Repeats what each probe cost when that was measured last.
    pub fn set_costs(&self, costs: Vec<ProbeCost>) {
        self.snapshot.lock().costs = costs;
    }

    /// Repeats what became of the payload of each process.
    pub fn set_processes<'a>(&self, lines: impl Iterator<Item = (&'a Arc<str>, &'a Fates)>) {
        let lines = lines.map(|(name, fates)| (Arc::clone(name), *fates));
        self.snapshot.lock().processes = lines.collect();
    }

    /// Repeats how many connections were found to speak something else, by what it is.
    pub fn set_protocols(&self, protocols: &[(&'static str, u64)]) {
        self.snapshot.lock().protocols = protocols.to_vec();
    }

    /// Repeats the counters of one stage: oddities and drops, by name, since the start.
    pub fn set_pipeline(&self, stage: &'static str, events: &[(&'static str, u64)]) {
        let mut reported = self.snapshot.lock();
        reported
            .events
            .extend(events.iter().map(|&(event, count)| ((stage, event), count)));
    }

    /// Repeats how many entries the tables of one stage hold now, by name.
    pub fn set_entries(&self, stage: &'static str, tables: &[(&'static str, u64)]) {
        let mut reported = self.snapshot.lock();
        reported
            .entries
            .extend(tables.iter().map(|&(table, count)| ((stage, table), count)));
    }

    /// Everything as text.
    ///
    /// # Errors
    /// None in practice: a `String` takes all that is written to it.
    pub fn encode(&self, format: Exposition) -> Result<String, fmt::Error> {
        let mut out = String::with_capacity(16 * 1024);
        text::encode(&mut out, &self.registry)?;
        Ok(match format {
            Exposition::OpenMetrics => out,
            Exposition::Text => to_text(&out),
        })
    }
}
