//! Everything from captured bytes to calls in one piece: `stream`, `protocol` and `call`.
//!
//! Enters: [`crate::stream::Input`], and the time. Leaves: [`Output`]. Never: I/O, a clock, a
//! lock, or memory without bound. The same code runs live, on transcripts and in fuzzers.

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

mod counts;
mod observed;
mod output;
mod run;
mod settings;
#[cfg(test)]
mod tests;

pub use counts::Counts;
pub use output::Output;
pub use run::Pipeline;
pub use settings::PipelineSettings;
