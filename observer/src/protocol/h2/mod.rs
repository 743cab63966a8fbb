//! HTTP/2 (RFC 9113) on one connection: ordered bytes in, messages out.
//!
//! Enters: pieces of both directions. Leaves: [`super::Message`], the same that HTTP/1 gives.
//! Never: a stored body, a header block of unbounded size, a field that was not seen, a request
//! made of anything but a header block of the client.
//!
//! - [`hpack`] reads header blocks, [`frame`] reads frames.
//! - `half` cuts one direction into frames, `fields` keeps the fields of one block, `streams`
//!   the requests under way, `reading` says what frames mean.

mod blocks;
mod bodies;
mod connection;
mod fields;
pub mod frame;
mod half;
pub mod hpack;
mod opening;
mod reading;
mod streams;

pub(super) use connection::Connection;
pub use half::MAX_BLOCK;
pub(super) use opening::{server_settings, starts_frame};
pub use streams::MAX_STREAMS;

pub(super) use fields::FieldList;
