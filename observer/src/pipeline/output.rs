//! What leaves the pipeline.

use crate::call::ApiCall;
use crate::protocol::Verdict;
use crate::stream::{ConnId, Direction, Position};

/// One result.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every output is a call, and is moved once"
)]
pub enum Output {
    /// A call ended, or will not.
    Call(ApiCall),
    /// The capture may leave out what comes before this place.
    Skip {
        /// The stream pair.
        conn: ConnId,
        /// Which direction.
        direction: Direction,
        /// Place of the next byte that is needed.
        until: Position,
    },
    /// The capture leaves out bytes that may be needed: of this stream pair it must leave out
    /// nothing by itself any more.
    Disputed {
        /// The stream pair.
        conn: ConnId,
    },
    /// The other end of this plaintext stream pair is observed on this host and tells its calls:
    /// nothing more of it is needed. Told once.
    Duplicate {
        /// The stream pair.
        conn: ConnId,
    },
    /// What a connection speaks became known, or changed.
    Verdict {
        /// The stream pair.
        conn: ConnId,
        /// What it speaks.
        verdict: Verdict,
    },
}
