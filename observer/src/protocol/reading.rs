//! Reads one direction of an HTTP/1 connection: heads, bodies, and what to do when bytes miss.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Status};

use super::chunked::{Chunked, Progress};
use super::framing::{Framing, Lengths};
use super::head::{MAX_HEAD, MAX_HEADERS, has_bare_lf, head_end, lax_grammar, unfold};
use super::http::ProtocolShared;
use super::opening::{Opening, opening, skip_empty_lines};
use super::pairing::{Kind, Pairing};
use super::side::{Refused, Side, State};
use super::{Marks, Message, RequestHead, ResponseHead, Verdict};
use crate::stream::{Direction, add};

/// The capture is asked to leave out the rest of a body if more than this is left of it: asking
/// costs a system call, about as much as handing over so many bytes.
pub const SKIP_AT_LEAST: u64 = 64 << 10;

/// Most that is asked to be left out at once: half of what sequence numbers can tell apart.
pub const SKIP_AT_MOST: u64 = 1 << 30;

/// First bytes within which a kept head must have shown what it is.
const OPENING_LEN: usize = 64;

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
    /// What was taken for a head does not even begin like one.
    pub invalid: bool,
}

/// What became of a head.
enum Parsed {
    Complete(usize),
    Partial,
    Invalid,
    TooManyFields,
    TooLarge,
}

impl<F: FnMut(Message<'_>)> Reader<'_, F> {
    pub(super) fn data(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left_http {
                add(&mut self.shared.counts.tunnel_bytes, bytes.len() as u64);
                return;
            }
            let taken = match self.side.state {
                State::Head => self.head(bytes),
                State::Length(left) => self.length(bytes, left),
                State::Close => {
                    self.side.body = self.side.body.saturating_add(bytes.len() as u64);
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
                    self.boundary_lost(true);
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

    /// Asks to leave out the rest of a large body; `at` is the place of the next byte.
    pub(super) fn demand(&mut self, at: u64) -> Option<u64> {
        let left = match self.side.state {
            State::Length(left) if !self.side.doubtful => left,
            State::Chunked(chunked) => chunked.left(),
            _ => 0,
        };
        // Nothing is left unseen where two readers may disagree about the length.
        let conflict = self.side.marks.has(Marks::CONFLICT);
        if left <= SKIP_AT_LEAST || at < self.side.asked || conflict {
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
        if taken as u64 == left {
            self.finish();
        }
        taken
    }

    fn chunked(&mut self, bytes: &[u8], mut chunked: Chunked) -> usize {
        match chunked.push(bytes) {
            Progress::More => {
                self.side.state = State::Chunked(chunked);
                bytes.len()
            }
            Progress::Done(taken) => {
                self.side.body = chunked.decoded;
                if chunked.lax {
                    self.side.marks.add(Marks::LAX);
                }
                self.finish();
                taken
            }
            Progress::Invalid => {
                self.shared.counts.invalid_chunks += 1;
                add(&mut self.shared.counts.searched_bytes, bytes.len() as u64);
                self.cut(chunked.decoded);
                self.boundary_lost(false);
                bytes.len()
            }
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
        bytes.len()
    }

    fn head(&mut self, bytes: &[u8]) -> usize {
        if !self.side.head.is_empty() {
            return self.head_continued(bytes);
        }
        let head = skip_empty_lines(bytes);
        if head.is_empty() {
            return bytes.len();
        }
        self.side.start_ns = self.time_ns;
        self.side.quiet_since_ns = self.quiet_since_ns;
        match self.parse(head, false) {
            Parsed::Complete(len) => bytes.len() - head.len() + len,
            Parsed::Partial => {
                if let Err(refused) = self.side.keep(head, self.shared) {
                    self.refuse(refused, head.len());
                }
                bytes.len()
            }
            failed => {
                self.fail(failed, head.len());
                bytes.len()
            }
        }
    }

    fn head_continued(&mut self, bytes: &[u8]) -> usize {
        let before = self.side.head.len();
        let part = bytes
            .get(..MAX_HEAD.saturating_sub(before))
            .unwrap_or(bytes);
        if let Err(refused) = self.side.keep(part, self.shared) {
            self.refuse(refused, bytes.len());
            return bytes.len();
        }
        if before < OPENING_LEN && opening(&self.side.head, self.side.found) == Opening::Other {
            let found = self.side.found;
            self.invalid = true;
            self.fail(Parsed::Invalid, bytes.len());
            // A few bytes that looked like a start were not one, but these may be.
            return if found {
                self.search_again(bytes)
            } else {
                bytes.len()
            };
        }
        let Some(end) = head_end(&self.side.head, self.side.searched) else {
            self.side.searched = self.side.head.len();
            if self.side.head.len() >= MAX_HEAD {
                self.refuse(Refused::TooLarge, bytes.len());
            }
            return bytes.len();
        };
        let head = self.side.take_head();
        let parsed = self.parse(head.get(..end).unwrap_or_default(), true);
        self.side.put_back(head, self.shared);
        match parsed {
            Parsed::Complete(_) => end.saturating_sub(before),
            failed => {
                self.fail(failed, bytes.len());
                bytes.len()
            }
        }
    }

    fn search_again(&mut self, bytes: &[u8]) -> usize {
        let seen = opening(bytes, true);
        let hopeful = match self.role {
            Role::Request => seen == Opening::Request,
            Role::Response => seen == Opening::Response,
        };
        if hopeful { 0 } else { bytes.len() }
    }

    fn refuse(&mut self, refused: Refused, passed: usize) {
        refused.count(&mut self.shared.counts);
        add(&mut self.shared.counts.searched_bytes, passed as u64);
        self.boundary_lost(true);
    }

    fn fail(&mut self, parsed: Parsed, passed: usize) {
        let counts = &mut self.shared.counts;
        match parsed {
            Parsed::TooManyFields => counts.too_many_fields += 1,
            Parsed::TooLarge => counts.heads_too_large += 1,
            _ => {
                // What only looked like a message in a search is no invalid message.
                counts.invalid_heads += u64::from(!self.side.found);
            }
        }
        add(&mut counts.searched_bytes, passed as u64);
        self.boundary_lost(true);
    }

    /// Reads a head and acts on it. `whole`: nothing follows, it must be complete.
    fn parse(&mut self, bytes: &[u8], whole: bool) -> Parsed {
        match self.parse_with(&ParserConfig::default(), bytes, Marks::NONE) {
            Ok(Status::Complete(len)) if len > MAX_HEAD => Parsed::TooLarge,
            Ok(Status::Complete(len)) => Parsed::Complete(len),
            Ok(Status::Partial) if whole => Parsed::Invalid,
            Ok(Status::Partial) => Parsed::Partial,
            Err(httparse::Error::TooManyHeaders) => Parsed::TooManyFields,
            Err(_) => {
                let end = if whole {
                    Some(bytes.len())
                } else {
                    head_end(bytes, 0)
                };
                let Some(head) = end.and_then(|end| bytes.get(..end)) else {
                    self.invalid = opening(bytes, false) == Opening::Other;
                    return if self.invalid {
                        Parsed::Invalid
                    } else {
                        Parsed::Partial
                    };
                };
                if head.len() > MAX_HEAD {
                    return Parsed::TooLarge;
                }
                match self.parse_with(&lax_grammar(), &unfold(head), Marks::LAX) {
                    Ok(Status::Complete(_)) => Parsed::Complete(head.len()),
                    Err(httparse::Error::TooManyHeaders) => Parsed::TooManyFields,
                    _ => {
                        self.invalid = opening(head, false) == Opening::Other;
                        Parsed::Invalid
                    }
                }
            }
        }
    }

    fn parse_with(
        &mut self,
        config: &ParserConfig,
        bytes: &[u8],
        mut marks: Marks,
    ) -> httparse::Result<usize> {
        let mut fields = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let status = match self.role {
            Role::Request => {
                let mut head = httparse::Request::new(&mut []);
                let status =
                    config.parse_request_with_uninit_headers(&mut head, bytes, &mut fields)?;
                if let (Status::Complete(len @ ..=MAX_HEAD), Some(method), Some(target)) =
                    (status, head.method, head.path)
                {
                    marks.add(lax_lines(bytes, len));
                    self.request(
                        method,
                        target,
                        head.version.unwrap_or(1),
                        head.headers,
                        marks,
                    );
                }
                status
            }
            Role::Response => {
                let mut head = httparse::Response::new(&mut []);
                let status =
                    config.parse_response_with_uninit_headers(&mut head, bytes, &mut fields)?;
                if let (Status::Complete(len @ ..=MAX_HEAD), Some(code)) = (status, head.code) {
                    marks.add(lax_lines(bytes, len));
                    self.response(code, head.version.unwrap_or(1), head.headers, marks);
                }
                status
            }
        };
        Ok(status)
    }

    fn accept_head(&mut self, marks: Marks) {
        self.heads = true;
        self.side.found = false;
        if !self.confirmed {
            self.confirmed = true;
            self.shared.counts.http1 += 1;
            (self.out)(Message::Verdict(Verdict::Http1));
        }
        let counts = &mut self.shared.counts;
        counts.lax_syntax += u64::from(marks.has(Marks::LAX));
        counts.conflicting_lengths += u64::from(marks.has(Marks::CONFLICT));
        self.side.marks = marks;
        self.side.body = 0;
        self.side.doubtful = false;
    }

    fn request(
        &mut self,
        method: &str,
        target: &str,
        version: u8,
        fields: &[Header<'_>],
        mut marks: Marks,
    ) {
        let lengths = Lengths::of(fields, version);
        if lengths.conflict {
            marks.add(Marks::CONFLICT);
        }
        self.accept_head(marks);
        self.shared.counts.requests += 1;
        let Self {
            side,
            pairing,
            shared,
            out,
            ..
        } = self;
        let time_ns = side.start_ns;
        let id = pairing.request(time_ns, Kind::of(method), side.quiet_since_ns, |id| {
            shared.counts.unpaired_requests += 1;
            out(Message::Unanswered {
                id,
                lost: true,
                request_body_so_far: None,
            });
        });
        side.id = Some(id);
        let direction = self.direction;
        (self.out)(Message::Request(RequestHead {
            id,
            time_ns,
            direction,
            version,
            method,
            target,
            fields,
            marks,
        }));
        match lengths.request() {
            Framing::None | Framing::Close => self.finish(),
            Framing::Length(length) => self.side.state = State::Length(length),
            Framing::Chunked => self.side.state = State::Chunked(Chunked::default()),
            Framing::Broken => {
                self.finish();
                self.boundary_lost(false);
            }
        }
    }

    fn response(&mut self, status: u16, version: u8, fields: &[Header<'_>], mut marks: Marks) {
        let upgrade = status == 101;
        let lengths = Lengths::of(fields, version);
        if lengths.conflict {
            marks.add(Marks::CONFLICT);
        }
        self.accept_head(marks);
        if status < 200 && !upgrade {
            self.shared.counts.interim_responses += 1;
            self.side.state = State::Head;
            return;
        }
        self.shared.counts.responses += 1;
        let open_request = self.open_request;
        let Self {
            side,
            pairing,
            shared,
            out,
            ..
        } = self;
        let answered = pairing.response(side.start_ns, |id| {
            shared.counts.unpaired_requests += 1;
            let request_body_so_far = so_far(open_request, id);
            out(Message::Unanswered {
                id,
                lost: true,
                request_body_so_far,
            });
        });
        side.id = answered.map(|request| request.id);
        let kind = answered.map(|request| request.kind);
        let tunnel = upgrade || kind == Some(Kind::Connect) && (200..300).contains(&status);
        if tunnel {
            marks.add(Marks::UPGRADE);
        }
        match side.id {
            Some(id) => out(Message::Response(ResponseHead {
                id,
                status,
                fields,
                marks,
            })),
            None => shared.counts.orphan_responses += 1,
        }
        let bodiless = tunnel || matches!(status, 204 | 304) || kind == Some(Kind::Head);
        match if bodiless {
            Framing::None
        } else {
            lengths.response()
        } {
            Framing::None => self.finish(),
            Framing::Length(length) => {
                side.doubtful = kind.is_none();
                side.state = State::Length(length);
            }
            Framing::Chunked => side.state = State::Chunked(Chunked::default()),
            Framing::Close | Framing::Broken => side.state = State::Close,
        }
        if tunnel {
            self.left_http = true;
            let Self {
                pairing,
                shared,
                out,
                ..
            } = self;
            pairing.abandon(&mut |id| {
                shared.counts.unpaired_requests += 1;
                let request_body_so_far = so_far(open_request, id);
                out(Message::Unanswered {
                    id,
                    lost: false,
                    request_body_so_far,
                });
            });
        }
    }

    /// The message at hand ended early.
    fn cut(&mut self, body: u64) {
        self.shared.counts.bodies_cut += 1;
        self.side.body = body;
        self.side.marks.add(Marks::CUT);
        self.finish();
    }

    /// The message at hand ended.
    fn finish(&mut self) {
        self.side.state = State::Head;
        let Some(id) = self.side.id.take() else {
            return;
        };
        let (body_bytes, marks) = (self.side.body, self.side.marks);
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
    fn boundary_lost(&mut self, begun: bool) {
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

fn so_far(open_request: Option<(u64, u64)>, id: u64) -> Option<u64> {
    open_request
        .filter(|(open, _)| *open == id)
        .map(|(_, body)| body)
}

fn lax_lines(bytes: &[u8], len: usize) -> Marks {
    match bytes.get(..len) {
        Some(head) if has_bare_lf(head) => Marks::LAX,
        _ => Marks::NONE,
    }
}
