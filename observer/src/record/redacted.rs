//! Writes messages anew from what may be shown of them: heads without secrets, bodies by their
//! size. What is read back makes the same calls, but for what was in bodies and credentials.

use std::net::SocketAddr;

use super::recording::Recording;
use crate::call::{public_target, public_value};
use crate::protocol::{
    BodyForm, Marks, Message, Passed, RequestHead, ResponseHead, Verdict, WebSocketSide,
};
use crate::stream::Direction;
use httparse::Header;

/// Frames of one end of a WebSocket connection that are written: each is a few bytes, and nobody
/// needs more of them to tell how it went.
const MAX_FRAMES: u64 = 65_536;

/// Longest content of a DATA frame that is written, bytes.
const MAX_DATA: u64 = 1 << 20;

/// CONTINUATION frames that make a flood of any header block.
const FLOOD: usize = 65;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Kinds and flags of frames (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Redacted {
    http1: bool,
    http2: bool,
    /// An answer without head is to begin (RFC 1945 §6).
    bare: bool,
    /// The preface of HTTP/2 was written.
    prefaced: bool,
}

/// The stream of a request, by its number on the connection: those of clients are odd.
fn stream(id: u64) -> u32 {
    u32::try_from(id).unwrap_or(u32::MAX >> 2) << 1 | 1
}

fn frame(kind: u8, flags: u8, id: u64, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame_head(kind, flags, id, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

fn frame_head(kind: u8, flags: u8, id: u64, len: u64) -> Vec<u8> {
    let [.., a, b, c] = len.to_be_bytes();
    let mut head = vec![a, b, c, kind, flags];
    head.extend(stream(id).to_be_bytes());
    head
}

/// A header block that needs no table (RFC 7541 §6.2.2).
#[derive(Default)]
struct Block(Vec<u8>);

impl Block {
    fn field(&mut self, name: &str, value: &str) {
        self.0.push(0);
        self.text(&name.to_ascii_lowercase());
        self.text(value);
    }

    fn fields(&mut self, fields: &[Header<'_>]) {
        for Header { name, value } in fields {
            self.field(name, &public_value(name, value));
        }
    }

    fn text(&mut self, text: &str) {
        // An integer of seven bits and more (§5.1).
        match text.len() {
            len @ 0..127 => self.0.push(len as u8),
            len => {
                self.0.push(127);
                let mut rest = len - 127;
                while rest >= 128 {
                    self.0.push((rest % 128) as u8 | 128);
                    rest /= 128;
                }
                self.0.push(rest as u8);
            }
        }
        self.0.extend_from_slice(text.as_bytes());
    }

    /// The frames that carry it.
    fn frames(mut self, id: u64, marks: Marks) -> Vec<u8> {
        if marks.has(Marks::UNKNOWN) {
            // Refers to what was sent before.
            self.0.push(0xbe);
        }
        if !marks.has(Marks::FLOOD) {
            return frame(HEADERS, END_HEADERS, id, &self.0);
        }
        let mut frames = frame(HEADERS, 0, id, &self.0);
        for at in 0..FLOOD {
            let last = if at + 1 == FLOOD { END_HEADERS } else { 0 };
            frames.extend(frame(CONTINUATION, last, id, &[]));
        }
        frames
    }
}

/// A head of HTTP/1.
fn head(start: &str, fields: &[Header<'_>], marks: Marks) -> Vec<u8> {
    let mut text = start.as_bytes().to_vec();
    text.extend_from_slice(if marks.has(Marks::LAX) {
        b"\n"
    } else {
        b"\r\n"
    });
    for Header { name, value } in fields {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(public_value(name, value).as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Inbound => Direction::Outbound,
        Direction::Outbound => Direction::Inbound,
    }
}

impl Recording {
    /// Writes a message, seen at this time.
    pub(super) fn message(&mut self, time_ns: u64, message: &Message<'_>) {
        let requests = self.requests.unwrap_or(Direction::Inbound);
        let answers = opposite(requests);
        let Redacted { http2, .. } = self.redacted;
        match *message {
            Message::Request(ref head) => self.request(head),
            Message::Response(ref head) => {
                self.redacted.bare = !http2 && head.status.is_none();
                let text = self.response(head);
                self.bytes(answers, time_ns, &text);
            }
            Message::Trailers { id, fields } if http2 => {
                let mut block = Block::default();
                block.fields(fields);
                self.bytes(answers, time_ns, &block.frames(id, Marks::NONE));
            }
            Message::RequestEnd { id, marks, .. } if http2 => {
                if marks.has(Marks::RESET) {
                    let reset = frame(RST_STREAM, 0, id, &[0, 0, 0, 8]);
                    self.bytes(requests, time_ns, &reset);
                } else if !marks.has(Marks::CUT) {
                    self.bytes(requests, time_ns, &frame(DATA, END_STREAM, id, &[]));
                }
            }
            Message::ResponseEnd {
                id, marks, time_ns, ..
            } => {
                let end = match http2 && !marks.has(Marks::CUT) {
                    true => frame(DATA, END_STREAM, id, &[]),
                    // Says when it was.
                    false => Vec::new(),
                };
                self.bytes(answers, time_ns, &end);
            }
            Message::Passed(ref passed) => self.passed(time_ns, passed),
            Message::WebSocket { id, client, server } => {
                let stream = http2.then_some(id);
                self.websocket(requests, time_ns, stream, client);
                self.websocket(answers, time_ns, stream, server);
            }
            Message::Verdict(Verdict::Http2) => {
                self.redacted.http2 = true;
                if self.redacted.http1 {
                    // What was HTTP/1 goes on as HTTP/2.
                    self.bytes(answers, time_ns, SWITCH);
                    self.preface(requests, time_ns);
                }
            }
            Message::Proxied { client } => {
                let (family, server) = match client {
                    SocketAddr::V4(_) => ("TCP4", "0.0.0.0"),
                    SocketAddr::V6(_) => ("TCP6", "::"),
                };
                let (address, port) = (client.ip(), client.port());
                let opening = format!("PROXY {family} {address} {server} {port} 0\r\n");
                self.bytes(requests, time_ns, opening.as_bytes());
            }
            Message::RequestEnd { .. }
            | Message::Trailers { .. }
            | Message::Content { .. }
            | Message::Messages { .. }
            | Message::Unanswered { .. }
            | Message::Skip { .. }
            | Message::Disputed
            | Message::Verdict(_) => {}
        }
    }

    fn preface(&mut self, requests: Direction, time_ns: u64) {
        self.redacted.prefaced = true;
        self.bytes(requests, time_ns, &[PREFACE, EMPTY_SETTINGS].concat());
    }

    fn request(&mut self, request: &RequestHead<'_>) {
        let RequestHead {
            id,
            time_ns,
            direction,
            version,
            rpc: _,
            method,
            target,
            authority,
            fields,
            marks,
        } = *request;
        self.requests = Some(direction);
        let target = public_target(method, target);
        if version < 2 || version == 9 {
            self.redacted.http1 = true;
            let start = match version {
                9 => format!("{method} {target}"),
                minor => format!("{method} {target} HTTP/1.{minor}"),
            };
            let text = match version {
                9 => [start.as_bytes(), b"\r\n"].concat(),
                _ => head(&start, fields, marks),
            };
            return self.bytes(direction, time_ns, &text);
        }
        if !self.redacted.prefaced {
            self.preface(direction, time_ns);
        }
        let mut block = Block::default();
        if !method.is_empty() {
            block.field(":method", method);
        }
        if let Some(authority) = authority.and_then(|text| std::str::from_utf8(text).ok()) {
            block.field(":authority", &public_value("host", authority.as_bytes()));
        }
        if !target.is_empty() && (method != "CONNECT" || target.starts_with('/')) {
            block.field(":path", &target);
        }
        let websocket = |field: &Header<'_>| field.name == "sec-websocket-version";
        if method == "CONNECT" && fields.iter().any(websocket) {
            block.field(":protocol", "websocket");
        }
        block.fields(fields);
        self.bytes(direction, time_ns, &block.frames(id, marks));
    }

    fn response(&self, response: &ResponseHead<'_>) -> Vec<u8> {
        let ResponseHead {
            id,
            status,
            fields,
            marks,
        } = *response;
        match (self.redacted.http2, status) {
            (true, status) => {
                let mut block = Block::default();
                if let Some(status) = status {
                    block.field(":status", &status.to_string());
                }
                block.fields(fields);
                block.frames(id, marks)
            }
            (false, Some(status)) => head(&format!("HTTP/1.1 {status}"), fields, marks),
            // HTTP/0.9 has no heads.
            (false, None) => Vec::new(),
        }
    }

    fn passed(&mut self, time_ns: u64, passed: &Passed<'_>) {
        let Passed {
            direction,
            id,
            form,
            len,
            lost,
            outline,
        } = *passed;
        let (Some(form), Some(id)) = (form, id) else {
            return self.gap(direction, time_ns, if lost { len } else { 0 });
        };
        let (before, after): (Vec<u8>, &[u8]) = match form {
            BodyForm::Plain => (Vec::new(), b""),
            BodyForm::Chunk => (format!("{len:x}\r\n").into_bytes(), b"\r\n"),
            BodyForm::Frame => (frame_head(DATA, 0, id, len), b""),
        };
        self.bytes(direction, time_ns, &before);
        if std::mem::take(&mut self.redacted.bare)
            && direction != self.requests.unwrap_or(direction)
        {
            // Something has to show that it begins.
            self.bytes(direction, time_ns, b"*");
            return self.left_out(direction, time_ns, len.saturating_sub(1));
        }
        match outline {
            Some(outline) => self.bytes(direction, time_ns, outline),
            None if lost => self.gap(direction, time_ns, len),
            None => self.left_out(direction, time_ns, len),
        }
        self.bytes(direction, time_ns, after);
    }

    /// As many messages, frames and bytes as one end has sent; in what order is not told. Over
    /// HTTP/2 on the `stream` of a request.
    fn websocket(
        &mut self,
        direction: Direction,
        time_ns: u64,
        stream: Option<u64>,
        side: WebSocketSide,
    ) {
        let WebSocketSide {
            frames,
            messages,
            bytes,
            close_code,
            lost,
        } = side;
        let mut push = |head: &[u8], left_out: u64| {
            if let Some(id) = stream {
                let len = (head.len() as u64).saturating_add(left_out);
                self.bytes(direction, time_ns, &frame_head(DATA, 0, id, len));
            }
            self.bytes(direction, time_ns, head);
            self.left_out(direction, time_ns, left_out);
        };
        let end = close_code.map(|code| {
            let [high, low] = code.to_be_bytes();
            [0x88, 2, high, low]
        });
        let parts = frames
            .saturating_sub(messages)
            .saturating_sub(u64::from(end.is_some()));
        let all = parts.saturating_add(messages);
        let mut left = bytes.saturating_sub(if end.is_some() { 2 } else { 0 });
        for at in 0..all.min(MAX_FRAMES) {
            let first = if at < parts { 0x00 } else { 0x82 };
            let length = left.to_be_bytes();
            push(&[&[first, 127][..], &length].concat(), left.min(MAX_DATA));
            while left > MAX_DATA {
                left -= MAX_DATA;
                push(&[], left.min(MAX_DATA));
            }
            left = 0;
        }
        if let Some(end) = end {
            push(&end, 0);
        }
        if lost || all > MAX_FRAMES {
            self.gap(direction, time_ns, 1);
        }
    }
}
