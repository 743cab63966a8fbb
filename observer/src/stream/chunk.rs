//! What leaves `stream`: bytes in order, with nothing missing that is not said.

use super::Direction;

/// The next piece of one direction of a stream pair.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// Which direction.
    pub direction: Direction,
    /// Monotonic nanoseconds at which its source saw it; for a gap, the time of what came after.
    pub time_ns: u64,
    /// Place of the first byte, counted on without wrapping; the low 32 bits are the sequence
    /// number where the source has those.
    pub at: u64,
    /// What it is.
    pub piece: Piece<'a>,
    /// The source has read how long the body at hand is, and leaves out what comes before this
    /// place. Whoever reads the stream must come to the same.
    pub skips: Option<u64>,
}

/// Content of a [`Chunk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes.
    Data(&'a [u8]),
    /// So many bytes are missing.
    Gap(u64),
    /// So many bytes were left out because nobody needs them: the parser asked for that, or the
    /// source came to the same by itself.
    Skipped(u64),
    /// The direction ended.
    End,
}
