//! HPACK (RFC 7541): header blocks in, fields out.
//!
//! Enters: whole header blocks of one direction, in order. Leaves: [`Field`]s by reference.
//! Never: a guess at a field whose table entry was not seen, a table above [`MAX_TABLE`], a
//! value that outlives its table entry.
//!
//! - `decoder` reads blocks, `table` is the dynamic table, `static_table` the static one,
//!   `integer` and `huffman` are the two primitives.

mod decoder;
mod error;
mod field;
mod huffman;
mod integer;
mod static_table;
mod table;

pub use decoder::{Decoder, Scratch};
pub use error::HpackError;
pub use field::Field;
pub use table::{DEFAULT_TABLE, MAX_TABLE};
