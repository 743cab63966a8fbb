//! One HTTP/2 connection.

use super::half::{Half, State};
use super::reading::Reader;
use super::streams::{Stream, Streams};
use crate::protocol::shared::ProtocolShared;
use crate::protocol::{Marks, Message, SKIP_AT_LEAST, SKIP_AT_MOST};
use crate::stream::{Direction, Piece, add};

/// State of one connection.
#[derive(Debug)]
pub(in crate::protocol) struct Connection {
    inbound: Half,
    outbound: Half,
    pub(super) shared: Both,
    /// Memory that the shared sum has.
    accounted: usize,
}

/// What both directions share.
#[derive(Debug, Default)]
pub(super) struct Both {
    pub streams: Streams,
    /// The direction in which requests go, once known.
    pub requests: Option<Direction>,
    pub next_id: u64,
    /// Highest stream that a request opened.
    pub last_stream: u32,
    /// gRPC streams that their client has reset, and when.
    pub lingering: Vec<(u32, u64)>,
}

impl Connection {
    /// A connection that starts with the preface of its client, whose requests go in this
    /// direction. `first_id` is the number of its first request.
    pub(in crate::protocol) fn from_start(requests: Direction, first_id: u64) -> Self {
        let half = |direction| {
            let client = direction == requests;
            Half::new(
                if client {
                    State::Preface(0)
                } else {
                    State::Head
                },
                false,
            )
        };
        Self {
            inbound: half(Direction::Inbound),
            outbound: half(Direction::Outbound),
            shared: Both {
                requests: Some(requests),
                next_id: first_id,
                ..Both::default()
            },
            accounted: 0,
        }
    }

    /// A connection that began as HTTP/1: the request with this number is answered on stream 1
    /// (RFC 7540 §3.2).
    pub(in crate::protocol) fn upgraded(requests: Direction, first_id: u64, id: u64) -> Self {
        let mut connection = Self::from_start(requests, first_id);
        connection.shared.last_stream = 1;
        connection.shared.streams.push(Stream {
            stream: 1,
            id,
            request_body: 0,
            request_ended: true,
            request_marks: Marks::NONE,
            asks: false,
            peek: [0; 2],
            answered: false,
            response_body: 0,
            response_marks: Marks::NONE,
            connect: false,
            bodiless: false,
            lengths: [None; 2],
            messages: None,
            websocket: None,
        });
        connection
    }

    /// A connection that was open before it was observed.
    pub(in crate::protocol) fn joined() -> Self {
        Self {
            inbound: Half::new(State::Search, true),
            outbound: Half::new(State::Search, true),
            shared: Both::default(),
            accounted: 0,
        }
    }

    /// The direction in which requests go, once known.
    pub(in crate::protocol) fn requests(&self) -> Option<Direction> {
        self.shared.requests
    }

    /// A response that starts in this direction now answers a request that was not seen.
    pub(in crate::protocol) fn needs_other(&self, direction: Direction) -> bool {
        let half = match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        };
        let boundary = half.buffer.is_empty() && matches!(half.state, State::Head | State::Search);
        let answers = self
            .shared
            .requests
            .is_some_and(|requests| requests != direction);
        boundary && answers && self.shared.streams.is_empty()
    }

    /// Takes the next piece of a direction, `at` its place. Answers as
    /// [`crate::protocol::Http::push`] does.
    pub(in crate::protocol) fn push(
        &mut self,
        direction: Direction,
        time_ns: u64,
        at: u64,
        piece: Piece<'_>,
        shared: &mut ProtocolShared,
        out: &mut impl FnMut(Message<'_>),
    ) -> Option<u64> {
        let Self {
            inbound,
            outbound,
            shared: both,
            ..
        } = self;
        let (half, other) = match direction {
            Direction::Inbound => (inbound, outbound),
            Direction::Outbound => (outbound, inbound),
        };
        let mut reader = Reader {
            half,
            other,
            both,
            shared,
            out,
            direction,
            time_ns,
        };
        reader.end_lingering();
        let moved = match piece {
            Piece::Data(bytes) => {
                reader.data(bytes);
                bytes.len() as u64
            }
            Piece::Gap(len) => {
                reader.gap(len, Marks::GAP);
                len
            }
            Piece::Skipped(len) => {
                reader.gap(len, Marks::NONE);
                len
            }
            Piece::End => {
                reader.end();
                0
            }
        };
        let skip = match reader.peeked() {
            true => None,
            false => reader.half.demand(at.saturating_add(moved), reader.shared),
        };
        if let Some(until) = skip {
            out(Message::Skip { direction, until });
        }
        self.account(shared);
        skip
    }

    fn account(&mut self, shared: &mut ProtocolShared) {
        let mut memory = self.memory();
        shared.account_h2(self.accounted, memory);
        if shared.h2_bytes > shared.h2_limit && memory > 0 {
            // The tables are most of it, and can be done without.
            shared.counts.tables_over_budget += 1;
            for half in [&mut self.inbound, &mut self.outbound] {
                half.decoder.forget();
                if half.buffer.is_empty() {
                    half.buffer = Vec::new();
                }
            }
            let before = memory;
            memory = self.memory();
            shared.account_h2(before, memory);
        }
        self.accounted = memory;
    }

    fn memory(&self) -> usize {
        self.inbound.memory() + self.outbound.memory() + self.shared.streams.memory()
    }

    /// The connection is gone: tells which requests will have no response, and frees all.
    pub(in crate::protocol) fn close(
        &mut self,
        shared: &mut ProtocolShared,
        out: &mut impl FnMut(Message<'_>),
    ) {
        while let Some(oldest) = self.shared.streams.oldest()
            && let Some(stream) = self.shared.streams.take(oldest)
        {
            stream.give_up(None, out);
        }
        shared.account_h2(std::mem::take(&mut self.accounted), 0);
    }
}

impl Half {
    /// Asks to leave out the rest of a large DATA frame; `at` is the place of the next byte.
    fn demand(&mut self, at: u64, shared: &mut ProtocolShared) -> Option<u64> {
        let State::Data(run) = self.state else {
            return None;
        };
        let left = u64::from(run.content);
        if !shared.skip_bodies || run.padded || left <= SKIP_AT_LEAST || at < self.asked {
            return None;
        }
        let until = at.saturating_add(left.min(SKIP_AT_MOST));
        self.asked = until;
        add(&mut shared.counts.skip_requests, 1);
        Some(until)
    }
}
