//! Reads recorded traffic and feeds it to the pipeline. No privileges, no clock.
//!
//! Enters: capture files (pcap, pcapng), transcripts and access logs, compressed with gzip or
//! not. Leaves: what the pipeline makes of them, the same on every run but for the
//! fingerprints of credentials, whose key is drawn for each.
//! Never: a file held in memory as a whole, or its content in an error.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unreachable
    )
)]

mod access_log;
mod capture_file;
#[cfg(test)]
mod capture_tests;
mod error;
mod flows;
mod fragments;
mod json_log;
mod line;
mod network;
mod open_lines;
mod packets;
#[cfg(test)]
mod tests;
mod timestamp;
mod transcript;

pub use access_log::{AccessLog, access_line, is_access_log};
pub use error::{CaptureWrong, ReplayError, Wrong};
pub use transcript::{MAX_LINE, Replayed, replay, replay_file};
