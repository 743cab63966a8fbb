//! Where a call comes from, when proxies stand between.
//!
//! Enters: the fields in which proxies name a client, the opening of the PROXY protocol, and the
//! other end of the connection. Leaves: the client's address, and whether somebody named one who
//! has no say in it. Never: an address that only an untrusted peer names.

mod address;
mod origin;
mod resolved;
mod trusted;

pub(in crate::call) use address::Hop;
pub(in crate::call) use origin::Origin;
pub(in crate::call) use resolved::Resolved;
pub use trusted::TrustedProxies;
