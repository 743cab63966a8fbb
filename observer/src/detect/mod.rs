//! Tells what a failed authentication means and notices misuse, call by call.
//!
//! In: calls named by `catalog`. Out: the outcome of each call's authentication, and findings:
//! what was noticed, with its evidence, in one plain sentence. Never: more memory than the bounds
//! of the tables allow, whatever an attacker rotates; what was forgotten is counted.
//!
//! - [`Judge`] reads outcomes; what a login answers on failure is learned for each endpoint.
//! - [`Detector`] holds what is known of sources, accounts, credentials and endpoints, each in a
//!   table that keeps what was used lately; [`RULES`] says what is looked for.
//! - [`Posture`] tells how services stand, whether or not somebody misuses it.

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

mod account;
mod baseline;
mod counts;
mod credential;
mod crowd;
mod detector;
mod distinct;
mod endpoint;
mod facts;
mod finding;
mod login;
mod objects;
mod outcome;
mod pace;
mod posture;
mod proofs;
mod rate;
mod rule;
mod settings;
mod source;
mod visits;

pub use counts::DetectCounts;
pub use detector::Detector;
pub use facts::network as client_network;
pub use finding::{Finding, Severity};
pub use outcome::Judge;
pub use posture::Posture;
pub use proofs::Proofs;
pub use rule::{RULES, Rule, rule};
pub use settings::DetectSettings;
