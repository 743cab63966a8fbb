//! What a connection speaks after `101 Switching Protocols` (RFC 9110 §7.8), if it can be read.

use httparse::Header;

use super::websocket::{Half, WebSocketSide};
use super::{Marks, Message, SKIP_AT_MOST};
use crate::stream::{Direction, Piece};

/// What a response switches to, and the request that asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// WebSocket (RFC 6455).
    WebSocket(u64),
    /// HTTP/2 without TLS (RFC 7540 §3.2).
    Http2(u64),
}

impl Upgrade {
    /// By the fields of the response.
    pub(super) fn of(fields: &[Header<'_>], id: u64) -> Option<Self> {
        let mut upgrades = fields
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case("upgrade"));
        let value = upgrades.next()?.value.trim_ascii();
        if value.eq_ignore_ascii_case(b"websocket") {
            Some(Self::WebSocket(id))
        } else if value.eq_ignore_ascii_case(b"h2c") {
            Some(Self::Http2(id))
        } else {
            None
        }
    }
}

/// A WebSocket connection.
#[derive(Debug)]
pub(super) struct WebSocket {
    /// The request that opened it.
    id: u64,
    requests: Direction,
    client: Half,
    server: Half,
    asked: [u64; 2],
    gap: bool,
    told: bool,
}

impl WebSocket {
    pub(super) fn new(id: u64, requests: Direction) -> Self {
        Self {
            id,
            requests,
            client: Half::default(),
            server: Half::default(),
            asked: [0; 2],
            gap: false,
            told: false,
        }
    }

    /// Takes the next piece of a direction; `at` is the place after it. The answer is the place
    /// up to which bytes are not needed.
    pub(super) fn push(
        &mut self,
        direction: Direction,
        time_ns: u64,
        at: u64,
        piece: Piece<'_>,
        skip: bool,
        out: &mut impl FnMut(Message<'_>),
    ) -> Option<u64> {
        let [of_client, of_server] = &mut self.asked;
        let (half, asked) = if direction == self.requests {
            (&mut self.client, of_client)
        } else {
            (&mut self.server, of_server)
        };
        match piece {
            Piece::Data(bytes) => half.push(bytes),
            Piece::Gap(len) => {
                half.pass(len);
                self.gap = true;
            }
            Piece::Skipped(len) => half.pass(len),
            Piece::End => half.ended = true,
        }
        let left = half.skippable().filter(|_| skip && at >= *asked);
        let until = left.map(|left| at.saturating_add(left.min(SKIP_AT_MOST)));
        if let Some(until) = until {
            *asked = until;
            out(Message::Skip { direction, until });
        }
        if self.client.ended && self.server.ended {
            self.end(time_ns, out);
        }
        until
    }

    /// Nothing follows in either direction.
    pub(super) fn end(&mut self, time_ns: u64, out: &mut impl FnMut(Message<'_>)) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let (id, client, server): (_, WebSocketSide, WebSocketSide) =
            (self.id, self.client.side, self.server.side);
        out(Message::WebSocket { id, client, server });
        let mut marks = Marks::UPGRADE;
        if self.gap {
            marks.add(Marks::GAP);
        }
        out(Message::ResponseEnd {
            id,
            time_ns,
            body_bytes: server.bytes,
            marks,
            request_body_so_far: Some(client.bytes),
        });
    }
}
