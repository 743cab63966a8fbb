//! What the call stage met.

use crate::stream::counts;

counts! {
    /// Calls told, and those that were not.
    CallCounts {
        /// Calls told.
        calls,
        /// Calls told without a response.
        without_response,
        /// Calls of the client side that the server side on this host tells.
        duplicates,
        /// Methods, hosts, paths or queries cut to their bound.
        truncated,
        /// First parts of bodies given up because calls under way took too much memory.
        peeks_over_limit,
        /// Calls told before their response because too many were open.
        open_over_limit,
    }
}
