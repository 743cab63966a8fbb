//! Says what header blocks mean: requests, responses, trailers.

use super::connection::Both;
use super::reading::Reader;
use super::streams::Stream;
use super::{FieldList, hpack::HpackError};
use crate::protocol::content::{Content, asks_in_query};
use crate::protocol::framing::number;
use crate::protocol::opening::MAX_METHOD;
use crate::protocol::rpc::{Messages, Rpc};
use crate::protocol::{Marks, Message, RequestHead, ResponseHead};
use crate::stream::Direction;

impl<F: FnMut(Message<'_>)> Reader<'_, F> {
    /// A header block is complete; it is too long if `marks` has [`Marks::FLOOD`].
    pub(super) fn block(
        &mut self,
        stream: u32,
        end_stream: bool,
        start_ns: u64,
        block: &[u8],
        marks: Marks,
    ) {
        let mut fields = std::mem::take(&mut self.shared.fields);
        match self.decode(block, &mut fields) {
            Ok(()) => self.told(stream, end_stream, start_ns, &fields, marks),
            Err(HpackError::Truncated) if marks.has(Marks::FLOOD) => {
                self.told(stream, end_stream, start_ns, &fields, marks);
            }
            Err(_) => self.shared.counts.invalid_header_blocks += 1,
        }
        fields.clear();
        self.shared.fields = fields;
    }

    /// A header block that is read for the table alone.
    pub(super) fn pass_block(&mut self, block: &[u8]) {
        let mut fields = std::mem::take(&mut self.shared.fields);
        if self.decode(block, &mut fields).is_err() {
            self.shared.counts.invalid_header_blocks += 1;
        }
        fields.clear();
        self.shared.fields = fields;
    }

    fn decode(&mut self, block: &[u8], fields: &mut FieldList) -> Result<(), HpackError> {
        let decoder = &mut self.half.decoder;
        let result = decoder.decode(block, &mut self.shared.scratch, &mut |field| {
            fields.push(field);
        });
        let counts = &mut self.shared.counts;
        counts.unknown_fields += u64::from(fields.unknown);
        counts.too_many_fields += u64::from(fields.too_large);
        result
    }

    fn told(
        &mut self,
        stream: u32,
        end_stream: bool,
        start_ns: u64,
        fields: &FieldList,
        mut marks: Marks,
    ) {
        if fields.unknown > 0 {
            marks.add(Marks::UNKNOWN);
        }
        if fields.odd {
            marks.add(Marks::LAX);
        }
        let requests = match (
            self.both.requests,
            fields.is_request(),
            fields.is_response(),
        ) {
            (Some(requests), ..) => requests,
            (None, true, false) => *self.both.requests.insert(self.direction),
            (None, false, true) => *self.both.requests.insert(match self.direction {
                Direction::Inbound => Direction::Outbound,
                Direction::Outbound => Direction::Inbound,
            }),
            (None, ..) => return,
        };
        if requests == self.direction {
            if self.both.streams.get(stream).is_none() && !fields.is_response() {
                self.request(stream, end_stream, start_ns, fields, marks);
            }
        } else if !fields.is_request() {
            self.response(stream, fields, marks);
        }
        if end_stream {
            self.end_stream(stream);
        }
    }

    fn request(
        &mut self,
        stream: u32,
        end_stream: bool,
        start_ns: u64,
        fields: &FieldList,
        marks: Marks,
    ) {
        let known = fields.unknown > 0 && fields.is_request();
        let text = |bytes| Option::<&[u8]>::map(bytes, std::str::from_utf8);
        let connect = fields.method() == Some(b"CONNECT") && fields.protocol().is_none();
        let method = match text(fields.method()) {
            Some(Ok(method)) if is_method(method) => method,
            None if known => "",
            _ => return self.invalid(),
        };
        let target = match text(fields.path()) {
            Some(Ok(path)) if !connect && is_path(path) => path,
            None if connect => match text(fields.authority()) {
                Some(Ok(authority)) => authority,
                None if known => "",
                _ => return self.invalid(),
            },
            None if known => "",
            _ => return self.invalid(),
        };
        if stream.is_multiple_of(2) || stream <= self.both.last_stream {
            // Streams of clients are odd and count up (§5.1.1).
            return self.invalid();
        }
        let Both {
            streams,
            next_id,
            last_stream,
            ..
        } = self.both;
        *last_stream = stream;
        let id = *next_id;
        *next_id += 1;
        if streams.is_full()
            && let Some(oldest) = streams.oldest()
            && let Some(mut oldest) = streams.take(oldest)
        {
            self.shared.counts.in_flight_over_limit += 1;
            oldest.response_marks.add(Marks::GAP);
            oldest.give_up(Some(self.time_ns), self.out);
        }
        let connect_unary = fields
            .get("connect-protocol-version")
            .map(|_| Rpc::ConnectUnary);
        let rpc = fields
            .get("content-type")
            .and_then(Rpc::of)
            .or(connect_unary);
        let content = content(fields);
        let asks = if end_stream {
            asks_in_query(target)
        } else {
            content.of_request()
        };
        let peek = if asks { self.shared.body_peek } else { 0 };
        streams.push(Stream {
            stream,
            id,
            request_body: 0,
            request_ended: false,
            request_marks: marks,
            asks,
            peek: [peek, 0],
            answered: false,
            response_body: 0,
            response_marks: Marks::NONE,
            connect: fields.method() == Some(b"CONNECT"),
            bodiless: fields.method() == Some(b"HEAD"),
            lengths: [fields.get("content-length").and_then(number), None],
            messages: rpc
                .filter(|rpc| rpc.is_stream())
                .map(|rpc| Box::new([rpc, rpc].map(Messages::new))),
            websocket: fields
                .protocol()
                .filter(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
                .map(|_| Box::default()),
        });
        self.shared.counts.requests += 1;
        let (direction, out) = (self.direction, &mut *self.out);
        fields.with(|headers| {
            out(Message::Request(RequestHead {
                id,
                time_ns: start_ns,
                direction,
                version: 2,
                rpc,
                method,
                target,
                authority: fields.authority(),
                fields: headers,
                marks,
            }));
        });
    }

    fn invalid(&mut self) {
        self.shared.counts.invalid_heads += 1;
    }

    fn response(&mut self, stream: u32, fields: &FieldList, mut marks: Marks) {
        let status = fields.status();
        let head = fields.is_response() || fields.unknown > 0;
        let Some(stream) = self.both.streams.get(stream) else {
            // What a server pushes has an even number; no one asked for it.
            self.shared.counts.orphan_responses +=
                u64::from(fields.is_response() && !stream.is_multiple_of(2));
            return;
        };
        let id = stream.id;
        let out = &mut *self.out;
        if stream.answered {
            if !fields.is_response() {
                stream.response_marks.add(marks);
                fields.with(|fields| out(Message::Trailers { id, fields }));
            }
            return;
        }
        if !head || fields.is_response() && status.is_none() {
            self.shared.counts.invalid_heads += 1;
            return;
        }
        if status.is_some_and(|status| status < 200) {
            self.shared.counts.interim_responses += 1;
            return;
        }
        if stream.connect && status.is_some_and(|status| status < 300) {
            marks.add(Marks::UPGRADE);
        }
        stream.answered = true;
        stream.response_marks.add(marks);
        if content(fields).of_answer(status, stream.asks) {
            let [_, peek] = &mut stream.peek;
            *peek = self.shared.body_peek;
        }
        if !stream.bodiless && !matches!(status, Some(204 | 304)) {
            let [_, length] = &mut stream.lengths;
            *length = fields.get("content-length").and_then(number);
        }
        self.shared.counts.responses += 1;
        fields.with(|fields| {
            out(Message::Response(ResponseHead {
                id,
                status,
                fields,
                marks,
            }));
        });
    }

    /// Nothing follows on a stream in this direction.
    pub(super) fn end_stream(&mut self, stream: u32) {
        let request = self.both.requests == Some(self.direction);
        let Some(open) = self.both.streams.get(stream) else {
            return;
        };
        if request {
            if !open.request_ended {
                open.request_ended = true;
                let [length, _] = open.lengths;
                open.request_body = whole(open.request_body, length, open.request_marks);
                open.count_payload();
                (self.out)(Message::RequestEnd {
                    id: open.id,
                    body_bytes: open.request_body,
                    marks: open.request_marks,
                });
            }
        } else if open.answered
            && let Some(mut done) = self.both.streams.take(stream)
        {
            let [_, length] = done.lengths;
            done.response_body = whole(done.response_body, length, done.response_marks);
            done.finish(self.time_ns, self.out);
        }
    }
}

/// The size of a body that ended as it should: where frames of it were lost, what its sender
/// said that it would be (RFC 9113 §8.1.1), if it said that.
fn whole(seen: u64, length: Option<u64>, marks: Marks) -> u64 {
    match length {
        Some(length) if marks.has(Marks::GAP) && length > seen => length,
        _ => seen,
    }
}

fn content(fields: &FieldList) -> Content {
    Content::from_values(fields.get("content-type"), fields.get("content-encoding"))
}

/// A token (RFC 9110 §9.1), of a length that HTTP/1 would take.
fn is_method(method: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
    !method.is_empty() && method.len() <= MAX_METHOD && method.bytes().all(token)
}

/// A path (RFC 9113 §8.3.1) that a server may take.
fn is_path(path: &str) -> bool {
    (path.starts_with('/') || path == "*") && path.bytes().all(|byte| byte > b' ' && byte != 0x7f)
}

impl Stream {
    /// The response ended.
    fn finish(mut self, time_ns: u64, out: &mut impl FnMut(Message<'_>)) {
        self.count_payload();
        self.count_messages(out);
        out(Message::ResponseEnd {
            id: self.id,
            time_ns,
            body_bytes: self.response_body,
            marks: self.response_marks,
            request_body_so_far: (!self.request_ended).then_some(self.request_body),
        });
    }

    /// No more comes on the stream, and its response has not ended; `time_ns`: since then.
    pub(super) fn give_up(mut self, time_ns: Option<u64>, out: &mut impl FnMut(Message<'_>)) {
        self.count_payload();
        if !self.request_ended || self.request_marks.has(Marks::RESET) {
            let (id, body_bytes, marks) = (self.id, self.request_body, self.request_marks);
            out(Message::RequestEnd {
                id,
                body_bytes,
                marks,
            });
        }
        if let (true, Some(time_ns)) = (self.answered, time_ns) {
            self.response_marks.add(Marks::CUT);
            self.finish(time_ns, out);
            return;
        }
        self.count_messages(out);
        out(Message::Unanswered {
            id: self.id,
            lost: self.response_marks.has(Marks::GAP),
            request_body_so_far: (!self.request_ended).then_some(self.request_body),
        });
    }

    /// Of WebSocket the payload counts, as over HTTP/1.
    fn count_payload(&mut self) {
        if let Some([client, server]) = self.websocket.as_deref() {
            self.request_body = client.side.bytes;
            self.response_body = server.side.bytes;
        }
    }

    fn count_messages(&self, out: &mut impl FnMut(Message<'_>)) {
        if let (Some([client, server]), true) = (self.websocket.as_deref(), self.answered) {
            let (id, client, server) = (self.id, client.side, server.side);
            out(Message::WebSocket { id, client, server });
        }
        if let Some([requests, responses]) = self.messages.as_deref() {
            let id = self.id;
            responses.trailers(|fields| out(Message::Trailers { id, fields }));
            out(Message::Messages {
                id,
                requests: requests.counted(),
                responses: responses.counted(),
            });
        }
    }
}
