//! One connection: what it speaks, and which of its directions asks.

use super::h2::{Connection, starts_frame};
use super::opening::{Opening, first_bytes, opening, skip_empty_lines};
use super::pairing::Pairing;
use super::reading::{Reader, Role};
use super::shared::ProtocolShared;
use super::side::{Side, State};
use super::upgraded::{Upgrade, WebSocket};
use super::{Message, Verdict};
use crate::stream::{Chunk, Direction, Piece, add};

/// Bytes of one direction that are searched for a first message on a connection joined midway,
/// which may be inside a large body.
const JOIN_SEARCH_LIMIT: u64 = 4 << 20;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// Not known yet.
    #[default]
    Opening,
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
    /// It was HTTP/1.
    Tunnel,
    /// It was HTTP/1 and is WebSocket.
    WebSocket,
    /// Not HTTP.
    Ignored,
}

/// HTTP on one connection.
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
    /// Once it is HTTP/2.
    h2: Option<Box<Connection>>,
    /// Once it is WebSocket.
    websocket: Option<Box<WebSocket>>,
    /// Memory of `pairing` that the shared sum has.
    accounted: usize,
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

    pub(super) fn set_midway(&mut self, time_ns: u64) {
        self.midway = true;
        self.pairing.request_lost(time_ns);
        self.pairing.response_lost(false);
    }

    /// The direction in which requests go, once known.
    pub fn requests(&self) -> Option<Direction> {
        match &self.h2 {
            Some(h2) => h2.requests(),
            None => self.requests,
        }
    }

    /// A response that starts in this direction now may answer a request that waits, in the
    /// other direction, for bytes before it: those will not come, since it has been answered.
    pub fn needs_other(&self, direction: Direction) -> bool {
        if let Some(h2) = &self.h2 {
            return h2.needs_other(direction);
        }
        let side = match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        };
        let boundary = side.head.is_empty() && matches!(side.state, State::Head | State::Search);
        let opening = self.mode == Mode::Opening;
        let answers = self.mode == Mode::Http1 && self.requests != Some(direction);
        boundary && (opening || answers && (!self.pairing.waiting() || self.pairing.uncertain()))
    }

    pub(super) fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Inbound => &mut self.inbound,
            Direction::Outbound => &mut self.outbound,
        }
    }

    /// Takes the next piece of a direction. The answer is the place up to which bytes of that
    /// direction are not needed, if any; it was also sent as [`Message::Skip`], unless the source
    /// leaves them out by itself.
    pub fn push(
        &mut self,
        chunk: &Chunk<'_>,
        shared: &mut ProtocolShared,
        out: &mut impl FnMut(Message<'_>),
    ) -> Option<u64> {
        let asked = self.read(chunk, shared, out);
        if let Some(until) = chunk.skips
            && asked.is_none_or(|asked| asked < until)
        {
            shared.counts.skips_disputed += 1;
            out(Message::Disputed);
        }
        asked
    }

    fn read(
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
            skips,
        } = *chunk;
        let moved = match piece {
            Piece::Data(bytes) => bytes.len() as u64,
            Piece::Gap(len) | Piece::Skipped(len) => len,
            Piece::End => 0,
        };
        let quiet_since_ns = self.active_ns;
        self.active_ns = self.active_ns.max(time_ns);
        let (mut at, mut moved, mut piece) = (at, moved, piece);
        if let (Mode::Opening, false, Piece::Data(bytes)) = (self.mode, self.midway, piece)
            && !self.side(direction).proxied
        {
            let rest = self.pass_proxy(direction, time_ns, bytes, shared, out)?;
            at = at.saturating_add((bytes.len() - rest.len()) as u64);
            moved = rest.len() as u64;
            piece = Piece::Data(rest);
        }
        match self.mode {
            Mode::Opening => {
                if !self.open(direction, time_ns, piece, shared, out) {
                    return None;
                }
            }
            Mode::Http1 | Mode::Http2 => {}
            Mode::WebSocket => {
                let end = at.saturating_add(moved);
                let skip = shared.skip_bodies;
                let websocket = self.websocket.as_mut()?;
                return websocket.push(direction, time_ns, end, piece, skip, out);
            }
            Mode::Tunnel => {
                add(&mut shared.counts.tunnel_bytes, moved);
                return None;
            }
            Mode::Ignored => {
                add(&mut shared.counts.ignored_bytes, moved);
                return None;
            }
        }
        if let Some(h2) = &mut self.h2 {
            return h2.push(direction, time_ns, at, piece, shared, out);
        }
        let (mut reader, confirmed) = self.reader(direction, time_ns, quiet_since_ns, shared, out);
        match piece {
            Piece::Data(bytes) => reader.data(bytes),
            Piece::Gap(len) => reader.gap(len, false),
            Piece::Skipped(len) => reader.gap(len, true),
            Piece::End => reader.end(),
        }
        let skip = reader.demand(at.saturating_add(moved), skips);
        let (heads, left_http, invalid) = (reader.heads, reader.left_http, reader.invalid);
        let (upgrade, rest) = (reader.upgrade, reader.rest);
        let memory = self.pairing.memory();
        shared.account(std::mem::replace(&mut self.accounted, memory), memory);
        if heads && !confirmed {
            self.confirmed = true;
        }
        if left_http {
            self.drop_heads(shared);
            shared.counts.upgraded += 1;
            let rest = match piece {
                Piece::Data(bytes) => bytes.get(bytes.len().saturating_sub(rest)..),
                _ => None,
            };
            let rest = rest.unwrap_or_default();
            match (upgrade, self.requests) {
                (Some(Upgrade::WebSocket(id)), Some(requests)) => {
                    self.mode = Mode::WebSocket;
                    let mut websocket = WebSocket::new(id, requests);
                    let end = at.saturating_add(moved);
                    let piece = Piece::Data(rest);
                    let skip = shared.skip_bodies;
                    let asked = websocket.push(direction, time_ns, end, piece, skip, out);
                    self.websocket = Some(Box::new(websocket));
                    return asked;
                }
                (Some(Upgrade::Http2(id)), Some(requests)) => {
                    let next_id = self.pairing.next_id();
                    let mut h2 = Connection::upgraded(requests, next_id, id);
                    shared.counts.http2 += 1;
                    out(Message::Verdict(Verdict::Http2));
                    self.mode = Mode::Http2;
                    let at = at.saturating_add(moved - rest.len() as u64);
                    let piece = Piece::Data(rest);
                    let asked = h2.push(direction, time_ns, at, piece, shared, out);
                    self.h2 = Some(Box::new(h2));
                    return asked;
                }
                _ => {
                    self.mode = Mode::Tunnel;
                    add(&mut shared.counts.tunnel_bytes, rest.len() as u64);
                    out(Message::Verdict(Verdict::Upgraded));
                }
            }
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
            upgrade: None,
            rest: 0,
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
        if !midway && self.pass_socks(direction, bytes, shared) {
            return false;
        }
        let side = self.side(direction);
        let mut seen = if side.head.is_empty() {
            side.start_ns = time_ns;
            side.quiet_since_ns = quiet_since_ns;
            first_bytes(bytes, midway)
        } else {
            first_bytes(&[&side.head, bytes].concat(), midway)
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
            Opening::Http2 => {
                let h2 = Connection::from_start(direction, 0);
                self.begin_h2(h2, direction, time_ns, shared, out)
            }
            Opening::Http2Server => {
                let h2 = Connection::from_start(opposite(direction), 0);
                self.begin_h2(h2, direction, time_ns, shared, out)
            }
            Opening::Other if midway && starts_frame(bytes) => {
                self.begin_h2(Connection::joined(), direction, time_ns, shared, out)
            }
            Opening::Tls => self.ignore(Verdict::Tls, shared, out),
            Opening::Other => {
                self.doubt(direction, bytes.len() as u64, shared, out);
                false
            }
        }
    }

    /// From here on it is HTTP/2; `true`, for what opens a connection.
    fn begin_h2(
        &mut self,
        mut h2: Connection,
        direction: Direction,
        time_ns: u64,
        shared: &mut ProtocolShared,
        out: &mut impl FnMut(Message<'_>),
    ) -> bool {
        shared.counts.http2 += 1;
        out(Message::Verdict(Verdict::Http2));
        self.mode = Mode::Http2;
        for (other, late) in [(opposite(direction), true), (direction, false)] {
            let first = self.side(other).take_head(shared);
            // Of a connection joined midway, what did not show a frame is no start of one.
            if !first.is_empty() && !(late && self.midway) {
                let _ = h2.push(other, time_ns, 0, Piece::Data(&first), shared, out);
            }
        }
        self.h2 = Some(Box::new(h2));
        true
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
        if let Some(mut h2) = self.h2.take() {
            h2.close(shared, out);
        }
        if let Some(mut websocket) = self.websocket.take() {
            websocket.end(self.active_ns, out);
        }
        self.drop_heads(shared);
        shared.account(std::mem::take(&mut self.accounted), 0);
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

pub(super) const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Inbound => Direction::Outbound,
        Direction::Outbound => Direction::Inbound,
    }
}
