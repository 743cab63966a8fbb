//! Reads what the hellos of a TLS connection say in the clear (RFC 8446 4.1, RFC 5246 7.4.1).
//!
//! In: the first bytes of each direction, as far as the kernel half took them. Out: a
//! [`TlsHello`]. A hello that is cut short tells what is before the cut; nothing is guessed.

use crate::stream::{TlsHello, TlsVersion};

/// Bytes of a hello that are kept until it is whole: what the kernel half takes of two packets.
const MOST_BYTES: usize = 8 << 10;
/// Protocols of an offer that are kept; a browser offers two.
const MOST_PROTOCOLS: usize = 8;
/// Longest name of a protocol that is kept; IANA's longest has 19 bytes.
const MOST_PROTOCOL_NAME: usize = 32;
/// Longest host name (RFC 1035 2.3.4).
const MOST_HOST_NAME: usize = 253;

/// `handshake` of RFC 8446 5.1.
const RECORD_HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ALPN: u16 = 16;
const EXTENSION_SESSION_TICKET: u16 = 35;
const EXTENSION_PRE_SHARED_KEY: u16 = 41;
const EXTENSION_SUPPORTED_VERSIONS: u16 = 43;

/// `random` of a hello with which a server asks for another hello of the client (RFC 8446 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];
/// Longest session id (RFC 5246 7.4.1.2).
const MOST_SESSION: usize = 32;

/// The first bytes of both directions of one connection, until the hellos are read.
#[derive(Debug, Default)]
pub(super) struct Hellos {
    sides: [Side; 2],
    client: Option<Session>,
    /// Of a hello that decides, seen as a whole.
    server: Option<Session>,
}

/// What of a hello tells whether a connection goes on from an earlier one.
#[derive(Debug, Default)]
struct Session {
    /// The session that the client names, or the server goes on with.
    id: Vec<u8>,
    /// The client has a ticket (RFC 5077 3.2).
    ticket: bool,
    /// The server took a key that both had.
    key: bool,
    /// The server asks for another hello.
    retry: bool,
}

#[derive(Debug, Default)]
struct Side {
    bytes: Vec<u8>,
    /// Sequence number that follows `bytes`.
    next: Option<u32>,
    done: bool,
}

impl Hellos {
    /// Takes the payload of a packet; `len` is its whole length. True if it told something new.
    pub(super) fn push(
        &mut self,
        outbound: bool,
        seq: u32,
        len: u32,
        payload: &[u8],
        hello: &mut TlsHello,
    ) -> bool {
        let [inbound_side, outbound_side] = &mut self.sides;
        let side = if outbound {
            outbound_side
        } else {
            inbound_side
        };
        let follows = side.next.is_none_or(|next| next == seq);
        if side.done || !follows || side.bytes.len() + payload.len() > MOST_BYTES {
            return false;
        }
        side.next = Some(seq.wrapping_add(len));
        side.bytes.extend_from_slice(payload);
        let (message, whole) = message(&side.bytes);
        let cut = u32::try_from(payload.len()).unwrap_or(u32::MAX) < len;
        side.done = whole || cut;
        let before = hello.clone();
        let complete = self::whole(&message);
        let mut session = Session::default();
        let _ = read(&message, hello, &mut session);
        match message.first() {
            Some(&CLIENT_HELLO) if complete => self.client = Some(session),
            Some(&SERVER_HELLO) if complete && !session.retry => self.server = Some(session),
            _ => {}
        }
        // What was told before stays: later packets say nothing of it.
        hello.resumed = hello.resumed.or_else(|| self.resumed(hello.version));
        *hello != before
    }

    fn resumed(&self, version: Option<TlsVersion>) -> Option<bool> {
        let server = self.server.as_ref()?;
        if version? == TlsVersion::Tls13 {
            return Some(server.key);
        }
        let client = self.client.as_ref()?;
        // Of a ticket without an id only what follows would tell whether it was taken.
        (!client.id.is_empty() || !client.ticket)
            .then(|| !client.id.is_empty() && client.id == server.id)
    }

    /// Nothing more is to be learnt.
    pub(super) fn done(&self) -> bool {
        self.sides.iter().all(|side| side.done)
    }
}

/// The first handshake message, without record headers, and whether it is there as a whole (or
/// never will be).
fn message(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut message = Vec::new();
    let mut rest = Reader(bytes);
    loop {
        let Some(kind) = rest.u8() else {
            return (message, false);
        };
        if kind != RECORD_HANDSHAKE {
            return (message, true);
        }
        let length = rest.u16().and_then(|_version| rest.u16());
        let Some(length) = length.map(usize::from) else {
            return (message, false);
        };
        let fragment = rest.up_to(length);
        message.extend_from_slice(fragment);
        if whole(&message) {
            return (message, true);
        }
        if fragment.len() < length {
            return (message, false);
        }
    }
}

fn whole(message: &[u8]) -> bool {
    let mut reader = Reader(message);
    let length = reader.u8().and_then(|_kind| reader.u24());
    length.is_some_and(|length| reader.0.len() >= length)
}

/// Reads as far as it goes: `None` is the end of what is there.
fn read(message: &[u8], hello: &mut TlsHello, session: &mut Session) -> Option<()> {
    let mut reader = Reader(message);
    let kind = reader.u8()?;
    let length = reader.u24()?;
    let mut body = Reader(reader.up_to(length));
    let legacy = TlsVersion::of(body.u16()?);
    session.retry = body.take(32)? == RETRY;
    let length = usize::from(body.u8()?);
    let id = body.take(length)?;
    session.id = id.get(..MOST_SESSION).unwrap_or(id).to_vec();
    match kind {
        CLIENT_HELLO => {
            hello.version_offered = legacy;
            let suites = usize::from(body.u16()?);
            body.take(suites)?;
            let methods = usize::from(body.u8()?);
            body.take(methods)?;
        }
        SERVER_HELLO => {
            hello.version = legacy;
            hello.cipher = Some(body.u16()?);
            body.u8()?;
        }
        _ => return None,
    }
    let length = usize::from(body.u16()?);
    let mut extensions = Reader(body.up_to(length));
    loop {
        let kind_of = extensions.u16()?;
        let length = usize::from(extensions.u16()?);
        let content = Reader(extensions.up_to(length));
        let whole = content.0.len() == length;
        let _ = match (kind, kind_of) {
            (CLIENT_HELLO, EXTENSION_SERVER_NAME) if whole => server_name(content, hello),
            (CLIENT_HELLO, EXTENSION_ALPN) if whole => {
                hello.alpn_offered = protocols(content);
                Some(())
            }
            (CLIENT_HELLO, EXTENSION_SUPPORTED_VERSIONS) => versions(content, hello),
            (SERVER_HELLO, EXTENSION_SUPPORTED_VERSIONS) => chosen(content, hello),
            (CLIENT_HELLO, EXTENSION_SESSION_TICKET) => {
                session.ticket = length > 0;
                Some(())
            }
            (SERVER_HELLO, EXTENSION_PRE_SHARED_KEY) => {
                session.key = true;
                Some(())
            }
            (SERVER_HELLO, EXTENSION_ALPN) if whole => {
                hello.alpn = protocols(content).into_iter().next();
                Some(())
            }
            _ => None,
        };
    }
}

fn server_name(mut content: Reader<'_>, hello: &mut TlsHello) -> Option<()> {
    content.u16()?;
    let kind = content.u8()?;
    let length = usize::from(content.u16()?);
    let name = content.take(length)?;
    // A host name in ASCII (RFC 6066 3); anything else is no name.
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    if kind == 0 && !name.is_empty() && length <= MOST_HOST_NAME && name.iter().all(plain) {
        let name = std::str::from_utf8(name).ok()?;
        hello.server_name = Some(name.to_ascii_lowercase().into_boxed_str());
    }
    Some(())
}

fn protocols(mut content: Reader<'_>) -> Vec<Box<str>> {
    let mut found = Vec::new();
    content.u16();
    while let Some(length) = content.u8()
        && let Some(name) = content.take(usize::from(length))
        && found.len() < MOST_PROTOCOLS
    {
        let plain = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
        if plain
            && name.len() <= MOST_PROTOCOL_NAME
            && let Ok(name) = std::str::from_utf8(name)
        {
            found.push(Box::from(name));
        }
    }
    found
}

fn versions(mut content: Reader<'_>, hello: &mut TlsHello) -> Option<()> {
    content.u8()?;
    loop {
        let version = TlsVersion::of(content.u16()?);
        hello.version_offered = hello.version_offered.max(version);
    }
}

fn chosen(mut content: Reader<'_>, hello: &mut TlsHello) -> Option<()> {
    hello.version = TlsVersion::of(content.u16()?);
    Some(())
}

/// Bytes that are read from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn up_to(&mut self, n: usize) -> &'a [u8] {
        self.take(n.min(self.0.len())).unwrap_or_default()
    }

    fn number(&mut self, n: usize) -> Option<u32> {
        let bytes = self.take(n)?;
        Some(
            bytes
                .iter()
                .fold(0, |sum, &byte| (sum << 8) | u32::from(byte)),
        )
    }

    fn u8(&mut self) -> Option<u8> {
        u8::try_from(self.number(1)?).ok()
    }

    fn u16(&mut self) -> Option<u16> {
        u16::try_from(self.number(2)?).ok()
    }

    fn u24(&mut self) -> Option<usize> {
        usize::try_from(self.number(3)?).ok()
    }
}

#[cfg(test)]
mod tests;
