//! Opens TLS connections of recordings whose secrets are known.
//!
//! Enters: ordered bytes of connections, and the secrets that one end wrote down. Leaves: the
//! ordered bytes inside TLS, what is missing as gaps. Never: a secret in an error, a log or a
//! `Debug` text; a guess about a record that does not prove to be whole.

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
mod decrypter;
mod handshake;
mod key_log;
mod keys;
mod opened;
mod protection;
mod record;
mod shared;
mod side;
mod suite;
#[cfg(test)]
mod tests;

pub use counts::DecryptCounts;
pub use decrypter::Decrypter;
pub use key_log::{KeyLog, MAX_KEY_LOG};
pub use opened::Opened;
pub use shared::DecryptShared;
