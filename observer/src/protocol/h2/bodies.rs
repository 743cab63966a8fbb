//! Follows the bodies in DATA frames.

use super::frame::FrameHead;
use super::half::{DataRun, State};
use super::reading::Reader;
use crate::protocol::{BodyForm, Marks, Message, Passed};
use crate::stream::add;

impl<F: FnMut(Message<'_>)> Reader<'_, F> {
    pub(super) fn begin_data(&mut self, head: FrameHead) {
        if head.stream == 0 {
            self.shared.counts.invalid_frames += 1;
            self.pass(head.length);
            return;
        }
        let padded = head.has(FrameHead::PADDED);
        let run = DataRun {
            stream: head.stream,
            end_stream: head.has(FrameHead::END_STREAM),
            padded,
            content: head.length,
            padding: 0,
        };
        self.half.state = State::Data(run);
        if head.length == 0 {
            self.end_of_data(DataRun {
                padded: false,
                ..run
            });
        }
    }

    pub(super) fn body(&mut self, mut run: DataRun, bytes: &[u8]) -> usize {
        if run.padded {
            let padding = u32::from(bytes.first().copied().unwrap_or_default());
            run.padded = false;
            let rest = run.content.saturating_sub(1);
            if padding > rest {
                self.shared.counts.invalid_frames += 1;
                self.pass(rest);
                return 1;
            }
            run.content = rest - padding;
            run.padding = padding;
            self.half.state = State::Data(run);
            self.end_of_data(run);
            return 1;
        }
        let content = bytes.len().min(run.content as usize);
        if content > 0 {
            let part = bytes.get(..content);
            self.content(run.stream, content as u64, part, Marks::NONE);
        }
        let padding = (bytes.len() - content).min(run.padding as usize);
        // Not above what they are taken from.
        run.content -= content as u32;
        run.padding -= padding as u32;
        self.half.state = State::Data(run);
        self.end_of_data(run);
        content + padding
    }

    /// Content of a body, or so many bytes of it that are missing.
    pub(super) fn content(&mut self, stream_id: u32, len: u64, bytes: Option<&[u8]>, mark: Marks) {
        let request = self.both.requests == Some(self.direction);
        let Some(stream) = self.both.streams.get(stream_id) else {
            return;
        };
        let [peek_request, peek_response] = &mut stream.peek;
        let (body, marks, peek) = if request {
            (
                &mut stream.request_body,
                &mut stream.request_marks,
                peek_request,
            )
        } else {
            (
                &mut stream.response_body,
                &mut stream.response_marks,
                peek_response,
            )
        };
        add(body, len);
        marks.add(mark);
        let id = stream.id;
        let outline = match (bytes, stream.messages.as_deref()) {
            (Some(bytes), Some([of_request, of_response])) if self.shared.tell_passed => {
                let messages = if request { of_request } else { of_response };
                Some(messages.outline(bytes))
            }
            _ => None,
        };
        match bytes {
            Some(bytes) => {
                let wanted = bytes.len().min(*peek as usize);
                if let Some(bytes @ [_, ..]) = bytes.get(..wanted) {
                    // Not above what is wanted.
                    *peek -= wanted as u32;
                    (self.out)(Message::Content { id, request, bytes });
                }
            }
            None => *peek = 0,
        }
        if let Some([of_request, of_response]) = stream.messages.as_deref_mut() {
            let messages = if request { of_request } else { of_response };
            match bytes {
                Some(bytes) => messages.push(bytes),
                None => messages.pass(len),
            }
        }
        let websocket = self.both.streams.get(stream_id);
        if let Some(halves) = websocket.and_then(|stream| stream.websocket.as_deref_mut()) {
            let [client, server] = halves;
            let half = if request { client } else { server };
            match bytes {
                Some(bytes) => half.push(bytes),
                None => half.pass(len),
            }
            // Told when it ends.
            return;
        }
        self.passed(Some(id), outline.as_deref(), len, mark.has(Marks::GAP));
    }

    /// Tells of bytes of which nothing else is told: of the body of a request or its answer, or
    /// of no frame.
    pub(super) fn passed(&mut self, id: Option<u64>, bytes: Option<&[u8]>, len: u64, lost: bool) {
        if self.shared.tell_passed {
            (self.out)(Message::Passed(Passed {
                direction: self.direction,
                id,
                form: id.map(|_| BodyForm::Frame),
                len,
                lost,
                outline: bytes,
            }));
        }
    }

    /// More of the body at hand is to be told.
    pub(super) fn peeked(&mut self) -> bool {
        let State::Data(run) = self.half.state else {
            return false;
        };
        let request = self.both.requests == Some(self.direction);
        let stream = self.both.streams.get(run.stream);
        stream.is_some_and(|stream| {
            let [of_request, of_response] = stream.peek;
            request && of_request > 0 || !request && of_response > 0
        })
    }

    pub(super) fn end_of_data(&mut self, run: DataRun) {
        if run.content > 0 || run.padding > 0 || run.padded {
            return;
        }
        self.half.state = State::Head;
        if run.end_stream {
            self.end_stream(run.stream);
        }
    }
}
