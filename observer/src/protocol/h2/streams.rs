//! The requests under way on one connection.

use crate::protocol::Marks;
use crate::protocol::rpc::Messages;
use crate::protocol::websocket::Half as WebSocket;

/// Streams of one connection that are followed at once. Servers grant 100 to 256, gRPC servers
/// often any number.
pub const MAX_STREAMS: usize = 1024;

/// Streams under way that a connection keeps memory for.
const SMALL: usize = 8;

/// One request and its response.
#[derive(Debug)]
pub(super) struct Stream {
    /// Stream identifier.
    pub stream: u32,
    /// Number of the request on the connection.
    pub id: u64,
    pub request_body: u64,
    pub request_ended: bool,
    pub request_marks: Marks,
    /// The request may name an operation, whose errors come with any status.
    pub asks: bool,
    /// Bytes of the request and of the response that are still to be told.
    pub peek: [u32; 2],
    /// The head of the final response was seen.
    pub answered: bool,
    pub response_body: u64,
    pub response_marks: Marks,
    pub connect: bool,
    /// The answer has no body, whatever its fields say (RFC 9110 §9.3.2).
    pub bodiless: bool,
    /// `Content-Length` of the request and of the answer.
    pub lengths: [Option<u64>; 2],
    /// Messages of the request and of the response, if this is gRPC.
    pub messages: Option<Box<[Messages; 2]>>,
    /// What its client and its server have sent, if this is WebSocket (RFC 8441 §5).
    pub websocket: Option<Box<[WebSocket; 2]>>,
}

/// Streams in the order of their identifiers, which is that of their requests.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: Vec<Stream>,
    /// Memory that their messages may take, bytes.
    messages: usize,
}

impl Stream {
    fn messages_memory(&self) -> usize {
        let messages = self.messages.as_deref().into_iter().flatten();
        let websocket = self.websocket.as_ref();
        let websocket = websocket.map_or(0, |halves| size_of_val(&**halves));
        websocket + messages.map(Messages::most_memory).sum::<usize>()
    }
}

impl Streams {
    fn index(&self, stream: u32) -> Option<usize> {
        self.open
            .binary_search_by_key(&stream, |open| open.stream)
            .ok()
    }

    pub(super) fn get(&mut self, stream: u32) -> Option<&mut Stream> {
        let index = self.index(stream)?;
        self.open.get_mut(index)
    }

    /// Adds a stream whose identifier is above all others.
    pub(super) fn push(&mut self, stream: Stream) {
        self.messages += stream.messages_memory();
        self.open.push(stream);
    }

    pub(super) fn take(&mut self, stream: u32) -> Option<Stream> {
        let index = self.index(stream)?;
        let taken = self.open.remove(index);
        self.messages = self.messages.saturating_sub(taken.messages_memory());
        if self.open.is_empty() && self.open.capacity() > SMALL {
            self.open = Vec::new();
        }
        Some(taken)
    }

    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= MAX_STREAMS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn oldest(&self) -> Option<u32> {
        self.open.first().map(|open| open.stream)
    }

    pub(super) fn newest(&self) -> Option<u32> {
        self.open.last().map(|open| open.stream)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.open.iter_mut()
    }

    /// Memory it takes, bytes.
    pub(super) fn memory(&self) -> usize {
        self.open.capacity() * size_of::<Stream>() + self.messages
    }
}
