//! Counts the messages of remote procedure calls by their prefixes, and finds what ends a stream:
//! gRPC over HTTP/2, gRPC-Web and Connect. A prefix is one octet of flags, four of length.

use httparse::Header;

const PREFIX: u8 = 5;

/// Longest end of a stream that is kept, bytes: a status, a message, a few fields.
const MAX_TAIL: usize = 4 << 10;

/// Name of the field in which the end of a Connect stream is handed on.
pub const CONNECT_END: &str = ":connect-end";

/// A protocol for remote procedure calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rpc {
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web, over any version: its status is the last message.
    Web,
    /// gRPC-Web in base64.
    WebText,
    /// A stream of Connect.
    ConnectStream,
    /// A single call of Connect, whose body has no prefixes.
    ConnectUnary,
}

impl Rpc {
    /// By the fields of a request.
    pub(super) fn of_request(fields: &[Header<'_>]) -> Option<Self> {
        let mut rpc = None;
        let mut connect = false;
        for field in fields {
            match field.name.len() {
                12 if field.name.eq_ignore_ascii_case("content-type") => {
                    rpc = Self::of(field.value);
                }
                24 => connect |= field.name.eq_ignore_ascii_case("connect-protocol-version"),
                _ => {}
            }
        }
        rpc.or(connect.then_some(Self::ConnectUnary))
    }

    /// By the value of `Content-Type`.
    pub(super) fn of(content_type: &[u8]) -> Option<Self> {
        let name = content_type.split(|byte| matches!(byte, b';' | b' ' | b'+'));
        let name = name.into_iter().next().unwrap_or_default();
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        if is("application/grpc") {
            Some(Self::Grpc)
        } else if is("application/grpc-web") {
            Some(Self::Web)
        } else if is("application/grpc-web-text") {
            Some(Self::WebText)
        } else if is("application/connect") {
            Some(Self::ConnectStream)
        } else {
            None
        }
    }

    /// Its messages have prefixes.
    pub(super) fn is_stream(self) -> bool {
        self != Self::ConnectUnary
    }
}

/// Messages of one direction of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Messages {
    rpc: Rpc,
    /// Messages begun.
    count: u64,
    /// Where they start is not known any more.
    lost: bool,
    /// Octets of the prefix at hand.
    prefix: u8,
    flags: u8,
    length: u32,
    /// Bytes left of the message at hand.
    left: u32,
    /// What ends the stream.
    tail: Vec<u8>,
    /// Digits of base64 that make no whole bytes yet.
    digits: u32,
    digit_count: u8,
}

impl Messages {
    pub(super) fn new(rpc: Rpc) -> Self {
        Self {
            rpc,
            count: 0,
            lost: false,
            prefix: 0,
            flags: 0,
            length: 0,
            left: 0,
            tail: Vec::new(),
            digits: 0,
            digit_count: 0,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.rpc != Rpc::WebText {
            return self.plain(bytes);
        }
        for &byte in bytes {
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                // Streams are made of pieces that each have their padding.
                b'=' => {
                    (self.digits, self.digit_count) = (0, 0);
                    continue;
                }
                b'\r' | b'\n' => continue,
                _ => {
                    self.lost = true;
                    return;
                }
            };
            self.digits = self.digits << 6 | u32::from(digit);
            self.digit_count += 1;
            if self.digit_count >= 2 {
                // From the second digit on, each completes a byte.
                let rest = 6 * u32::from(self.digit_count) - 8;
                let whole = self.digits >> (rest % 8);
                self.plain(&[(whole & 0xff) as u8]);
                if self.digit_count == 4 {
                    (self.digits, self.digit_count) = (0, 0);
                } else {
                    self.digits &= (1 << (rest % 8)) - 1;
                }
            }
        }
    }

    fn plain(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.lost {
            if self.left > 0 {
                let take = bytes.len().min(self.left as usize);
                let part = bytes.get(..take).unwrap_or_default();
                if self.ends() && self.tail.len() + take <= MAX_TAIL {
                    self.tail.extend_from_slice(part);
                }
                // Not above `left`.
                self.left -= take as u32;
                bytes = bytes.get(take..).unwrap_or_default();
                continue;
            }
            let Some((&byte, rest)) = bytes.split_first() else {
                return;
            };
            bytes = rest;
            match self.prefix {
                0 => {
                    self.flags = byte;
                    self.lost = byte & !self.known_flags() != 0;
                    self.length = 0;
                }
                _ => self.length = self.length << 8 | u32::from(byte),
            }
            self.prefix += 1;
            if self.prefix == PREFIX {
                self.prefix = 0;
                self.left = self.length;
                self.count += u64::from(!self.ends());
            }
        }
    }

    /// These bytes, which come next, with zeros for all but the prefixes of messages.
    pub(super) fn outline(&self, bytes: &[u8]) -> Vec<u8> {
        let mut outline = vec![0; bytes.len()];
        if self.rpc == Rpc::WebText {
            return outline;
        }
        let mut state = self.clone();
        let mut at = 0;
        while !state.lost
            && let Some(rest) = bytes.get(at..)
            && let Some((first, _)) = rest.split_first_chunk::<1>()
        {
            if state.left > 0 {
                let taken = rest.len().min(state.left as usize);
                // Not above `left`.
                state.left -= taken as u32;
                at += taken;
                continue;
            }
            state.plain(first);
            // What is a prefix of nothing is not shown.
            if let (false, Some(place)) = (state.lost, outline.get_mut(at)) {
                *place = first[0];
            }
            at += 1;
        }
        outline
    }

    /// Bit 0: compressed. What ends a stream has a bit of its own.
    fn known_flags(&self) -> u8 {
        match self.rpc {
            Rpc::Grpc | Rpc::ConnectUnary => 0x01,
            Rpc::Web | Rpc::WebText => 0x81,
            Rpc::ConnectStream => 0x03,
        }
    }

    /// The message at hand is the end of the stream.
    fn ends(&self) -> bool {
        match self.rpc {
            Rpc::Grpc | Rpc::ConnectUnary => false,
            Rpc::Web | Rpc::WebText => self.flags & 0x80 != 0,
            Rpc::ConnectStream => self.flags & 0x02 != 0,
        }
    }

    /// So many bytes are missing.
    pub(super) fn pass(&mut self, len: u64) {
        if self.rpc == Rpc::WebText {
            self.lost |= len > 0;
            return;
        }
        match u64::from(self.left).checked_sub(len) {
            // Not above `left`.
            Some(left) if len > 0 => self.left = left as u32,
            Some(_) => {}
            None => self.lost = true,
        }
    }

    /// Bytes of the message at hand that nobody needs.
    pub(super) fn skippable(&self) -> u64 {
        match (self.lost, self.ends() || self.rpc == Rpc::WebText) {
            (true, _) => u64::MAX,
            (false, true) => 0,
            (false, false) => u64::from(self.left),
        }
    }

    /// How many there were, if that is known.
    pub(super) fn counted(&self) -> Option<u64> {
        (!self.lost).then_some(self.count)
    }

    /// Memory it may come to take, bytes.
    pub(super) fn most_memory(&self) -> usize {
        let tail = match self.rpc {
            Rpc::Grpc | Rpc::ConnectUnary => 0,
            Rpc::Web | Rpc::WebText | Rpc::ConnectStream => MAX_TAIL,
        };
        size_of::<Self>() + tail
    }

    /// Hands over the fields that end the stream, if any came.
    pub(super) fn trailers(&self, take: impl FnOnce(&[Header<'_>])) {
        if self.tail.is_empty() || self.flags & 1 != 0 {
            return;
        }
        if self.rpc == Rpc::ConnectStream {
            let end = [Header {
                name: CONNECT_END,
                value: &self.tail,
            }];
            return take(&end);
        }
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut count = 0;
        let lines = self.tail.split(|byte| *byte == b'\n');
        let pairs = lines.filter_map(|line| {
            let at = memchr::memchr(b':', line)?;
            let name = std::str::from_utf8(line.get(..at)?).ok()?;
            Some((name, line.get(at + 1..)?.trim_ascii()))
        });
        for (field, (name, value)) in fields.iter_mut().zip(pairs) {
            *field = Header { name, value };
            count += 1;
        }
        take(fields.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn status(messages: &Messages) -> Option<String> {
        let mut status = None;
        messages.trailers(|fields| {
            let field = fields.first().unwrap();
            status = Some(format!(
                "{}={}",
                field.name,
                String::from_utf8_lossy(field.value)
            ));
        });
        status
    }

    #[test]
    fn messages_are_counted_whatever_the_split() {
        let text = b"\0\0\0\0\x03abc\x01\0\0\0\0\0\0\0\0\x01x";
        for cut in 0..text.len() {
            let mut messages = Messages::new(Rpc::Grpc);
            messages.push(&text[..cut]);
            messages.push(&text[cut..]);
            assert_eq!(messages.counted(), Some(3));
        }
    }

    #[test]
    fn the_end_of_a_stream_is_no_message_and_gives_its_fields() {
        let end = b"grpc-status: 7\r\ngrpc-message: no\r\n";
        let web = [&b"\0\0\0\0\x03abc\x80\0\0\0\x22"[..], end].concat();
        let two = [&web[..8], &web[8..]]
            .map(|part| STANDARD.encode(part))
            .concat();
        let connect = b"\0\0\0\0\x01x\x02\0\0\0\x02{}".to_vec();
        for (rpc, text, expected) in [
            (Rpc::Web, web.clone(), "grpc-status=7"),
            (
                Rpc::WebText,
                STANDARD.encode(&web).into_bytes(),
                "grpc-status=7",
            ),
            (Rpc::WebText, two.into_bytes(), "grpc-status=7"),
            (Rpc::ConnectStream, connect, ":connect-end={}"),
        ] {
            for cut in 0..text.len() {
                let mut messages = Messages::new(rpc);
                messages.push(&text[..cut]);
                messages.push(&text[cut..]);
                assert_eq!(messages.counted(), Some(1), "{rpc:?} {cut}");
                assert_eq!(
                    status(&messages).as_deref(),
                    Some(expected),
                    "{rpc:?} {cut}"
                );
            }
        }
    }

    #[test]
    fn missing_bytes_inside_a_message_are_passed_over() {
        let mut messages = Messages::new(Rpc::Grpc);
        messages.push(b"\0\0\0\0\x05a");
        messages.pass(4);
        messages.push(b"\0\0\0\0\0");
        assert_eq!(messages.counted(), Some(2));
        messages.pass(1);
        assert_eq!(messages.counted(), None);
    }

    #[test]
    fn protocols_are_told_by_the_content_type() {
        for (text, expected) in [
            ("application/grpc", Some(Rpc::Grpc)),
            ("application/grpc+proto", Some(Rpc::Grpc)),
            ("Application/gRPC;x=y", Some(Rpc::Grpc)),
            ("application/grpc-web+proto", Some(Rpc::Web)),
            ("application/grpc-web-text", Some(Rpc::WebText)),
            ("application/connect+json", Some(Rpc::ConnectStream)),
            ("application/json", None),
        ] {
            assert_eq!(Rpc::of(text.as_bytes()), expected, "{text}");
        }
    }
}
