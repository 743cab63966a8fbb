//! Witnesses: other hosts that sign which checkpoint they saw last (C2SP tlog-witness).
//!
//! In: signed checkpoints. Out: cosignatures, kept in `cosigned/` beside the log, and an alarm
//! where a witness has seen a log that this one does not continue. Never: a record; all that a
//! witness gets is the name, the size and the root of the log.
//!
//! A witness knows a log by one key. That of the epochs changes, so what is sent to witnesses is
//! signed with a second key too, which stays: `witness.key`, its public half in `witness.vkey`.
//! Whoever steals it can sign nothing that a verification takes, and nothing for a witness but
//! what continues the log that it knows.

mod client;
mod conversation;
mod kept;
mod post;
mod server;
mod submission;

pub use client::WitnessAddress;
pub(super) use client::{Told, log_key, start};
#[cfg(test)]
pub(super) use conversation::{Reply, reply, submission};
#[cfg(test)]
pub(super) use kept::keep;
pub(super) use kept::{Kept, kept};
pub use server::{Answer, Witness};
