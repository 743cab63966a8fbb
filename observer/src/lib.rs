//! The observer: sees HTTP API calls on a Linux host through kernel probes.
//!
//! ```text
//! kernel ─RawEvent▶ stream ─Chunk▶ protocol ─Message▶ call ─ApiCall▶ catalog ─▶ {usage, detect} ─▶ export
//!   OS thread         plain synchronous code: no I/O, no clock, no locks                         tokio
//! ```
//!
//! In reading order:
//! - [`kernel`]: loads and attaches the probes, reads the ring.
//! - [`discover`]: who a process is, which TLS library it maps, where a probe may go.
//! - [`capture`]: kernel events in, pipeline inputs out; binds TLS objects to sockets.
//! - [`stream`]: segments and plaintext in, ordered bytes with explicit gaps out.
//! - [`decrypt`]: ordered bytes of TLS in, what is inside out; of recordings whose secrets are known.
//! - [`protocol`]: ordered bytes in, messages out.
//! - [`call`]: request and response paired into an [`call::ApiCall`].
//! - [`record`]: what was seen, as a transcript.
//! - [`pipeline`]: those in one piece; [`replay`] feeds it from recorded transcripts.
//! - [`catalog`]: names the endpoint.
//! - [`usage`], [`detect`]: count, and tell what a failed authentication means.
//! - [`rules`]: rules that people write, over the same calls.
//! - [`alert`]: tells of findings.
//! - [`audit`]: the log that cannot be altered unseen.
//! - [`journal`]: what of usage must outlive the agent, in a file.
//! - [`inventory`]: services, endpoints and callers, kept in a file.
//! - [`export`], [`admin`], [`telemetry`]: tables, JSON lines, metrics.
//! - [`hashing`], [`recent`]: how keys are hashed, and the bounded map that several of them use.
//! - [`config`], [`cli`], [`app`]: settings, arguments, and the one place that wires it all.

pub mod admin;
pub mod alert;
pub mod app;
pub mod audit;
pub mod call;
pub mod capture;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod decrypt;
pub mod detect;
pub mod discover;
pub mod export;
pub mod hashing;
pub mod inventory;
pub mod journal;
pub mod kernel;
pub mod pipeline;
pub mod protocol;
pub mod recent;
pub mod record;
pub mod replay;
pub mod rules;
pub mod stream;
pub mod telemetry;
pub mod usage;
