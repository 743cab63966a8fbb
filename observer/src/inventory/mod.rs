//! What this host serves: services, their endpoints, who calls them, and since when.
//!
//! Enters: calls that are named and judged ([`Tally`]), in small sums ([`Sum`]). Leaves: the
//! [`Inventory`], kept in a file ([`Store`]), as a table and as an OpenAPI document. Never: a
//! value of a parameter, a secret, or a table without a cap; what is folded is counted.
//!
//! The file is a snapshot that is replaced whole, with a checksum. An embedded database was
//! weighed: redb lets nobody read while the agent writes, SQLite is C code; and all of it is a few
//! megabytes, bounded.

mod change;
mod checked_file;
mod credential;
mod documents;
mod endpoint;
mod listening;
mod open_api;
mod owner;
mod privilege;
mod route_store;
mod service;
mod standing;
mod state;
mod store;
mod table;
mod tally;
#[cfg(test)]
mod tests;

pub use change::Change;
pub use credential::Credential;
pub use documents::{Document, Documented, documents};
pub use endpoint::Endpoint;
pub use listening::listening;
pub use open_api::open_api;
pub use owner::Owners;
pub use privilege::credential_findings;
pub use route_store::RouteStore;
pub use service::{Program, Service};
pub use standing::{findings, orphans, plaintext_share, states};
pub use state::Inventory;
pub use store::{Store, StoreError};
pub use table::table;
pub use tally::{Sum, Tally};

/// A time as RFC 3339 has it.
fn rfc3339(unix_ms: u64) -> String {
    let mut text = String::with_capacity(32);
    crate::export::push_rfc3339(&mut text, unix_ms.saturating_mul(1_000_000));
    text
}
