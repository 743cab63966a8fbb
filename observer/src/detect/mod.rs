//! Tells what the answer to a call says of its credential, and raises findings.
//!
//! In: the status of a call and the kind of credential it carried; then whole calls, named by
//! `catalog`. Out: an [`crate::call::AuthOutcome`]; a [`Finding`] when failures come in bursts.
//! Never: a credential or an account name. Nothing here reads a clock: time is that of the calls.

mod detector;
mod finding;
mod outcome;
mod proofs;

pub use detector::{DetectCounts, DetectSettings, Detector};
pub use finding::{Finding, RULES, Severity};
pub use outcome::judge;
pub use proofs::Proofs;
