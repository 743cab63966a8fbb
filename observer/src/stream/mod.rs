//! Segments and plaintext in, ordered bytes with explicit gaps out.
//!
//! Enters: [`Input`], from probes, capture files or transcripts. Leaves: [`Chunk`], in stream
//! order, by reference to the captured bytes wherever they came in order. Never: I/O, a clock,
//! a guess about bytes that were not seen, or an unbounded buffer.

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

mod chunk;
mod conn;
mod counts;
mod half;
mod held;
mod hello;
mod input;
mod pair;
mod position;
mod table;

pub use chunk::{Chunk, Piece};
pub use conn::Conn;
pub use counts::StreamCounts;
pub(crate) use counts::{add, counts};
pub use hello::{TlsHello, TlsVersion};
pub use input::{Bytes, ConnId, Direction, Flow, Input, Segment, Tls};
pub use pair::{StreamPair, StreamShared};
pub use position::Position;
pub use table::Table;
