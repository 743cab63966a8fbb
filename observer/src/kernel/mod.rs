//! Loads and attaches the probes, reads the ring. The only place with `unsafe`.

mod status;

pub use status::{Count, ProbeOutcome, ProbeStatus, SourceLedger, TlsAttachment};
