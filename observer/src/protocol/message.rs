//! What leaves `protocol`.

use std::net::SocketAddr;

use httparse::Header;

use super::{Marks, Passed, Rpc, Verdict, WebSocketSide};
use crate::stream::Direction;

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// Number of the request on its connection; later messages refer to it.
    pub id: u64,
    /// When its first byte was seen, monotonic nanoseconds.
    pub time_ns: u64,
    /// Which way it went.
    pub direction: Direction,
    /// Minor version of HTTP/1: 0 or 1; 2 for HTTP/2, 9 for HTTP/0.9.
    pub version: u8,
    /// It is a remote procedure call.
    pub rpc: Option<Rpc>,
    /// Method as sent; empty if it is not known.
    pub method: &'a str,
    /// Target as sent (RFC 9112 §3.2, RFC 9113 §8.3.1); empty if it is not known.
    pub target: &'a str,
    /// `:authority` (RFC 9113 §8.3.1).
    pub authority: Option<&'a [u8]>,
    /// Fields, in order.
    pub fields: &'a [Header<'a>],
    /// What was odd about the head.
    pub marks: Marks,
}

/// The head of a final response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// The request it answers.
    pub id: u64,
    /// Status code; `None` if it is not known.
    pub status: Option<u16>,
    /// Fields, in order.
    pub fields: &'a [Header<'a>],
    /// What was odd about the head.
    pub marks: Marks,
}

/// One step of the protocol of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// A request begins.
    Request(RequestHead<'a>),
    /// A request ended, or was cut.
    RequestEnd {
        /// Which.
        id: u64,
        /// Body bytes after transfer decoding.
        body_bytes: u64,
        /// What was odd about the body.
        marks: Marks,
    },
    /// The next part of a body, after transfer decoding. Told of bodies that may name an
    /// operation or an error, from their first byte on, up to a bound and as long as nothing is
    /// missing.
    Content {
        /// Which request.
        id: u64,
        /// It is of the request, not of its answer.
        request: bool,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// The final response to a request begins.
    Response(ResponseHead<'a>),
    /// A response ended, or was cut.
    ResponseEnd {
        /// Which request it answers.
        id: u64,
        /// When its last byte was seen, monotonic nanoseconds.
        time_ns: u64,
        /// Body bytes after transfer decoding.
        body_bytes: u64,
        /// What was odd about the body.
        marks: Marks,
        /// The request has not ended yet; so many bytes of its body were seen so far.
        request_body_so_far: Option<u64>,
    },
    /// Fields after the body of a response.
    Trailers {
        /// Which request it answers.
        id: u64,
        /// Fields, in order.
        fields: &'a [Header<'a>],
    },
    /// How many messages of a remote procedure call were sent, before the end of a response is
    /// told. What is not known is left as it was.
    Messages {
        /// Which request.
        id: u64,
        /// By the client, if known.
        requests: Option<u64>,
        /// By the server, if known.
        responses: Option<u64>,
    },
    /// What went over the WebSocket connection that a request opened, before the end of its
    /// response is told.
    WebSocket {
        /// Which request.
        id: u64,
        /// What its client sent.
        client: WebSocketSide,
        /// What its server sent.
        server: WebSocketSide,
    },
    /// No response to a request will be told.
    Unanswered {
        /// Which.
        id: u64,
        /// There may have been one, which was lost or could not be told from others.
        lost: bool,
        /// Body bytes seen so far, if the request has not ended.
        request_body_so_far: Option<u64>,
    },
    /// The opening of the connection names its client (PROXY protocol), before any request.
    Proxied {
        /// Address that the sender of the opening saw.
        client: SocketAddr,
    },
    /// Bytes of a direction up to this place are not needed.
    Skip {
        /// Which direction.
        direction: Direction,
        /// Place of the next byte that is needed, as in [`crate::stream::Chunk::at`].
        until: u64,
    },
    /// The source leaves out bytes that may be needed: it must leave out nothing by itself any more.
    Disputed,
    /// Bytes of which no other message tells. Told only if that was asked for
    /// ([`super::ProtocolShared::tell_passed`]).
    Passed(Passed<'a>),
    /// What the connection speaks, each at most once.
    Verdict(Verdict),
}
