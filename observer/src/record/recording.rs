//! What is kept of one connection until it is written.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::redacted::Redacted;
use crate::stream::{Conn, Direction};

/// Pieces of one connection, and what they are made of.
#[derive(Debug, Default)]
pub(super) struct Recording {
    pieces: Vec<Piece>,
    data: Vec<u8>,
    /// The direction in which requests go, once known.
    pub requests: Option<Direction>,
    /// How messages are written anew.
    pub redacted: Redacted,
    /// A part of the connection was written.
    begun: bool,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    direction: Direction,
    time_ns: u64,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// So many of the bytes kept.
    Bytes(usize),
    /// So many bytes are missing.
    Gap(u64),
    /// So many bytes were left out on purpose.
    Left(u64),
}

impl Recording {
    pub(super) fn bytes(&mut self, direction: Direction, time_ns: u64, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
        match self.pieces.last_mut() {
            Some(Piece {
                direction: last,
                time_ns: at,
                what: What::Bytes(len),
            }) if *last == direction && *at == time_ns => *len += bytes.len(),
            _ => self.piece(direction, time_ns, What::Bytes(bytes.len())),
        }
    }

    pub(super) fn gap(&mut self, direction: Direction, time_ns: u64, len: u64) {
        if len > 0 {
            self.piece(direction, time_ns, What::Gap(len));
        }
    }

    /// Bytes that nobody needs, or that are not to be shown.
    pub(super) fn left_out(&mut self, direction: Direction, time_ns: u64, len: u64) {
        match self.pieces.last_mut() {
            Some(Piece {
                direction: last,
                time_ns: at,
                what: What::Left(before),
            }) if *last == direction && *at == time_ns => *before = before.saturating_add(len),
            _ if len > 0 => self.piece(direction, time_ns, What::Left(len)),
            _ => {}
        }
    }

    fn piece(&mut self, direction: Direction, time_ns: u64, what: What) {
        self.pieces.push(Piece {
            direction,
            time_ns,
            what,
        });
    }

    /// Memory it takes, bytes.
    pub(super) fn memory(&self) -> usize {
        self.data.capacity() + self.pieces.capacity() * size_of::<Piece>()
    }

    /// Bytes kept as they are.
    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    /// Nothing waits to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Gives up what is kept: it is missing from here on.
    pub(super) fn lose(&mut self) {
        let pieces = std::mem::take(&mut self.pieces);
        self.wipe();
        for Piece {
            direction,
            time_ns,
            what,
        } in pieces
        {
            let len = match what {
                What::Bytes(len) => len as u64,
                What::Gap(len) | What::Left(len) => len,
            };
            match self
                .pieces
                .iter_mut()
                .find(|piece| piece.direction == direction)
            {
                Some(Piece {
                    what: What::Gap(sum),
                    ..
                }) => *sum = sum.saturating_add(len),
                _ => self.gap(direction, time_ns, len),
            }
        }
    }

    fn wipe(&mut self) {
        self.data.fill(0);
        self.data = Vec::new();
    }

    /// Writes what is kept as one line; `more`: the connection goes on.
    pub(super) fn write(&mut self, conn: &Conn, offset_ns: i64, more: bool) -> Vec<u8> {
        let requests = self.requests.unwrap_or(Direction::Inbound);
        let client = requests == Direction::Outbound;
        let mut line = format!("{{\"id\":\"{}\"", conn.id.0);
        if let Some(flow) = conn.flow {
            let (from, to) = match client {
                true => (flow.local, flow.remote),
                false => (flow.remote, flow.local),
            };
            // Writing to a string does not fail.
            let _ = write!(line, ",\"client\":\"{from}\",\"server\":\"{to}\"");
        }
        if client {
            line.push_str(",\"role\":\"client\"");
        }
        if let Some(tls) = &conn.tls {
            let library = serde_json::to_string(&tls.library).unwrap_or_default();
            let _ = write!(line, ",\"tls\":{library}");
        }
        if conn.joined && !self.begun {
            line.push_str(",\"joined\":true");
        }
        if more {
            line.push_str(",\"more\":true");
        }
        line.push_str(",\"chunks\":[");
        let mut data = self.data.as_slice();
        for (at, piece) in self.pieces.iter().enumerate() {
            let Piece {
                direction,
                time_ns,
                what,
            } = *piece;
            let way = if direction == requests { 'c' } else { 's' };
            let comma = if at > 0 { "," } else { "" };
            let time = time_ns.saturating_add_signed(offset_ns);
            let _ = write!(
                line,
                "{comma}{{\"d\":\"{way}\",\"t_ms\":{}.{:06},",
                time / 1_000_000,
                time % 1_000_000
            );
            let _ = match what {
                What::Bytes(len) => {
                    let (bytes, rest) = data.split_at_checked(len).unwrap_or((data, &[]));
                    data = rest;
                    line.push_str("\"b\":\"");
                    STANDARD.encode_string(bytes, &mut line);
                    write!(line, "\"}}")
                }
                What::Gap(len) => write!(line, "\"gap\":{len}}}"),
                What::Left(len) => write!(line, "\"left_out\":{len}}}"),
            };
        }
        line.push_str("]}\n");
        self.begun = true;
        self.pieces = Vec::new();
        self.wipe();
        line.into_bytes()
    }
}
