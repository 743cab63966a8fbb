//! State of one direction of an HTTP/2 connection.

use super::frame::FrameHead;
use super::hpack::Decoder;

/// Longest header block that is kept, compressed, bytes. What an HTTP/1 head may have.
pub const MAX_BLOCK: usize = 256 << 10;

/// Most CONTINUATION frames of a block. A block of the length above in frames of the smallest
/// size that a sender may be held to would have 16.
pub(super) const MAX_CONTINUATIONS: u32 = 64;

/// Longest payload of frames that carry no header block and are read, bytes.
pub(super) const MAX_CONTROL: usize = 16 << 10;

/// Where in a frame a direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// In the preface of a client (RFC 9113 §3.4); so many bytes of it were seen.
    Preface(usize),
    /// In a frame head, or at the boundary before one.
    Head,
    /// In a payload that has to be there as a whole.
    Payload(FrameHead),
    /// In a DATA frame.
    Data(DataRun),
    /// In a payload that nobody needs.
    Pass(u32),
    /// The frame boundary is lost.
    Search,
}

/// The rest of a DATA frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DataRun {
    pub stream: u32,
    pub end_stream: bool,
    /// The next byte is the length of the padding.
    pub padded: bool,
    /// Content bytes left.
    pub content: u32,
    /// Padding bytes after them.
    pub padding: u32,
}

/// A header block that goes on in CONTINUATION.
#[derive(Debug)]
pub(super) struct Block {
    pub stream: u32,
    pub end_stream: bool,
    /// It is that of a PUSH_PROMISE.
    pub promise: bool,
    pub start_ns: u64,
    pub bytes: Vec<u8>,
    pub continuations: u32,
    /// It was too long, and what was kept of it has been read.
    pub flooded: bool,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Half {
    pub state: State,
    /// Start of a frame head or of a payload whose end has not come.
    pub buffer: Vec<u8>,
    pub block: Option<Box<Block>>,
    pub decoder: Decoder,
    /// No frame boundary was ever found by searching.
    pub exact: bool,
    /// When the first byte of the frame at hand was seen.
    pub start_ns: u64,
    /// Place up to which the capture was asked to leave out bytes.
    pub asked: u64,
    pub ended: bool,
}

impl Half {
    pub(super) fn new(state: State, midway: bool) -> Self {
        Self {
            state,
            buffer: Vec::new(),
            block: None,
            decoder: Decoder::new(midway),
            exact: !midway,
            start_ns: 0,
            asked: 0,
            ended: false,
        }
    }

    /// Memory it takes besides itself, bytes.
    pub(super) fn memory(&self) -> usize {
        let block = self.block.as_ref();
        self.buffer.capacity()
            + block.map_or(0, |block| size_of::<Block>() + block.bytes.capacity())
            + self.decoder.memory()
    }

    /// Frees the memory of what is incomplete.
    pub(super) fn drop_incomplete(&mut self) {
        self.buffer = Vec::new();
        self.block = None;
    }
}
