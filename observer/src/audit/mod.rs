//! The audit log: every call and finding, in files that cannot be altered unseen.
//!
//! In: named calls, findings, and what the agent says of itself. Out: segments of OCSF records, a
//! Merkle tree over them (RFC 6962), signed checkpoints and hash tiles (C2SP); verification,
//! proofs and searches of them. Never: a secret, a record that is changed after it was written, a
//! loss that is not declared, or a wait in the thread that captures.
//!
//! Left to right: [`Ocsf`] writes records; [`Log`] puts them in frames of a segment, grows the
//! tree (`edge`, `tiles`) and signs it (`keys`, [`Note`]); [`AuditSink`] is the queue to the
//! thread that does so (`writer`). [`verify()`] and [`prove`] read it all back, [`Search`] finds records by a
//! [`Filter`], [`Review`] gathers what a reviewer looks at, [`ask`] reaches the agent that holds
//! the log, and a [`Witness`] on another host keeps its checkpoints.
//!
//! The folder of a log: `segments/` records, `tile/` hashes, `checkpoint` the last one, `vkey` the
//! public key of the first epoch, `epochs/` proofs of the keys that followed, `key` the private key
//! in force (mode 0600), `damaged/` what a start could not read, `index/` what searches use, `inbox/`
//! what people ask of the agent, `witness.key` and `witness.vkey` what witnesses know the log by,
//! `cosigned/` what they signed, `sealed-keys/` the keys of sealed records, for their readers.

mod anchor;
mod claims;
mod consistency;
mod durable;
mod edge;
mod error;
mod frame;
mod inbox;
mod json_text;
mod keys;
mod log;
mod merkle;
mod note;
mod ocsf;
mod opening;
mod own_event;
mod pace;
mod proof;
mod publish;
mod queue;
mod record_head;
mod report;
mod review;
mod sampling;
mod sealing;
mod search;
mod seed;
mod segment;
mod settings;
mod tiles;
mod verify;
mod vkey;
mod witness;
mod writer;

#[cfg(test)]
mod tests;

pub use anchor::Anchor;
pub use claims::push_claims;
pub use error::AuditError;
pub use inbox::{Request, ask};
pub use log::Log;
pub use merkle::{Frontier, Hash, leaf_hash};
pub use note::{Checkpoint, Note};
pub use ocsf::Ocsf;
pub use opening::Opened;
pub use own_event::{OwnEvent, checkpoint_record};
pub use proof::{Proof, last_checkpoint, prove};
pub use publish::{Published, publish};
pub use queue::{AuditCounts, AuditSink, AuditThread, StartError, start};
pub use record_head::RecordHead;
pub use report::{Fault, Report, Witnessed};
pub use review::{Event, Review, Row};
pub use sampling::SamplingRule;
pub use sealing::{Keyring, ReaderKey, ReaderSecret};
pub use search::{Each, Field, Filter, FilterError, Indexer, Record, Search, Stats, Steps, Value};
pub use settings::AuditSettings;
pub use verify::{Trust, verify};
pub use vkey::Vkey;
pub use witness::{Answer, Witness, WitnessAddress};
