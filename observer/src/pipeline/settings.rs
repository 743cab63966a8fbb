//! Settings of the pipeline.

use crate::protocol::BODY_PEEK;

/// Settings of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PipelineSettings {
    /// Unix time minus monotonic time, nanoseconds.
    pub clock_offset_ns: i64,
    /// Tell calls of both sides where both ends of a connection are on this host; else only the
    /// server's side.
    pub both_sides: bool,
    /// Connections known at once; beyond, the least recently used one is dropped. The default
    /// of 65,536 takes about 80 MiB when full.
    pub max_connections: usize,
    /// First bytes of a body that are read for the name of an operation or the code of an error,
    /// where the content may have one; 0: none.
    pub body_peek: u32,
    /// A connection without any input for so long is dropped, nanoseconds. Default: 20 minutes,
    /// above the keep-alive time of common servers and of idle pools.
    pub idle_ns: u64,
}

impl Default for PipelineSettings {
    fn default() -> Self {
        Self {
            clock_offset_ns: 0,
            both_sides: false,
            max_connections: 65_536,
            body_peek: BODY_PEEK,
            idle_ns: 20 * 60 * 1_000_000_000,
        }
    }
}
