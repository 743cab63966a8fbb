//! Reads who calls from the head of a request.
//!
//! Enters: fields and query of a request. Leaves: [`super::Identity`], with public names and keyed
//! fingerprints. Never: a secret, nor memory of one: what is remembered of a credential is found by
//! a keyed hash of it. Without a credential nothing is allocated.

mod authorization;
mod callers;
mod carrier;
mod cookie;
mod dpop;
mod fingerprint;
mod jwt;
mod negotiate;
mod parameters;
mod query;
mod reading;
mod text;
mod vouching;
mod websocket;

pub(super) use callers::{Caller, Callers};
pub(super) use cookie::sets_session;
pub use fingerprint::{FingerprintKey, Fingerprints};
