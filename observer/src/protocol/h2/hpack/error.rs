//! Why a header block could not be read.

/// A block that does not follow RFC 7541. An endpoint has to end the connection for any of these
/// (RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HpackError {
    /// The block ends inside a field.
    #[error("the header block ends inside a field")]
    Truncated,
    /// An integer above 2^28 or with needless octets (§5.1).
    #[error("an integer of the header block is too large")]
    Integer,
    /// An index of an entry that cannot be there (§2.3.3).
    #[error("the header block names a table entry that does not exist")]
    Index,
    /// Huffman coding with EOS inside, or with wrong padding (§5.2).
    #[error("a string of the header block is not Huffman coded as it says")]
    Huffman,
    /// A table size update after a field, or above what the peer allows (§4.2, §6.3).
    #[error("the header block changes the table size where or as it may not")]
    SizeUpdate,
}
