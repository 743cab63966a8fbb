//! Reads the heads of one direction of an HTTP/1 connection, and says what follows them.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Status};
use memchr::memchr;

use super::chunked::Chunked;
use super::content::{Content, asks_in_query};
use super::framing::{Framing, Lengths};
use super::head::{
    MAX_HEAD, MAX_HEADERS, complete_version, has_bare_lf, head_end, lax_grammar, unfold,
};
use super::opening::{Opening, opening, skip_empty_lines};
use super::pairing::Kind;
use super::reading::{Reader, Role, so_far};
use super::rpc::{Messages, Rpc};
use super::side::{Refused, State};
use super::simple::SIMPLE;
use super::upgraded::Upgrade;
use super::{BodyForm, Marks, Message, RequestHead, ResponseHead, Verdict};
use crate::stream::add;

/// First bytes within which a kept head must have shown what it is.
const OPENING_LEN: usize = 64;

/// What became of a head.
enum Parsed {
    Complete(usize),
    Partial,
    Invalid,
    TooManyFields,
    TooLarge,
}

impl<F: FnMut(Message<'_>)> Reader<'_, F> {
    pub(super) fn head(&mut self, bytes: &[u8]) -> usize {
        if !self.side.head.is_empty() {
            return self.head_continued(bytes);
        }
        let head = skip_empty_lines(bytes);
        if head.is_empty() {
            return bytes.len();
        }
        self.side.start_ns = self.time_ns;
        self.side.quiet_since_ns = self.quiet_since_ns;
        if self.simple(head) {
            return if self.role == Role::Request {
                bytes.len()
            } else {
                bytes.len() - head.len()
            };
        }
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
        if self.role == Role::Response && self.pairing.expects_simple() {
            let head = std::mem::take(&mut self.side.head);
            let simple = self.simple(&head);
            self.side.head = head;
            if simple {
                // What was kept is the start of the answer.
                self.side.drop_head(self.shared);
                self.passed(Some(BodyForm::Plain), before as u64, false);
                self.side.body = before as u64;
                return 0;
            }
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
        if memchr(b'\n', part).is_some() {
            let head = std::mem::take(&mut self.side.head);
            let simple = self.simple(&head);
            self.side.head = head;
            if simple {
                self.side.drop_head(self.shared);
                return bytes.len();
            }
        }
        let Some(end) = head_end(&self.side.head, self.side.searched) else {
            self.side.searched = self.side.head.len();
            if self.side.head.len() >= MAX_HEAD {
                self.refuse(Refused::TooLarge, bytes.len());
            }
            return bytes.len();
        };
        let head = self.side.take_head(self.shared);
        let parsed = self.parse(head.get(..end).unwrap_or_default(), true);
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
        self.passed(None, passed as u64, true);
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
        self.passed(None, passed as u64, true);
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
                let mut text = unfold(head);
                complete_version(&mut text);
                match self.parse_with(&lax_grammar(), &text, Marks::LAX) {
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
        self.side.peek = 0;
        self.side.messages = None;
        self.side.doubtful = false;
    }

    pub(super) fn request(
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
        let framing = lengths.request();
        let rpc = Rpc::of_request(fields);
        let kind = match version {
            SIMPLE => Kind::Simple,
            _ => Kind::of(method),
        };
        let asks = match framing {
            Framing::None => asks_in_query(target),
            _ => Content::of(fields).of_request(),
        };
        if asks && framing != Framing::None {
            side.peek = shared.body_peek;
        }
        // A few are always granted, whatever the others take.
        if pairing.is_full() || shared.head_bytes > shared.head_limit && !pairing.is_small() {
            shared.counts.in_flight_over_limit += 1;
            pairing.give_up(&mut |id| {
                shared.counts.unpaired_requests += 1;
                out(Message::Unanswered {
                    id,
                    lost: true,
                    request_body_so_far: None,
                });
            });
        }
        let id = pairing.request(time_ns, kind, asks, rpc, side.quiet_since_ns, |id| {
            shared.counts.unpaired_requests += 1;
            out(Message::Unanswered {
                id,
                lost: true,
                request_body_so_far: None,
            });
        });
        side.id = Some(id);
        side.messages = rpc
            .filter(|rpc| rpc.is_stream())
            .map(|rpc| Box::new(Messages::new(rpc)));
        let direction = self.direction;
        (self.out)(Message::Request(RequestHead {
            id,
            time_ns,
            direction,
            version,
            rpc,
            method,
            target,
            authority: None,
            fields,
            marks,
        }));
        match framing {
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
        let upgraded = side
            .id
            .filter(|_| upgrade)
            .and_then(|id| Upgrade::of(fields, id));
        if let Some(Upgrade::Http2(_)) = upgraded {
            // The answer comes as HTTP/2.
            shared.counts.responses -= 1;
            shared.counts.interim_responses += 1;
            side.id = None;
            side.state = State::Head;
            self.upgrade = upgraded;
            self.left_http = true;
            return;
        }
        let tunnel = upgrade || kind == Some(Kind::Connect) && (200..300).contains(&status);
        if tunnel {
            marks.add(Marks::UPGRADE);
        }
        match side.id {
            Some(id) => out(Message::Response(ResponseHead {
                id,
                status: Some(status),
                fields,
                marks,
            })),
            None => shared.counts.orphan_responses += 1,
        }
        let asked = answered.is_some_and(|request| request.asks);
        if side.id.is_some() && Content::of(fields).of_answer(Some(status), asked) {
            side.peek = shared.body_peek;
        }
        if upgraded.is_some() {
            // Ends with what it has opened.
            side.id = None;
            self.upgrade = upgraded;
        }
        side.messages = answered
            .and_then(|request| request.rpc)
            .filter(|rpc| rpc.is_stream())
            .map(|rpc| Box::new(Messages::new(rpc)));
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
}

fn lax_lines(bytes: &[u8], len: usize) -> Marks {
    match bytes.get(..len) {
        Some(head) if has_bare_lf(head) => Marks::LAX,
        _ => Marks::NONE,
    }
}
