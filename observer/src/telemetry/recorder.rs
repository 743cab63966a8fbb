//! Counts calls, fast: handles of the metrics are kept by label set.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::{Equivalent, HashMap};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::metrics::{AuthLabels, CallLabels, DurationLabels, Families, RuleLabels, ServiceLabels};
use crate::call::{ApiCall, AuthOutcome, AuthScheme, Role};
use crate::detect::Finding;
use crate::hashing::Seeded;

/// Label sets of calls that are created; each is a counter and a histogram of 20 lines. Calls of
/// any further one are counted under `{other}`: at worst a scrape is about 20 MB.
pub(super) const MAX_CALL_SERIES: usize = 8_000;
/// The same for authentication: services by schemes and outcomes that occur.
pub(super) const MAX_AUTH_SERIES: usize = 4_000;
/// The name that takes what is over a cap.
const OTHER: &str = "{other}";
/// What OpenTelemetry calls a method that is not a known one.
const OTHER_METHOD: &str = "_OTHER";

/// RFC 9110 §9 and RFC 5789, as OpenTelemetry lists them. Any other may be an attacker's text.
const METHODS: [&str; 9] = [
    "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE",
];

/// Borrowed and owned keys hash alike: same fields, same order.
#[derive(Clone, Copy, Hash)]
struct CallKey<'a> {
    service: &'a str,
    route: &'a str,
    role: Role,
    method: &'static str,
    status_class: &'static str,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OwnedCallKey {
    service: Arc<str>,
    route: Arc<str>,
    role: Role,
    method: &'static str,
    status_class: &'static str,
}

impl Equivalent<OwnedCallKey> for CallKey<'_> {
    fn equivalent(&self, key: &OwnedCallKey) -> bool {
        let Self {
            service,
            route,
            role,
            method,
            status_class,
        } = *self;
        *key.service == *service
            && *key.route == *route
            && key.role == role
            && key.method == method
            && key.status_class == status_class
    }
}

#[derive(Clone, Copy, Hash)]
struct AuthKey<'a> {
    service: &'a str,
    scheme: AuthScheme,
    outcome: AuthOutcome,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OwnedAuthKey {
    service: Arc<str>,
    scheme: AuthScheme,
    outcome: AuthOutcome,
}

impl Equivalent<OwnedAuthKey> for AuthKey<'_> {
    fn equivalent(&self, key: &OwnedAuthKey) -> bool {
        let Self {
            service,
            scheme,
            outcome,
        } = *self;
        *key.service == *service && key.scheme == scheme && key.outcome == outcome
    }
}

#[derive(Debug)]
struct CallHandles {
    calls: Counter,
    duration: Histogram,
    request_bytes: Counter,
    response_bytes: Counter,
}

/// Counts the calls of one thread into the shared metrics.
#[derive(Debug)]
pub struct Recorder {
    families: Arc<Families>,
    calls: HashMap<OwnedCallKey, CallHandles, Seeded>,
    auth: HashMap<OwnedAuthKey, Counter, Seeded>,
}

impl Recorder {
    pub(super) fn new(families: Arc<Families>) -> Self {
        Self {
            families,
            calls: HashMap::default(),
            auth: HashMap::default(),
        }
    }

    /// Counts one call, named by the catalog.
    pub fn call(&mut self, call: &ApiCall) {
        let Self {
            families,
            calls,
            auth,
        } = self;
        let service = call.service.as_deref().unwrap_or("unknown");
        let key = CallKey {
            service,
            route: call.route.as_deref().unwrap_or("unknown"),
            role: call.role,
            method: method(&call.method),
            status_class: status_class(call.status),
        };
        if let Some(handles) = calls.get(&key) {
            handles.count(call);
        } else {
            new_call_handles(families, calls, key).count(call);
        }

        let key = AuthKey {
            service,
            scheme: call.auth.scheme,
            outcome: call.auth.outcome,
        };
        if let Some(counter) = auth.get(&key) {
            counter.inc();
        } else {
            new_auth_counter(families, auth, key).inc();
        }
    }

    /// Counts one finding.
    pub fn finding(&mut self, finding: &Finding) {
        self.families
            .findings
            .get_or_create(&RuleLabels {
                rule: finding.rule.clone(),
            })
            .inc();
    }
}

impl CallHandles {
    fn count(&self, call: &ApiCall) {
        self.calls.inc();
        for (counter, bytes) in [
            (&self.request_bytes, call.request_bytes),
            (&self.response_bytes, call.response_bytes),
        ] {
            // Most requests have no body, and an atomic step takes as long for nothing.
            if bytes > 0 {
                counter.inc_by(bytes);
            }
        }
        if let Some(ns) = call.answer_time_ns() {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a bucket does not need nanoseconds"
            )]
            self.duration.observe(ns as f64 / 1e9);
        }
    }
}

/// Takes a place under the cap; `false` if there is none left.
fn admit(taken: &AtomicUsize, cap: usize) -> bool {
    let one_more = |taken: usize| (taken < cap).then_some(taken + 1);
    taken
        .try_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
        .is_ok()
}

fn new_call_handles<'a>(
    families: &Families,
    cache: &'a mut HashMap<OwnedCallKey, CallHandles, Seeded>,
    key: CallKey<'_>,
) -> &'a CallHandles {
    let call_labels = |key: &OwnedCallKey| CallLabels {
        service: Arc::clone(&key.service),
        role: key.role.as_str(),
        method: key.method,
        route: Arc::clone(&key.route),
        status_class: key.status_class,
    };
    let owned = |key: CallKey<'_>| OwnedCallKey {
        service: Arc::from(key.service),
        route: Arc::from(key.route),
        role: key.role,
        method: key.method,
        status_class: key.status_class,
    };
    let mut wanted = owned(key);
    let known = families.calls.get(&call_labels(&wanted)).is_some();
    if !known && !admit(&families.call_series, MAX_CALL_SERIES) {
        families.folded.inc();
        wanted = owned(CallKey {
            service: OTHER,
            route: OTHER,
            method: OTHER_METHOD,
            ..key
        });
    }
    let labels = call_labels(&wanted);
    cache.entry(wanted).or_insert_with(|| {
        let duration = match key.role {
            Role::Server => &families.server_duration,
            Role::Client => &families.client_duration,
        };
        let service = ServiceLabels {
            service: Arc::clone(&labels.service),
            role: labels.role,
        };
        CallHandles {
            calls: families.calls.get_or_create_owned(&labels),
            duration: duration.get_or_create_owned(&DurationLabels {
                service: Arc::clone(&labels.service),
                method: labels.method,
                route: Arc::clone(&labels.route),
                status_class: labels.status_class,
            }),
            request_bytes: families.request_bytes.get_or_create_owned(&service),
            response_bytes: families.response_bytes.get_or_create_owned(&service),
        }
    })
}

fn new_auth_counter<'a>(
    families: &Families,
    cache: &'a mut HashMap<OwnedAuthKey, Counter, Seeded>,
    key: AuthKey<'_>,
) -> &'a Counter {
    let labels = |service: &Arc<str>| AuthLabels {
        service: Arc::clone(service),
        scheme: key.scheme.as_str(),
        outcome: key.outcome.as_str(),
    };
    let mut service: Arc<str> = Arc::from(key.service);
    let known = families.auth.get(&labels(&service)).is_some();
    if !known && !admit(&families.auth_series, MAX_AUTH_SERIES) {
        service = Arc::from(OTHER);
    }
    let labels = labels(&service);
    let owned = OwnedAuthKey {
        service,
        scheme: key.scheme,
        outcome: key.outcome,
    };
    cache
        .entry(owned)
        .or_insert_with(|| families.auth.get_or_create_owned(&labels))
}

fn method(sent: &str) -> &'static str {
    METHODS
        .into_iter()
        .find(|&known| known == sent)
        .unwrap_or(OTHER_METHOD)
}

fn status_class(status: Option<u16>) -> &'static str {
    match status {
        Some(100..=199) => "1xx",
        Some(200..=299) => "2xx",
        Some(300..=399) => "3xx",
        Some(400..=499) => "4xx",
        Some(500..=599) => "5xx",
        Some(_) => "other",
        None => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_AUTH_SERIES, MAX_CALL_SERIES};
    use crate::call::Flag;
    use crate::catalog::sample;
    use crate::telemetry::Metrics;
    use crate::telemetry::sample::{full, named, text};

    #[test]
    fn calls_are_counted_with_bounded_labels() {
        let text = text(&full());
        for line in [
            "observer_calls_total{service=\"nginx\",role=\"server\",method=\"GET\",route=\"/users/{id}\",status_class=\"2xx\"} 2",
            "observer_calls_total{service=\"evil\\\"\\n\\\\\",role=\"client\",method=\"_OTHER\",route=\"/login\",status_class=\"4xx\"} 1",
            "observer_calls_total{service=\"nginx\",role=\"server\",method=\"GET\",route=\"{unmatched}\",status_class=\"none\"} 1",
            "http_server_request_duration_seconds_count{service=\"nginx\",method=\"GET\",route=\"/users/{id}\",status_class=\"2xx\"} 2",
            "http_server_request_duration_seconds_bucket{le=\"0.0025\",service=\"nginx\",method=\"GET\",route=\"/users/{id}\",status_class=\"2xx\"} 2",
            "http_client_request_duration_seconds_count{service=\"evil\\\"\\n\\\\\",method=\"_OTHER\",route=\"/login\",status_class=\"4xx\"} 1",
            "observer_request_body_bytes_total{service=\"nginx\",role=\"server\"} 30",
            "observer_auth_total{service=\"evil\\\"\\n\\\\\",scheme=\"basic\",outcome=\"failed\"} 1",
            "observer_auth_total{service=\"nginx\",scheme=\"none\",outcome=\"none\"} 3",
            "observer_findings_total{rule=\"auth_failure_burst\"} 0",
            "observer_capture_seen_total{source=\"packets\"} 10",
            "observer_capture_lost_bytes_total{source=\"packets\",reason=\"ring_full\"} 100",
            "observer_capture_filtered_total{source=\"packets\",reason=\"not_http\"} 2",
            "observer_probe_attached{probe=\"ingress\",hook=\"cgroup_skb/ingress\",required=\"yes\"} 1",
            "observer_pipeline_events_total{stage=\"stream\",event=\"segment_overlap\"} 3",
            "observer_pipeline_entries{stage=\"stream\",table=\"connections\"} 12",
        ] {
            assert!(
                text.contains(&format!("{line}\n")),
                "{line} is not in\n{text}"
            );
        }
        assert!(text.contains("process_resident_memory_bytes "));
        assert!(text.contains("process_cpu_seconds_total "));
    }

    #[test]
    fn a_connection_that_left_http_has_no_answer_time() {
        let metrics = Metrics::new();
        let mut call = named("GET", "/live", Some(101));
        call.flags = vec![Flag::Upgrade];
        metrics.recorder().call(&call);
        let text = text(&metrics);
        assert!(text.contains("route=\"/live\",status_class=\"1xx\"} 1\n"));
        let count = text
            .lines()
            .find(|line| line.starts_with("http_server_request_duration_seconds_count"));
        assert!(count.is_some_and(|line| line.ends_with(" 0")), "{count:?}");
    }

    #[test]
    fn recorders_of_several_threads_count_into_the_same_series() {
        let metrics = Metrics::new();
        let call = named("GET", "/a", Some(200));
        for _ in 0..3 {
            metrics.recorder().call(&call);
        }
        assert!(text(&metrics).contains("status_class=\"2xx\"} 3\n"));
    }

    #[test]
    fn series_are_bounded_and_every_call_is_still_counted() {
        let metrics = Metrics::new();
        let mut recorder = metrics.recorder();
        let calls = MAX_CALL_SERIES + 1000;
        for n in 0..calls {
            let mut call = sample::call("GET", "/", Some(200));
            call.service = Some(format!("service-{n}").into());
            call.route = Some("/".into());
            recorder.call(&call);
        }
        let text = text(&metrics);
        let rows = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(rows("observer_calls_total{"), MAX_CALL_SERIES + 1);
        assert_eq!(rows("observer_auth_total{"), MAX_AUTH_SERIES + 1);
        assert!(text.contains("observer_metric_series_folded_total 1000\n"));
        let sum: u64 = text
            .lines()
            .filter(|line| line.starts_with("observer_calls_total{"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum();
        assert_eq!(sum, calls as u64);
    }
}
