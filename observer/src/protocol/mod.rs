//! Ordered bytes in, messages out: HTTP/1.0 and HTTP/1.1 (RFC 9110, RFC 9112), HTTP/2 (RFC 9113).
//!
//! Enters: [`crate::stream::Chunk`]. Leaves: [`Message`], heads by reference to the bytes they
//! were read from. Never: a stored body, a head of unbounded size, a response given to a request
//! that it may not belong to, or a guess about bytes that were not seen.
//!
//! - [`Http`] is one connection: which protocol it speaks, which direction asks.
//! - `opening` tells a protocol by its first bytes, `head` reads heads, `framing` says where a
//!   body ends, `chunked` follows the chunked coding, `pairing` says which request is answered.
//! - [`h2`] is all of that for HTTP/2.

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

mod before;
mod chunked;
mod content;
mod counts;
mod framing;
pub mod h2;
mod head;
mod head_reading;
mod http;
mod marks;
mod message;
mod opening;
mod pairing;
mod passed;
mod proxy;
mod reading;
mod rpc;
mod shared;
mod side;
mod simple;
mod socks;
mod upgraded;
mod verdict;
mod websocket;

pub use content::{Coding, Content, ContentKind};
pub use counts::ProtocolCounts;
pub use head::{MAX_HEAD, MAX_HEADERS};
pub use http::Http;
pub use marks::Marks;
pub use message::{Message, RequestHead, ResponseHead};
pub use pairing::MAX_IN_FLIGHT;
pub use passed::{BodyForm, Passed};
pub use reading::{SKIP_AT_LEAST, SKIP_AT_MOST};
pub use rpc::{CONNECT_END, Rpc};
pub use shared::{BODY_PEEK, ProtocolShared};
pub use verdict::Verdict;
pub use websocket::WebSocketSide;
