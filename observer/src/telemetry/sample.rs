//! Metrics in which every family has something to say, to build tests on.

use super::{Exposition, Metrics};
use crate::call::{ApiCall, AuthOutcome, AuthScheme, Role};
use crate::catalog::{Catalog, sample};
use crate::kernel::{Count, ProbeOutcome, ProbeStatus, SourceLedger};

pub(super) fn named(method: &str, path: &str, status: Option<u16>) -> ApiCall {
    let mut call = sample::call(method, path, status);
    Catalog::default().name(&mut call);
    call
}

pub(super) fn text(metrics: &Metrics) -> String {
    metrics.encode(Exposition::Text).unwrap()
}

pub(super) fn full() -> Metrics {
    let metrics = Metrics::new();
    let mut recorder = metrics.recorder();
    recorder.call(&named("GET", "/users/1", Some(200)));
    recorder.call(&named("GET", "/users/2", Some(200)));
    let mut failed = named("BREW", "/login", Some(401));
    failed.role = Role::Client;
    failed.auth.scheme = AuthScheme::Basic;
    failed.auth.outcome = AuthOutcome::Failed;
    failed.service = Some("evil\"\n\\".into());
    recorder.call(&failed);
    recorder.call(&named("GET", "/silent", None));
    let count = |calls, bytes| Count { calls, bytes };
    metrics.set_ledger(&[SourceLedger {
        source: "packets",
        seen: count(10, 1000),
        delivered: count(6, 600),
        filtered: vec![("not_http", count(2, 200))],
        skipped: count(1, 100),
        lost: vec![("ring_full", count(1, 100))],
        lost_requests: count(1, 100),
    }]);
    metrics.set_probes(&[ProbeStatus {
        name: "ingress",
        hook: "cgroup_skb/ingress",
        purpose: "segments that come in",
        required: true,
        outcome: ProbeOutcome::Attached,
    }]);
    metrics.set_pipeline("stream", &[("segment_overlap", 3)]);
    metrics.set_entries("stream", &[("connections", 12)]);
    metrics
}
