//! Loads and attaches the probes, reads the ring. The only place with `unsafe`.
//!
//! In: settings and what `discover` found. Out: [`RawEvent`]s, the ledger, and what became of
//! each probe. The probes never write to an observed process, its sockets or its packets; only where
//! settings ask for it do [`Blocker`] and [`ConnectionCloser`], apart from them, turn clients away.
//! Nothing is pinned: all of it is gone when the agent is, however it ended.

mod allow_list;
mod blocker;
mod btf;
mod cgroup;
mod clock;
mod connection_closer;
mod control;
mod error;
mod filters;
mod function_probes;
mod harden;
mod layout;
mod ledger;
mod loader;
mod many_probes;
mod missed_runs;
mod network;
mod open_sockets;
mod preemption;
mod preflight;
mod probe_costs;
mod probe_errors;
mod probe_table;
mod probes;
mod process_events;
mod raw_event;
mod ring;
mod second_looks;
mod socket_capture;
mod status;
mod tls_probes;
mod wait;

pub use allow_list::{ALLOWED_HELPERS, forbidden_helpers};
pub use blocker::Blocker;
pub use cgroup::CgroupRoot;
pub use clock::{clock_offset_ns, monotonic_ns};
pub use connection_closer::ConnectionCloser;
pub use control::Controls;
pub use error::KernelError;
pub use filters::CaptureFilters;
pub use harden::{forbid_dumps, run_behind_others, run_promptly};
pub use layout::layout;
pub use ledger::LedgerReader;
pub use loader::{Kernel, KernelSettings, Parts};
pub use network::Network;
pub use open_sockets::{OpenSocket, open_sockets};
pub use preflight::{Capability, Check, missing_privileges, preflight};
pub use probe_costs::{ProbeCost, ProbeCosts};
pub use probe_errors::{ProbeErrors, UnreadableSource};
pub use process_events::{ProcessEvent, ProcessEvents, ProcessEventsError};
pub use raw_event::{Malformed, RawEvent, SegmentFlags};
pub use ring::Rings;
pub use socket_capture::SocketCapture;
pub use status::{Count, ProbeOutcome, ProbeStatus, SourceLedger, TlsAttachment};
pub use tls_probes::AttachedLibrary;
pub use wait::wait_readable;
