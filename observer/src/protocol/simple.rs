//! HTTP/0.9 (RFC 1945 §5, §6): a line, and an answer without head.

use httparse::{Header, Status};
use memchr::memchr;

use super::head::MAX_HEADERS;
use super::opening::is_simple;
use super::reading::{Reader, Role};
use super::side::State;
use super::{Marks, Message, ResponseHead};

/// Stands for the version of HTTP/0.9 in [`super::RequestHead::version`].
pub(super) const SIMPLE: u8 = 9;

impl<F: FnMut(Message<'_>)> Reader<'_, F> {
    /// Takes a message of HTTP/0.9, which is the only one of its connection.
    pub(super) fn simple(&mut self, head: &[u8]) -> bool {
        if self.side.found {
            return false;
        }
        if self.role == Role::Response {
            let same = head.iter().zip(b"HTTP/1.").all(|(byte, own)| byte == own);
            if same || !self.pairing.expects_simple() {
                return false;
            }
            let Self {
                side,
                pairing,
                shared,
                out,
                ..
            } = self;
            let answered = pairing.response(side.start_ns, |_| {});
            side.id = answered.map(|request| request.id);
            side.state = State::Close;
            (side.body, side.marks, side.peek) = (0, Marks::NONE, 0);
            shared.counts.responses += 1;
            if let Some(id) = side.id {
                out(Message::Response(ResponseHead {
                    id,
                    status: None,
                    fields: &[],
                    marks: Marks::NONE,
                }));
            }
            return true;
        }
        let line = memchr(b'\n', head).and_then(|end| head.get(..end));
        let Some(line) = line.filter(|line| !self.confirmed && is_simple(line)) else {
            return false;
        };
        let Ok(line) = std::str::from_utf8(line.trim_ascii_end()) else {
            return false;
        };
        let (method, target) = line.split_once(' ').unwrap_or((line, ""));
        let host = head.get(line.len()..).and_then(host);
        // A server answers the line: whatever follows is no second request, and says nothing of
        // how this one is to be read.
        self.request(method, target, SIMPLE, host.as_slice(), Marks::NONE);
        self.side.state = State::Close;
        true
    }
}

/// The host of fields that some send all the same, if they came along with the end of the line.
fn host(after: &[u8]) -> Option<Header<'_>> {
    let after = memchr(b'\n', after).and_then(|end| after.get(end + 1..))?;
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let Ok(Status::Complete((_, fields))) = httparse::parse_headers(after, &mut fields) else {
        return None;
    };
    let mut fields = fields.iter().copied();
    fields.find(|field| field.name.eq_ignore_ascii_case("host"))
}
