//! Writes what was seen as a transcript, which `replay` reads.
//!
//! Enters: the pieces of connections that speak HTTP, or the messages in them. Leaves: lines of a
//! transcript. Never: more memory than its bounds, bytes of connections that are not HTTP, or,
//! unless asked for, a body, a credential or the value of a query.
//!
//! - [`Recorder`] keeps what is not written yet, `recording` is that of one connection.
//! - `redacted` writes messages anew, from what may be shown of them.

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

mod recorder;
mod recording;
mod redacted;

pub use recorder::{MAX_PART, MOST_KEPT, Recorder, Secrets};
