//! Encryption at rest: what a record says of a call is sealed to readers; the agent cannot read it
//! back.
//!
//! In: records, and the public keys of readers. Out: records in which time, class, status and index
//! are in clear and the rest is sealed, as leaves of the same tree: hashes are over what is
//! sealed, so verification needs no key. Never: what the agent says of itself sealed, or a key
//! that opens records on the disk in clear.
//!
//! Each run, and each day, has a data key of its own (XChaCha20-Poly1305). It is kept in
//! `sealed-keys/`, sealed to every reader (HPKE, RFC 9180: X25519, HKDF-SHA-256,
//! ChaCha20-Poly1305); the log holds the hash of that file. To remove the file is to make what it
//! opens unreadable for good, with every proof still valid.

mod data_key;
mod envelope;
mod keyring;
mod reader;
mod sealer;

pub(super) use data_key::{file_hash, path_of as key_path_of};
pub(super) use envelope::is_sealed;
pub use keyring::Keyring;
pub use reader::{ReaderKey, ReaderSecret};
pub(super) use sealer::Sealer;
