//! What of usage must outlive the agent, in a file.
//!
//! In: rows of usage and quotas that changed ([`Batch`]). Out: the same after a restart, also one
//! by SIGKILL. Never: a secret, a file without a bound, or a line that is believed without its
//! checksum.
//!
//! Changes are appended and the file is written anew from time to time, so half a second of calls
//! costs what changed in it and not all there is. What was appended is safe when the agent dies;
//! when the host loses power, as of the last time the file was written anew or half a minute ago.

mod batch;
mod file;
mod line;

pub use batch::{Batch, KeptQuota};
pub use file::{Journal, JournalError, read};
