//! The agent's metrics.
//!
//! In: named calls, findings, the ledger, the outcome of the probes and the counters of the
//! stages. Out: the text that Prometheus scrapes. Never: a label whose values have no bound, such
//! as an address, a user, a key, a `Host` header or a raw path.
//!
//! | metric | labels | says |
//! |---|---|---|
//! | `http_server_request_duration_seconds`, `http_client_request_duration_seconds` | service, method, route, status_class | first request byte to last response byte (OpenTelemetry names) |
//! | `observer_calls_total` | service, role, method, route, status_class | calls |
//! | `observer_request_body_bytes_total`, `observer_response_body_bytes_total` | service, role | body bytes |
//! | `observer_auth_total` | service, scheme, outcome | credential sent, and what became of it |
//! | `observer_findings_total` | rule | detections |
//! | `observer_capture_{seen,delivered,skipped}_total`, `…_bytes_total` | source | the ledger, in segments or library calls, and in bytes |
//! | `observer_capture_{filtered,lost}_total`, `…_bytes_total` | source, reason | the ledger's other side |
//! | `observer_probe_attached` | probe, hook, required | 1 or 0 |
//! | `observer_probe_processors`, `observer_probe_run_seconds` | probe | what a probe costs |
//! | `observer_probe_missed_runs_total` | probe | what the kernel did not run it for |
//! | `observer_tls_processes` | attached | processes with a TLS library |
//! | `observer_tls_signature_connections` | library, proved | what libraries found by signature have shown |
//! | `observer_pipeline_events_total`, `observer_pipeline_entries` | stage, event or table | oddities and drops; fill of the tables |
//! | `observer_metric_series_folded_total` | | calls counted under `{other}` because of the cap on series |
//! | `observer_build_info`, `process_…` | | the agent itself |

#[cfg(test)]
mod deploy_check;
mod exposition;
mod metrics;
mod process;
mod recorder;
#[cfg(test)]
mod sample;
mod snapshot;

pub use exposition::Exposition;
pub use metrics::Metrics;
pub use recorder::Recorder;
