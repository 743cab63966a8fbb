//! What the opening of TLS connections met.

use crate::stream::counts;

counts! {
    /// Connections whose bytes were looked at for TLS, and their records.
    DecryptCounts {
        /// TLS connections that were opened.
        opened,
        /// TLS connections whose secrets are not known.
        without_secrets,
        /// TLS connections of a version or a cipher suite that is not read.
        unsupported,
        /// Records opened.
        records,
        /// Records that do not prove to be whole.
        records_failed,
        /// Directions given up because bytes are missing between two records.
        directions_lost,
        /// Directions given up because half records of all connections took too much memory.
        over_budget,
    }
}
