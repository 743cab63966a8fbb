//! Settings of the pipeline.

/// Settings of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PipelineSettings {
    /// Unix time minus monotonic time, nanoseconds.
    pub clock_offset_ns: i64,
    /// Tell calls of both sides where both ends of a connection are on this host; else only the
    /// server's side.
    pub both_sides: bool,
    /// Connections known at once; beyond, the least recently used one is dropped. The default
    /// of 65,536 takes about 60 MiB when full.
    pub max_connections: usize,
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
            idle_ns: 20 * 60 * 1_000_000_000,
        }
    }
}
