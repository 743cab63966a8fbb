//! Reads one direction of an HTTP/1 connection: heads, bodies, and what to do when bytes miss.

use super::chunked::{Chunked, Progress};
use super::opening::{Opening, opening};
use super::pairing::Pairing;
use super::shared::ProtocolShared;
use super::side::{Side, State};
use super::upgraded::Upgrade;
use super::{BodyForm, Marks, Message, Passed};
use crate::stream::{Direction, add};

/// The capture is asked to leave out the rest of a body if more than this is left of it: asking
/// costs a system call, about as much as handing over so many bytes.
pub const SKIP_AT_LEAST: u64 = 64 << 10;

/// Most that is asked to be left out at once: half of what sequence numbers can tell apart.
pub const SKIP_AT_MOST: u64 = 1 << 30;

/// Shortest head there is: `A / HTTP/1.0` and two line ends.
const SHORTEST_HEAD: u64 = 14;

/// What a direction carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Request,
    Response,
}

/// One run over one piece of one direction.
pub(super) struct Reader<'a, F> {
    pub side: &'a mut Side,
    pub pairing: &'a mut Pairing,
    pub shared: &'a mut ProtocolShared,
    pub out: &'a mut F,
    pub direction: Direction,
    pub role: Role,
    pub time_ns: u64,
    pub quiet_since_ns: u64,
    /// The request that has not ended yet in the other direction, and its body so far.
    pub open_request: Option<(u64, u64)>,
    pub confirmed: bool,
    /// A head was read.
    pub heads: bool,
    /// The connection left HTTP.
    pub left_http: bool,
    /// What it speaks instead, if that can be read.
    pub upgrade: Option<Upgrade>,
    /// Bytes at the end that are not HTTP/1.
    pub rest: usize,
    /// What was taken for a head does not even begin like one.
    pub invalid: bool,
}

impl<F: FnMut(Message<'_>)> Reader<'_, F> {
    pub(super) fn data(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left_http {
                self.rest = bytes.len();
                return;
            }
            let taken = match self.side.state {
                State::Head => self.head(bytes),
                State::Length(left) => self.length(bytes, left),
                State::Close => {
                    self.side.body = self.side.body.saturating_add(bytes.len() as u64);
                    self.content(bytes, BodyForm::Plain);
                    bytes.len()
                }
                State::Chunked(chunked) => self.chunked(bytes, chunked),
                State::Search => self.search(bytes),
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Bytes are missing; `asked`: because the capture was asked to leave them out.
    pub(super) fn gap(&mut self, len: u64, asked: bool) {
        if self.left_http {
            return;
        }
        let mark = if asked { Marks::NONE } else { Marks::GAP };
        let form = match self.side.state {
            State::Length(_) | State::Close => Some(BodyForm::Plain),
            State::Chunked(chunked) if len <= chunked.left() => Some(BodyForm::Chunk),
            State::Chunked(_) | State::Head | State::Search => None,
        };
        self.passed(form, len, !asked);
        self.side.peek = 0;
        if let Some(messages) = &mut self.side.messages {
            messages.pass(len);
        }
        match self.side.state {
            State::Head => self.head_lost(),
            State::Length(left) => {
                let inside = len.min(left);
                self.side.body = self.side.body.saturating_add(inside);
                self.side.marks.add(mark);
                self.side.state = State::Length(left - inside);
                if inside == left {
                    self.finish();
                }
                if len > left {
                    // A few bytes need not be of a message: stray line ends are common.
                    self.boundary_lost(len - left >= SHORTEST_HEAD);
                }
            }
            State::Close => {
                self.side.body = self.side.body.saturating_add(len);
                self.side.marks.add(mark);
            }
            State::Chunked(mut chunked) => {
                self.side.marks.add(mark);
                if chunked.pass(len) {
                    self.side.state = State::Chunked(chunked);
                } else {
                    self.cut(chunked.decoded);
                    self.boundary_lost(false);
                }
            }
            State::Search => {
                add(&mut self.shared.counts.searched_bytes, len);
                self.unseen(false);
            }
        }
    }

    /// The direction ended.
    pub(super) fn end(&mut self) {
        self.side.ended = true;
        match self.side.state {
            State::Head => {
                if self.side.drop_head(self.shared) > 0 {
                    self.shared.counts.heads_cut += 1;
                }
            }
            State::Length(_) => self.cut(self.side.body),
            State::Close => self.finish(),
            State::Chunked(chunked) => self.cut(chunked.decoded),
            State::Search => {}
        }
        self.side.state = State::Search;
    }

    /// Asks to leave out the rest of a large body; `at` is the place of the next byte. If the
    /// source leaves it out by itself, up to the place `skips`, there is nothing to ask.
    pub(super) fn demand(&mut self, at: u64, skips: Option<u64>) -> Option<u64> {
        if !self.shared.skip_bodies {
            return None;
        }
        if let Some(until) = skips
            && self.is_body(at, until)
        {
            self.shared.counts.peeks_cut += u64::from(self.side.peek > 0);
            self.side.peek = 0;
            self.side.asked = until;
            return Some(until);
        }
        let left = match self.side.state {
            State::Length(left) if !self.side.doubtful => left,
            State::Chunked(chunked) => chunked.left(),
            // Nobody knows how much is left; the end is told whatever is skipped. A short one is
            // not worth the asking.
            State::Close if self.side.body > SKIP_AT_LEAST => u64::MAX,
            _ => 0,
        };
        // Nothing is left unseen where two readers may disagree about the length.
        let conflict = self.side.marks.has(Marks::CONFLICT);
        // What ends a stream of messages is needed.
        let messages = self.side.messages.as_ref();
        let left = left.min(messages.map_or(u64::MAX, |messages| messages.skippable()));
        let peeked = self.side.peek > 0;
        if left <= SKIP_AT_LEAST || peeked || at < self.side.asked || conflict {
            return None;
        }
        let until = at.saturating_add(left.min(SKIP_AT_MOST));
        self.side.asked = until;
        self.shared.counts.skip_requests += 1;
        (self.out)(Message::Skip {
            direction: self.direction,
            until,
        });
        Some(until)
    }

    /// All from `at` to `until` is of a body that nobody reads in another way, and of which no part
    /// is counted.
    fn is_body(&self, at: u64, until: u64) -> bool {
        let State::Length(left) = self.side.state else {
            return false;
        };
        until <= at.saturating_add(left)
            && !self.side.marks.has(Marks::CONFLICT)
            && self.side.messages.is_none()
    }

    fn length(&mut self, bytes: &[u8], left: u64) -> usize {
        if self.side.doubtful {
            self.side.doubtful = false;
            if opening(bytes, true) == Opening::Response {
                // The request that was not seen was a HEAD: this is the next response.
                self.finish();
                return 0;
            }
        }
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        self.side.body = self.side.body.saturating_add(taken as u64);
        self.side.state = State::Length(left - taken as u64);
        self.content(bytes.get(..taken).unwrap_or_default(), BodyForm::Plain);
        if taken as u64 == left {
            self.finish();
        }
        taken
    }

    fn chunked(&mut self, bytes: &[u8], mut chunked: Chunked) -> usize {
        let teller = self.teller(BodyForm::Chunk);
        let Self { side, out, .. } = self;
        let progress = chunked.push(bytes, &mut |bytes| teller.tell(side, bytes, out));
        match progress {
            Progress::More => {
                self.side.state = State::Chunked(chunked);
                bytes.len()
            }
            Progress::Done(taken) => {
                self.side.body = chunked.decoded;
                self.passed(Some(BodyForm::Chunk), 0, false);
                if chunked.lax {
                    self.side.marks.add(Marks::LAX);
                }
                self.finish();
                taken
            }
            Progress::Invalid => {
                self.shared.counts.invalid_chunks += 1;
                add(&mut self.shared.counts.searched_bytes, bytes.len() as u64);
                self.passed(None, bytes.len() as u64, true);
                self.cut(chunked.decoded);
                self.boundary_lost(false);
                bytes.len()
            }
        }
    }

    /// Tells the next part of a body, as far as it is wanted.
    fn content(&mut self, bytes: &[u8], form: BodyForm) {
        self.teller(form).tell(self.side, bytes, self.out);
    }

    fn teller(&self, form: BodyForm) -> Teller {
        Teller {
            direction: self.direction,
            role: self.role,
            form,
            passed: self.shared.tell_passed,
        }
    }

    /// Tells of bytes of which nothing else is told.
    pub(super) fn passed(&mut self, form: Option<BodyForm>, len: u64, lost: bool) {
        if self.shared.tell_passed {
            (self.out)(Message::Passed(Passed {
                direction: self.direction,
                id: self.side.id,
                form,
                len,
                lost,
                outline: None,
            }));
        }
    }

    /// Looks whether a message starts where a segment does.
    fn search(&mut self, bytes: &[u8]) -> usize {
        let expected = match self.role {
            Role::Request => Opening::Request,
            Role::Response => Opening::Response,
        };
        let seen = opening(bytes, true);
        if !self.side.ended && (seen == expected || seen == Opening::Incomplete) {
            self.side.state = State::Head;
            self.side.found = true;
            return 0;
        }
        add(&mut self.shared.counts.searched_bytes, bytes.len() as u64);
        self.passed(None, bytes.len() as u64, true);
        bytes.len()
    }

    /// The message at hand ended early.
    pub(super) fn cut(&mut self, body: u64) {
        self.shared.counts.bodies_cut += 1;
        self.side.body = body;
        self.side.marks.add(Marks::CUT);
        self.finish();
    }

    /// The message at hand ended.
    pub(super) fn finish(&mut self) {
        self.side.state = State::Head;
        let Some(id) = self.side.id.take() else {
            return;
        };
        let (body_bytes, marks) = (self.side.body, self.side.marks);
        if let Some(messages) = self.side.messages.take() {
            let counted = messages.counted();
            let (requests, responses) = match self.role {
                Role::Request => (counted, None),
                Role::Response => (None, counted),
            };
            messages.trailers(|fields| (self.out)(Message::Trailers { id, fields }));
            (self.out)(Message::Messages {
                id,
                requests,
                responses,
            });
        }
        (self.out)(match self.role {
            Role::Request => Message::RequestEnd {
                id,
                body_bytes,
                marks,
            },
            Role::Response => Message::ResponseEnd {
                id,
                time_ns: self.time_ns,
                body_bytes,
                marks,
                request_body_so_far: so_far(self.open_request, id),
            },
        });
    }

    /// Bytes are missing in a head, or between messages.
    fn head_lost(&mut self) {
        if !self.side.head.is_empty() {
            self.shared.counts.heads_cut += 1;
        }
        self.boundary_lost(true);
    }

    /// Where the next message starts is not known; `begun`: the next one certainly has.
    pub(super) fn boundary_lost(&mut self, begun: bool) {
        self.shared.counts.boundaries_lost += 1;
        self.side.drop_head(self.shared);
        // What was found by searching and is none was no message.
        let begun = begun && !self.side.found;
        self.side.found = false;
        self.side.state = State::Search;
        self.unseen(begun);
    }

    /// Messages may have passed unseen.
    fn unseen(&mut self, begun: bool) {
        match self.role {
            Role::Request => self.pairing.request_lost(self.time_ns),
            Role::Response => {
                if let Some(id) = self.pairing.response_lost(begun) {
                    self.shared.counts.unpaired_requests += 1;
                    let request_body_so_far = so_far(self.open_request, id);
                    (self.out)(Message::Unanswered {
                        id,
                        lost: true,
                        request_body_so_far,
                    });
                }
            }
        }
    }
}

/// Tells the parts of one body.
struct Teller {
    direction: Direction,
    role: Role,
    form: BodyForm,
    /// [`Message::Passed`] is wanted.
    passed: bool,
}

impl Teller {
    fn tell(&self, side: &mut Side, bytes: &[u8], out: &mut impl FnMut(Message<'_>)) {
        if self.passed {
            let outline = side
                .messages
                .as_ref()
                .map(|messages| messages.outline(bytes));
            out(Message::Passed(Passed {
                direction: self.direction,
                id: side.id,
                form: Some(self.form),
                len: bytes.len() as u64,
                lost: false,
                outline: outline.as_deref(),
            }));
        }
        if let Some(messages) = &mut side.messages {
            messages.push(bytes);
        }
        let wanted = bytes.len().min(side.peek as usize);
        if let (Some(id), Some(bytes @ [_, ..])) = (side.id, bytes.get(..wanted)) {
            // Not above what is wanted.
            side.peek -= wanted as u32;
            let request = self.role == Role::Request;
            out(Message::Content { id, request, bytes });
        }
    }
}

/// Body bytes so far of a request that has not ended.
pub(super) fn so_far(open_request: Option<(u64, u64)>, id: u64) -> Option<u64> {
    open_request
        .filter(|(open, _)| *open == id)
        .map(|(_, body)| body)
}
