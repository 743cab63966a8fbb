//! Cuts one direction into frames and follows bodies.

use super::connection::Both;
use super::frame::{
    Continuation, Frame, FrameError, FrameHead, FrameKind, GoAway, HEAD_LEN, Headers, PushPromise,
    RstStream, Settings,
};
use super::half::{Block, Half, MAX_BLOCK, MAX_CONTINUATIONS, MAX_CONTROL, State};
use super::opening::find_frame;
use crate::protocol::shared::ProtocolShared;
use crate::protocol::{Marks, Message};
use crate::stream::{Direction, add};

/// What a client sends before its first frame (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long the end of a gRPC stream is waited for that its client has reset: a round trip.
const LINGER_NS: u64 = 50_000_000;

/// Streams of one connection that are waited for in that way.
const MAX_LINGERING: usize = 16;

/// One run over one piece of one direction.
pub(super) struct Reader<'a, F> {
    pub half: &'a mut Half,
    pub other: &'a mut Half,
    pub both: &'a mut Both,
    pub shared: &'a mut ProtocolShared,
    pub out: &'a mut F,
    pub direction: Direction,
    pub time_ns: u64,
}

impl<F: FnMut(Message<'_>)> Reader<'_, F> {
    pub(super) fn data(&mut self, mut bytes: &[u8]) {
        if self.half.state == State::Search {
            let streams = &mut self.both.streams;
            let found = match self.half.ended {
                true => None,
                false => find_frame(bytes, |stream| streams.get(stream).is_some()),
            };
            let passed = found.unwrap_or(bytes.len());
            add(&mut self.shared.counts.searched_bytes, passed as u64);
            self.passed(None, None, passed as u64, true);
            if found.is_none() {
                return;
            }
            bytes = bytes.get(passed..).unwrap_or_default();
            self.half.state = State::Head;
        }
        while !bytes.is_empty() {
            let taken = match self.half.state {
                State::Preface(seen) => self.preface(bytes, seen),
                State::Head => self.head(bytes),
                State::Payload(head) => self.payload(&head, bytes),
                State::Data(run) => self.body(run, bytes),
                State::Pass(left) => {
                    let taken = bytes.len().min(left as usize);
                    // Not above `left`.
                    self.pass(left - taken as u32);
                    taken
                }
                State::Search => {
                    add(&mut self.shared.counts.searched_bytes, bytes.len() as u64);
                    return;
                }
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Bytes are missing; `mark` says how that is told.
    pub(super) fn gap(&mut self, len: u64, mark: Marks) {
        match self.half.state {
            State::Data(mut run) if !run.padded => {
                let content = len.min(u64::from(run.content));
                let padding = (len - content).min(u64::from(run.padding));
                // Not above what they are taken from.
                run.content -= content as u32;
                run.padding -= padding as u32;
                self.content(run.stream, content, None, mark);
                self.half.state = State::Data(run);
                self.end_of_data(run);
                if content + padding < len {
                    self.boundary_lost(len - content - padding);
                }
            }
            State::Pass(left) => {
                let inside = len.min(u64::from(left));
                // Not above `left`.
                self.pass(left - inside as u32);
                if inside < len {
                    self.boundary_lost(len - inside);
                }
            }
            State::Search => add(&mut self.shared.counts.searched_bytes, len),
            State::Data(_) | State::Preface(_) | State::Head | State::Payload(_) => {
                self.boundary_lost(len);
            }
        }
    }

    /// The direction ended.
    pub(super) fn end(&mut self) {
        self.half.ended = true;
        self.half.drop_incomplete();
        self.half.state = State::Search;
        if self.both.requests == Some(self.direction) {
            return;
        }
        while let Some(oldest) = self.both.streams.oldest()
            && let Some(stream) = self.both.streams.take(oldest)
        {
            stream.give_up(Some(self.time_ns), self.out);
        }
    }

    fn preface(&mut self, bytes: &[u8], seen: usize) -> usize {
        let rest = PREFACE.get(seen..).unwrap_or_default();
        let len = rest.len().min(bytes.len());
        if bytes.get(..len) != rest.get(..len) {
            self.boundary_lost(bytes.len() as u64);
            return bytes.len();
        }
        self.half.state = if len == rest.len() {
            State::Head
        } else {
            State::Preface(seen + len)
        };
        len
    }

    fn head(&mut self, bytes: &[u8]) -> usize {
        let before = self.half.buffer.len();
        if before == 0 {
            self.half.start_ns = self.time_ns;
            if let Some(head) = bytes.first_chunk::<HEAD_LEN>() {
                self.begin(FrameHead::parse(head));
                return HEAD_LEN;
            }
        }
        let missing = HEAD_LEN.saturating_sub(before).min(bytes.len());
        let part = bytes.get(..missing).unwrap_or_default();
        self.half.buffer.extend_from_slice(part);
        if let Some(head) = self.half.buffer.first_chunk::<HEAD_LEN>() {
            let head = FrameHead::parse(head);
            self.half.buffer.clear();
            self.begin(head);
        }
        missing
    }

    /// A frame begins.
    fn begin(&mut self, head: FrameHead) {
        if !self.half.exact && !head.is_plausible() {
            self.boundary_lost(HEAD_LEN as u64);
            return;
        }
        self.shared.counts.frames += 1;
        let continues = match (&self.half.block, head.kind) {
            (Some(block), FrameKind::Continuation) => block.stream == head.stream,
            (None, FrameKind::Continuation) | (Some(_), _) => false,
            (None, _) => true,
        };
        if !continues {
            // A header block is cut or starts in the middle (§6.10): what follows cannot be read.
            self.shared.counts.invalid_frames += 1;
            self.half.block = None;
            self.half.decoder.forget();
        }
        let limit = match head.kind {
            FrameKind::Data => {
                self.begin_data(head);
                return;
            }
            FrameKind::Headers | FrameKind::PushPromise => MAX_BLOCK,
            FrameKind::Continuation if continues => MAX_BLOCK,
            FrameKind::Settings | FrameKind::GoAway | FrameKind::RstStream => MAX_CONTROL,
            FrameKind::Continuation
            | FrameKind::Priority
            | FrameKind::Ping
            | FrameKind::WindowUpdate
            | FrameKind::Unknown(_) => {
                self.pass(head.length);
                return;
            }
        };
        if head.length as usize > limit {
            self.shared.counts.heads_too_large += 1;
            if limit == MAX_BLOCK {
                self.half.block = None;
                self.half.decoder.forget();
            }
            self.pass(head.length);
        } else if head.length == 0 {
            self.half.state = State::Head;
            self.frame(&head, &[]);
        } else {
            self.half.state = State::Payload(head);
        }
    }

    pub(super) fn pass(&mut self, left: u32) {
        self.half.state = if left == 0 {
            State::Head
        } else {
            State::Pass(left)
        };
    }

    fn payload(&mut self, head: &FrameHead, bytes: &[u8]) -> usize {
        let length = head.length as usize;
        if self.half.buffer.is_empty()
            && let Some(payload) = bytes.get(..length)
        {
            self.half.state = State::Head;
            self.frame(head, payload);
            return length;
        }
        let missing = length.saturating_sub(self.half.buffer.len());
        let taken = missing.min(bytes.len());
        let part = bytes.get(..taken).unwrap_or_default();
        self.half.buffer.extend_from_slice(part);
        if taken == missing {
            let payload = std::mem::take(&mut self.half.buffer);
            self.half.state = State::Head;
            self.frame(head, &payload);
        }
        taken
    }

    /// A frame is complete.
    fn frame(&mut self, head: &FrameHead, payload: &[u8]) {
        match Frame::parse(head, payload) {
            Ok(Frame::Headers(headers)) => self.headers(&headers),
            Ok(Frame::PushPromise(promise)) => self.promise(&promise),
            Ok(Frame::Continuation(continuation)) => self.continuation(&continuation),
            Ok(Frame::Settings(settings)) => self.settings(settings),
            Ok(Frame::RstStream(reset)) => self.reset(reset),
            Ok(Frame::GoAway(goaway)) => self.goaway(&goaway),
            Ok(_) => {}
            Err(FrameError::Protocol | FrameError::Size) => {
                self.shared.counts.invalid_frames += 1;
                if matches!(head.kind, FrameKind::Headers | FrameKind::PushPromise) {
                    self.half.decoder.forget();
                }
            }
        }
    }

    fn headers(&mut self, headers: &Headers<'_>) {
        let &Headers {
            stream,
            fragment,
            end_stream,
            end_headers,
            dependency: _,
        } = headers;
        if end_headers {
            let start_ns = self.half.start_ns;
            self.block(stream, end_stream, start_ns, fragment, Marks::NONE);
        } else {
            self.keep(stream, end_stream, false, fragment);
        }
    }

    fn promise(&mut self, promise: &PushPromise<'_>) {
        self.shared.counts.push_promises += 1;
        if promise.end_headers {
            self.pass_block(promise.fragment);
        } else {
            self.keep(promise.stream, false, true, promise.fragment);
        }
    }

    fn keep(&mut self, stream: u32, end_stream: bool, promise: bool, fragment: &[u8]) {
        self.half.block = Some(Box::new(Block {
            stream,
            end_stream,
            promise,
            start_ns: self.half.start_ns,
            bytes: fragment.to_vec(),
            continuations: 0,
            flooded: false,
        }));
    }

    fn continuation(&mut self, continuation: &Continuation<'_>) {
        let Some(mut block) = self.half.block.take() else {
            return;
        };
        block.continuations += 1;
        let len = block.bytes.len() + continuation.fragment.len();
        if !block.flooded && (len > MAX_BLOCK || block.continuations > MAX_CONTINUATIONS) {
            // CVE-2024-27316 and its kin: no honest sender needs as much.
            self.shared.counts.continuation_floods += 1;
            block.flooded = true;
            let bytes = std::mem::take(&mut block.bytes);
            if !block.promise {
                self.block(
                    block.stream,
                    block.end_stream,
                    block.start_ns,
                    &bytes,
                    Marks::FLOOD,
                );
            }
            self.half.decoder.forget();
        }
        if block.flooded {
            if !continuation.end_headers {
                self.half.block = Some(block);
            }
            return;
        }
        block.bytes.extend_from_slice(continuation.fragment);
        if !continuation.end_headers {
            self.half.block = Some(block);
        } else if block.promise {
            self.pass_block(&block.bytes);
        } else {
            self.block(
                block.stream,
                block.end_stream,
                block.start_ns,
                &block.bytes,
                Marks::NONE,
            );
        }
    }

    /// What a side says of its own table binds the encoder of the other (RFC 7541 §4.2).
    fn settings(&mut self, settings: Settings<'_>) {
        for size in settings.table_sizes() {
            self.other.decoder.allow(size);
        }
    }

    fn reset(&mut self, reset: RstStream) {
        self.shared.counts.resets += 1;
        let client = self.both.requests == Some(self.direction);
        if let Some(stream) = self.both.streams.get(reset.stream) {
            stream.request_marks.add(Marks::RESET);
            if client && stream.messages.is_some() && stream.answered {
                // The status that the server was about to tell may be on its way.
                let lingering = &mut self.both.lingering;
                if lingering.len() < MAX_LINGERING {
                    lingering.push((reset.stream, self.time_ns));
                    return;
                }
            }
        }
        self.give_up(reset.stream, self.time_ns);
    }

    fn give_up(&mut self, stream: u32, time_ns: u64) {
        if let Some(stream) = self.both.streams.take(stream) {
            stream.give_up(Some(time_ns), self.out);
        }
    }

    /// Gives up on streams that were reset a while ago.
    pub(super) fn end_lingering(&mut self) {
        while let Some(&(stream, since_ns)) = self.both.lingering.first()
            && self.time_ns.saturating_sub(since_ns) > LINGER_NS
        {
            self.both.lingering.remove(0);
            self.give_up(stream, since_ns);
        }
    }

    /// Requests that the server says it will not process.
    fn goaway(&mut self, goaway: &GoAway<'_>) {
        if self
            .both
            .requests
            .is_none_or(|requests| requests == self.direction)
        {
            return;
        }
        while let Some(newest) = self.both.streams.newest()
            && newest > goaway.last_stream
            && let Some(mut stream) = self.both.streams.take(newest)
        {
            stream.request_marks.add(Marks::RESET);
            stream.give_up(Some(self.time_ns), self.out);
        }
    }

    /// Where the next frame starts is not known, nor what the frames that were missed did.
    fn boundary_lost(&mut self, len: u64) {
        self.passed(None, None, len, true);
        self.shared.counts.boundaries_lost += 1;
        self.half.drop_incomplete();
        self.half.decoder.forget();
        self.half.exact = false;
        self.half.state = State::Search;
        let request = self.both.requests == Some(self.direction);
        for stream in self.both.streams.iter_mut() {
            if request && !stream.request_ended {
                stream.request_marks.add(Marks::GAP);
            } else if !request {
                stream.response_marks.add(Marks::GAP);
            }
        }
    }
}
