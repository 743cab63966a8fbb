//! Segments and plaintext in, ordered bytes with explicit gaps out. No I/O, no clock.

mod input;

pub use input::{Bytes, ConnId, Direction, Flow, Input, Segment, Tls};
