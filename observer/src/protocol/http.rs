//! One connection: what it speaks, and which of its directions asks.

use super::opening::{Opening, opening, skip_empty_lines};
use super::pairing::Pairing;
use super::reading::{Reader, Role};
use super::side::{Side, State};
use super::{Message, ProtocolCounts, Verdict};
use crate::stream::{Chunk, Direction, Piece, add};

/// Memory for incomplete heads of all connections together, bytes: enough for 64 that are as
/// large as can be, or for 16,000 of usual size that all stop in the middle.
pub const HEAD_LIMIT: usize = 16 << 20;

/// Bytes of one direction that are searched for a first message on a connection joined midway,
/// which may be inside a large body.
const JOIN_SEARCH_LIMIT: u64 = 4 << 20;

/// What all connections share: counters and the memory that incomplete heads may take.
#[derive(Debug)]
pub struct ProtocolShared {
    /// Counters.
    pub counts: ProtocolCounts,
    /// Memory of incomplete heads in use, bytes.
    pub head_bytes: usize,
    /// Bound of `head_bytes`.
    pub head_limit: usize,
}

impl Default for ProtocolShared {
    fn default() -> Self {
        Self {
            counts: ProtocolCounts::default(),
            head_bytes: 0,
            head_limit: HEAD_LIMIT,
        }
    }
}

impl ProtocolShared {
    pub(super) fn account(&mut self, before: usize, after: usize) {
        self.head_bytes = self.head_bytes.saturating_sub(before).saturating_add(after);
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// Not known yet.
    #[default]
    Opening,
    /// HTTP/1.
    Http1,
    /// It was HTTP/1.
    Tunnel,
    /// Not HTTP/1.
    Ignored,
}

/// HTTP/1 on one connection.
#[derive(Debug, Default)]
pub struct Http {
    inbound: Side,
    outbound: Side,
    mode: Mode,
    /// The direction in which requests go, once known.
    requests: Option<Direction>,
    /// A head was read: what follows on this connection is HTTP/1 whatever it looks like.
    confirmed: bool,
    /// The first bytes were not seen, so what comes first may be the middle of something.
    midway: bool,
    pairing: Pairing,
    active_ns: u64,
}

impl Http {
    /// A connection; `midway` if it was open before it was observed.
    pub fn new(midway: bool) -> Self {
        let mut http = Self::default();
        if midway {
            http.set_midway(0);
        }
        http
    }

    fn set_midway(&mut self, time_ns: u64) {
        self.midway = true;
        self.pairing.request_lost(time_ns);
        self.pairing.response_lost(false);
    }

    /// The direction in which requests go, once known.
    pub fn requests(&self) -> Option<Direction> {
        self.requests
    }

    /// A response that starts in this direction now may answer a request that waits, in the
    /// other direction, for bytes before it: those will not come, since it has been answered.
    pub fn needs_other(&self, direction: Direction) -> bool {
        let side = match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        };
        let boundary = side.head.is_empty() && matches!(side.state, State::Head | State::Search);
        let opening = self.mode == Mode::Opening;
        let answers = self.mode == Mode::Http1 && self.requests != Some(direction);
        boundary && (opening || answers && (!self.pairing.waiting() || self.pairing.uncertain()))
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Inbound => &mut self.inbound,
            Direction::Outbound => &mut self.outbound,
        }
    }

    /// Takes the next piece of a direction. The answer is the place up to which bytes of that
    /// direction are not needed, if any; it was also sent as [`Message::Skip`].
    pub fn push(
        &mut self,
        chunk: &Chunk<'_>,
        shared: &mut ProtocolShared,
        out: &mut impl FnMut(Message<'_>),
    ) -> Option<u64> {
        let Chunk {
            direction,
            time_ns,
            at,
            piece,
        } = *chunk;
        let moved = match piece {
            Piece::Data(bytes) => bytes.len() as u64,
            Piece::Gap(len) | Piece::Skipped(len) => len,
            Piece::End => 0,
        };
        let quiet_since_ns = self.active_ns;
        self.active_ns = self.active_ns.max(time_ns);
        match self.mode {
            Mode::Opening => {
                if !self.open(direction, time_ns, piece, shared, out) {
                    return None;
                }
            }
            Mode::Http1 => {}
            Mode::Tunnel => {
                add(&mut shared.counts.tunnel_bytes, moved);
                return None;
            }
            Mode::Ignored => {
                add(&mut shared.counts.ignored_bytes, moved);
                return None;
            }
        }
        let (mut reader, confirmed) = self.reader(direction, time_ns, quiet_since_ns, shared, out);
        match piece {
            Piece::Data(bytes) => reader.data(bytes),
            Piece::Gap(len) => reader.gap(len, false),
            Piece::Skipped(len) => reader.gap(len, true),
            Piece::End => reader.end(),
        }
        let skip = reader.demand(at.saturating_add(moved));
        let (heads, left_http, invalid) = (reader.heads, reader.left_http, reader.invalid);
        if heads && !confirmed {
            self.confirmed = true;
        }
        if left_http {
            self.mode = Mode::Tunnel;
            self.drop_heads(shared);
            shared.counts.upgraded += 1;
            out(Message::Verdict(Verdict::Upgraded));
        } else if invalid && !self.confirmed {
            self.doubt(direction, moved, shared, out);
        }
        skip
    }

    fn reader<'a, F: FnMut(Message<'_>)>(
        &'a mut self,
        direction: Direction,
        time_ns: u64,
        quiet_since_ns: u64,
        shared: &'a mut ProtocolShared,
        out: &'a mut F,
    ) -> (Reader<'a, F>, bool) {
        let (side, other) = match direction {
            Direction::Inbound => (&mut self.inbound, &self.outbound),
            Direction::Outbound => (&mut self.outbound, &self.inbound),
        };
        let role = if self.requests == Some(direction) {
            Role::Request
        } else {
            Role::Response
        };
        let open_request = match (role, other.state) {
            (Role::Response, State::Length(_) | State::Close) => {
                other.id.map(|id| (id, other.body))
            }
            (Role::Response, State::Chunked(chunked)) => other.id.map(|id| (id, chunked.decoded)),
            _ => None,
        };
        let reader = Reader {
            side,
            pairing: &mut self.pairing,
            shared,
            out,
            direction,
            role,
            time_ns,
            quiet_since_ns,
            open_request,
            confirmed: self.confirmed,
            heads: false,
            left_http: false,
            invalid: false,
        };
        (reader, self.confirmed)
    }

    /// Looks at the first bytes; `true` once they are HTTP/1 and have to be read.
    fn open(
        &mut self,
        direction: Direction,
        time_ns: u64,
        piece: Piece<'_>,
        shared: &mut ProtocolShared,
        out: &mut impl FnMut(Message<'_>),
    ) -> bool {
        let bytes = match piece {
            Piece::Data(bytes) => bytes,
            Piece::Gap(_) | Piece::Skipped(_) => {
                self.side(direction).drop_head(shared);
                self.set_midway(time_ns);
                return false;
            }
            Piece::End => {
                self.side(direction).ended = true;
                return false;
            }
        };
        let midway = self.midway;
        let quiet_since_ns = self.active_ns;
        let side = self.side(direction);
        let mut seen = if side.head.is_empty() {
            side.start_ns = time_ns;
            side.quiet_since_ns = quiet_since_ns;
            opening(bytes, midway)
        } else {
            opening(&[&side.head, bytes].concat(), midway)
        };
        if seen == Opening::Other && midway && !side.head.is_empty() {
            side.drop_head(shared);
            side.start_ns = time_ns;
            seen = opening(bytes, midway);
        }
        match seen {
            Opening::Incomplete => {
                let fresh = if side.head.is_empty() {
                    skip_empty_lines(bytes)
                } else {
                    bytes
                };
                if let Err(refused) = side.keep(fresh, shared) {
                    refused.count(&mut shared.counts);
                    side.drop_head(shared);
                    self.set_midway(time_ns);
                }
                false
            }
            Opening::Request | Opening::Response => {
                let inbound = direction == Direction::Inbound;
                let requests = match inbound == (seen == Opening::Request) {
                    true => Direction::Inbound,
                    false => Direction::Outbound,
                };
                self.requests = Some(requests);
                self.mode = Mode::Http1;
                true
            }
            Opening::Http2 => self.ignore(Verdict::Http2, shared, out),
            Opening::Tls => self.ignore(Verdict::Tls, shared, out),
            Opening::Other => {
                self.doubt(direction, bytes.len() as u64, shared, out);
                false
            }
        }
    }

    /// What came is not HTTP/1, unless it is the middle of something.
    fn doubt(
        &mut self,
        direction: Direction,
        len: u64,
        shared: &mut ProtocolShared,
        out: &mut impl FnMut(Message<'_>),
    ) {
        let midway = self.midway;
        let side = self.side(direction);
        side.unrecognised = side.unrecognised.saturating_add(len);
        add(&mut shared.counts.searched_bytes, len);
        if midway && side.unrecognised <= JOIN_SEARCH_LIMIT {
            side.drop_head(shared);
            side.state = State::Head;
            self.mode = Mode::Opening;
            self.requests = None;
        } else {
            self.ignore(Verdict::NotHttp, shared, out);
        }
    }

    fn ignore(
        &mut self,
        verdict: Verdict,
        shared: &mut ProtocolShared,
        out: &mut impl FnMut(Message<'_>),
    ) -> bool {
        self.mode = Mode::Ignored;
        self.drop_heads(shared);
        match verdict {
            Verdict::Http2 => shared.counts.http2 += 1,
            Verdict::Tls => shared.counts.tls += 1,
            _ => shared.counts.not_http += 1,
        }
        out(Message::Verdict(verdict));
        false
    }

    fn drop_heads(&mut self, shared: &mut ProtocolShared) {
        self.inbound.drop_head(shared);
        self.outbound.drop_head(shared);
    }

    /// The connection is gone and both directions have ended: tells which requests will have no
    /// response, and frees what was kept.
    pub fn close(&mut self, shared: &mut ProtocolShared, out: &mut impl FnMut(Message<'_>)) {
        self.drop_heads(shared);
        let lost = self.pairing.uncertain();
        self.pairing.abandon(&mut |id| {
            out(Message::Unanswered {
                id,
                lost,
                request_body_so_far: None,
            });
        });
    }
}
