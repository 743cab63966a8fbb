//! Loads and attaches the probes, reads the ring. The only place with `unsafe`.

mod process_events;
mod status;

pub use process_events::{ProcessEvent, ProcessEvents, ProcessEventsError};
pub use status::{Count, ProbeOutcome, ProbeStatus, SourceLedger, TlsAttachment};
