//! The counters of all stages.

use crate::call::CallCounts;
use crate::protocol::ProtocolCounts;
use crate::stream::StreamCounts;

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of putting bytes in order.
    pub stream: StreamCounts,
    /// Of reading messages.
    pub protocol: ProtocolCounts,
    /// Of building calls.
    pub call: CallCounts,
}

impl Counts {
    /// Stage, name, meaning and value of every counter.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str, u64)> {
        let Self {
            stream,
            protocol,
            call,
        } = self;
        [
            ("stream", stream.rows()),
            ("protocol", protocol.rows()),
            ("call", call.rows()),
        ]
        .into_iter()
        .flat_map(|(stage, rows)| {
            rows.into_iter()
                .map(move |(name, help, value)| (stage, name, help, value))
        })
    }
}
