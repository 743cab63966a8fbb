//! The harness of the live tests: starts real servers, real clients and the built agent, and
//! compares what the agent reports with what each server wrote in its own access log.
//!
//! In reading order:
//! - [`prerequisites`]: what a test needs, and the printed reason where it is not there.
//! - [`running`], [`wait`], [`port`]: programs that end with the test, and bounded waiting.
//! - [`agent`], [`call`], [`metrics`]: the agent, its lines and its metrics.
//! - [`access_log`], [`agreement`]: the server's own record, and the exact comparison.
//! - [`nginx`], [`apache`], [`script`]: servers. [`certificate`]: their TLS identity.
//! - [`curl`], [`wrk`], [`h2load`], [`wire`]: clients.
//! - [`namespace`], [`container`]: places to put a server in.
//! - [`tls_row`]: one row of the table of TLS libraries; [`pypi`], [`tls_servers`], [`tls_peer`]:
//!   programs for it.
//! - [`npm`]: packages for Node. [`rust_programs`]: programs in Rust, built apart.
//! - [`ways`]: every way to move bytes over a socket.
//! - [`prometheus`], [`bpf`]: what looks at the agent from outside.
//!
//! It never decides what the agent should have seen by itself: that is always a server's log.

pub mod access_log;
pub mod agent;
pub mod agreement;
pub mod apache;
pub mod bpf;
pub mod call;
pub mod certificate;
pub mod container;
pub mod curl;
pub mod h2load;
pub mod metrics;
pub mod namespace;
pub mod nginx;
pub mod npm;
pub mod port;
pub mod prerequisites;
pub mod prometheus;
pub mod pypi;
pub mod running;
pub mod rust_programs;
pub mod script;
pub mod tls_peer;
pub mod tls_row;
pub mod tls_servers;
pub mod wait;
pub mod ways;
pub mod wire;
pub mod wrk;

pub use access_log::{AccessLog, Logged};
pub use agent::{Agent, Ended, Launch};
pub use agreement::{Agreement, Pair};
pub use apache::Apache;
pub use call::Call;
pub use certificate::Certificate;
pub use curl::curl;
pub use metrics::Metrics;
pub use nginx::Nginx;
pub use prerequisites::{Turn, live, requires};
pub use prometheus::Prometheus;
pub use running::Running;
pub use script::{Script, ScriptServer};
