//! What happens to a call once it is rebuilt: named, judged, counted, shown.

use std::io::Write;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::audit_watch::AuditWatch;
use super::blocking::Blocking;
use super::inventory::{self, InventorySink};
use super::limits;
use super::rules::RuleNews;
use super::usage::UsageSink;
use crate::alert::AlertSink;
use crate::audit::{AuditSink, OwnEvent};
use crate::call::ApiCall;
use crate::catalog::Catalog;
use crate::config::{Format, Settings};
use crate::detect::{Detector, Finding, Judge, Posture, Proofs};
use crate::export::{Jsonl, Style, Table};
use crate::inventory::RouteStore;
use crate::rules::{RuleSet, UserRules};
use crate::telemetry::{Metrics, Recorder};
use crate::usage::{Excess, Limits, Usage};

/// A host that loses traffic may do so for hours: the audit log has a record of it this often.
const LOSS_ROUND: Duration = Duration::from_secs(10);

/// Where lines go.
#[derive(Debug)]
enum Exporter<W> {
    Table(Table<W>),
    Jsonl(Jsonl<W>),
    None(W),
}

/// Everything right of `call`, in one place and on one thread.
#[derive(Debug)]
pub(super) struct BackHalf<W> {
    catalog: Catalog,
    judge: Judge,
    detector: Detector,
    posture: Posture,
    proofs: Proofs,
    rules: UserRules,
    /// Rules that changed while this runs.
    rule_news: Option<Receiver<RuleNews>>,
    rules_refused: u64,
    /// Loss of capture that the audit log tells of, and when it was told.
    loss_told: (u64, Option<Instant>),
    usage: Usage,
    limits: Limits,
    recorder: Recorder,
    exporter: Exporter<W>,
    findings: Vec<Finding>,
    excesses: Vec<Excess>,
    calls: u64,
    audit: Option<AuditSink>,
    audit_watch: AuditWatch,
    alerts: Option<AlertSink>,
    inventory: Option<InventorySink>,
    meter: Option<UsageSink>,
    blocking: Option<Blocking>,
}

impl<W: Write> BackHalf<W> {
    pub(super) fn new(settings: &Settings, metrics: &Metrics, out: W, style: Style) -> Self {
        Self {
            catalog: {
                let mut catalog = Catalog::new(settings.catalog);
                let documents = settings.openapi_documents.as_deref();
                let documents = documents.map(inventory::declared).unwrap_or_default();
                catalog.declare(settings.route_rules.clone(), documents);
                catalog
            },
            judge: Judge::default(),
            detector: Detector::new(settings.detect),
            posture: Posture::default(),
            proofs: Proofs::default(),
            rules: UserRules::default(),
            rule_news: None,
            rules_refused: 0,
            loss_told: (0, None),
            usage: Usage::default(),
            limits: Limits::new(settings.limits.clone()),
            recorder: metrics.recorder(),
            exporter: match settings.format {
                Format::Table => Exporter::Table(Table::new(out, style)),
                Format::Jsonl => Exporter::Jsonl(Jsonl::new(out)),
                Format::None => Exporter::None(out),
            },
            findings: Vec::new(),
            excesses: Vec::new(),
            calls: 0,
            audit: None,
            audit_watch: AuditWatch::default(),
            alerts: None,
            inventory: None,
            meter: None,
            blocking: None,
        }
    }

    /// Calls and findings go to the audit log too.
    pub(super) fn set_audit(&mut self, sink: Option<AuditSink>) {
        self.audit = sink;
    }

    /// Rules of the user's, and where those come from that replace them.
    pub(super) fn set_rules(&mut self, rules: RuleSet, news: Option<Receiver<RuleNews>>) {
        if let Some(audit) = &mut self.audit
            && !rules.is_empty()
        {
            audit.own(OwnEvent::RulesChange {
                before: String::new(),
                now: rules.sha256(),
                rules: rules.len() as u64,
            });
        }
        self.rules = UserRules::new(rules);
        self.rule_news = news;
    }

    /// Findings become alerts.
    pub(super) fn set_alerts(&mut self, sink: AlertSink) {
        self.alerts = Some(sink);
    }

    /// What is served goes to the inventory too.
    pub(super) fn set_inventory(&mut self, sink: InventorySink) {
        self.inventory = Some(sink);
    }

    /// Usage goes to its file too; quotas of the last run are in `limits`.
    pub(super) fn set_usage(&mut self, sink: UsageSink, limits: Limits) {
        self.meter = Some(sink);
        self.limits = limits;
    }

    /// Who exceeds a limit that blocks is turned away.
    pub(super) fn set_blocking(&mut self, blocking: Option<Blocking>) {
        self.blocking = blocking;
    }

    /// Goes on from what was learned of routes in runs before.
    pub(super) fn restore_routes(&mut self, store: &RouteStore) {
        store.load(|service, record| self.catalog.restore(service, record));
    }

    /// Takes one call. Fails only if its line cannot be written.
    pub(super) fn call(&mut self, mut call: ApiCall) -> std::io::Result<()> {
        self.judge(&mut call)?;
        // The call before what it completes the evidence for.
        if let Some(audit) = &mut self.audit {
            audit.call(call);
        }
        self.tell_found()
    }

    /// Takes several, all of them even if a line cannot be written. What is left in `calls` is done
    /// with, and of use for its memory only.
    pub(super) fn calls(&mut self, calls: &mut Vec<ApiCall>) -> std::io::Result<()> {
        let mut written = Ok(());
        if self.audit.is_some() {
            for call in calls.drain(..) {
                written = written.and(self.call(call));
            }
            return written;
        }
        for call in calls {
            let judged = self.judge(call).and_then(|()| self.tell_found());
            written = written.and(judged);
            // They are shared, and who shares them is at hand here.
            (call.service, call.route) = (None, None);
        }
        written
    }

    /// Names a call, works out what it means, counts and shows it.
    fn judge(&mut self, call: &mut ApiCall) -> std::io::Result<()> {
        let Self {
            catalog,
            judge,
            detector,
            posture,
            proofs,
            rules,
            rule_news: _,
            rules_refused: _,
            loss_told: _,
            usage,
            limits,
            recorder,
            exporter,
            findings,
            excesses,
            calls,
            audit: _,
            audit_watch: _,
            alerts: _,
            inventory,
            meter,
            blocking,
        } = self;
        *calls += 1;
        catalog.name(call);
        call.auth.outcome = judge.judge(call);
        if proofs.proves(call) {
            call.verify_identities();
        }
        if let Some(inventory) = inventory {
            inventory.push(call);
        }
        usage.record(call);
        if let Some(meter) = meter {
            meter.push(call);
        }
        recorder.call(call);
        detector.push(call, &mut |finding| findings.push(finding));
        posture.push(call, &mut |finding| findings.push(finding));
        limits.push(call, &mut |excess| excesses.push(excess));
        for excess in excesses.drain(..) {
            let Some(limit) = limits.limit(excess.limit) else {
                continue;
            };
            if excess.telling {
                findings.push(limits::finding(limit, &excess, call));
            }
            if let Some(blocking) = blocking {
                let client = excess.client.zip(meter.as_ref());
                let callers = client.map_or(0, |((ip, _), meter)| meter.callers_of(ip));
                let mut tell = |finding| findings.push(finding);
                blocking.excess(limit, &excess, call, callers, &mut tell);
            }
        }
        rules.push(call, &mut |finding| findings.push(finding));
        match exporter {
            Exporter::Table(table) => table.call(call)?,
            Exporter::Jsonl(jsonl) => jsonl.call(call)?,
            Exporter::None(_) => {}
        }
        Ok(())
    }

    /// Tells what was found.
    fn tell_found(&mut self) -> std::io::Result<()> {
        if self.findings.is_empty() {
            return Ok(());
        }
        let mut findings = std::mem::take(&mut self.findings);
        for finding in findings.drain(..) {
            self.tell(finding)?;
        }
        self.findings = findings;
        Ok(())
    }

    /// A finding goes to everybody.
    fn tell(&mut self, finding: Finding) -> std::io::Result<()> {
        self.recorder.finding(&finding);
        tracing::warn!(rule = &*finding.rule, "{finding}");
        match &mut self.exporter {
            Exporter::Table(table) => table.finding(&finding)?,
            Exporter::Jsonl(jsonl) => jsonl.finding(&finding)?,
            Exporter::None(_) => {}
        }
        if let Some(alerts) = &self.alerts {
            alerts.finding(&finding);
        }
        if let Some(audit) = &mut self.audit {
            audit.finding(finding);
        }
        Ok(())
    }

    /// Hands the lines gathered to the writer.
    pub(super) fn flush(&mut self) -> std::io::Result<()> {
        if let Some(audit) = &mut self.audit {
            audit.flush();
            let counts = audit.counts();
            if let Some(finding) = self.audit_watch.look(counts, Instant::now()) {
                self.tell(finding)?;
            }
        }
        match &mut self.exporter {
            Exporter::Table(table) => table.flush(),
            Exporter::Jsonl(jsonl) => jsonl.flush(),
            Exporter::None(out) => out.flush(),
        }
    }

    /// Repeats the counters and sizes of the stages held here.
    pub(super) fn publish(&mut self, metrics: &Metrics) {
        if let Some(inventory) = &mut self.inventory {
            inventory.flush(&mut self.catalog);
            metrics.set_pipeline("inventory", &[("unlisted", inventory.dropped())]);
        }
        if let Some(meter) = &mut self.meter {
            meter.flush(&mut self.limits);
            metrics.set_pipeline("usage", &[("evicted", meter.evicted())]);
            metrics.set_entries("usage", &meter.entries());
        }
        if let Some(blocking) = &mut self.blocking {
            blocking.tick();
            metrics.set_pipeline("blocking", &blocking.named());
        }
        metrics.set_pipeline("limits", &[("evicted", self.limits.evicted())]);
        for news in self.rule_news.iter().flat_map(Receiver::try_iter) {
            match news {
                RuleNews::Changed(set) => {
                    let event = OwnEvent::RulesChange {
                        before: self.rules.set_in_force().sha256(),
                        now: set.sha256(),
                        rules: set.len() as u64,
                    };
                    self.rules.set(set);
                    if let Some(audit) = &mut self.audit {
                        audit.own(event);
                    }
                }
                RuleNews::Refused(error) => {
                    self.rules_refused += 1;
                    if let Some(audit) = &mut self.audit {
                        audit.own(OwnEvent::RulesRefused { error });
                    }
                }
            }
        }
        let rules = self.rules.counts();
        metrics.set_pipeline("rules", &rules.named());
        metrics.set_pipeline("rules", &[("refused", self.rules_refused)]);
        metrics.set_entries(
            "rules",
            &[
                ("rules", rules.rules),
                ("groups", self.rules.groups() as u64),
            ],
        );
        metrics.set_pipeline("catalog", &self.catalog.counts().named());
        metrics.set_pipeline("detect", &self.detector.counts().named());
        metrics.set_entries("detect", &self.detector.entries());
        metrics.set_pipeline("posture", &[("evicted", self.posture.evicted())]);
        if let Some(audit) = &self.audit {
            metrics.set_pipeline("audit", &audit.counts().named());
            metrics.set_entries("audit", &[("signed", audit.anchor().size())]);
        }
        if let Some(alerts) = &self.alerts {
            metrics.set_pipeline("alerts", &alerts.counts().named());
        }
        metrics.set_entries(
            "catalog",
            &[
                ("services", self.catalog.services() as u64),
                ("routes", self.catalog.routes() as u64),
                ("places", self.catalog.places() as u64),
            ],
        );
    }

    /// Takes note of how much was not captured so far; the audit log says it where it is missing,
    /// at most once in [`LOSS_ROUND`].
    pub(super) fn capture_lost(&mut self, events: u64) {
        let (told, at) = &mut self.loss_told;
        let Some(audit) = &mut self.audit else { return };
        if events > *told && at.is_none_or(|at| at.elapsed() >= LOSS_ROUND) {
            audit.own(OwnEvent::CaptureLoss {
                events: events - *told,
            });
            (*told, *at) = (events, Some(Instant::now()));
        }
    }

    /// Calls so far.
    pub(super) const fn count(&self) -> u64 {
        self.calls
    }

    /// Calls, bytes and errors by service and route, for people.
    pub(super) fn summary(&self) -> String {
        crate::usage::summary(&self.usage)
    }

    /// The writer, and with it the last lines.
    pub(super) fn into_out(mut self) -> W {
        if let Some(meter) = self.meter {
            meter.finish(&mut self.limits);
        }
        if let Some(inventory) = self.inventory {
            inventory.finish();
        }
        match self.exporter {
            Exporter::Table(table) => table.into_inner(),
            Exporter::Jsonl(jsonl) => jsonl.into_inner(),
            Exporter::None(out) => out,
        }
    }
}
