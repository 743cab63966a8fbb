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
mod tests {
    use super::*;

    fn vector(size: usize, content: &[u8]) -> Vec<u8> {
        let length = content.len().to_be_bytes();
        [&length[length.len() - size..], content].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vector(2, content)].concat()
    }

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        let message = [&[kind][..], &vector(3, body)].concat();
        [&[22, 3, 1][..], &vector(2, &message)].concat()
    }

    fn client_hello(name: &[u8]) -> Vec<u8> {
        let name = [&[0][..], &vector(2, name)].concat();
        let alpn = [vector(1, b"h2"), vector(1, b"http/1.1")].concat();
        let extensions = [
            extension(0x1a1a, b""),
            extension(EXTENSION_SERVER_NAME, &vector(2, &name)),
            extension(EXTENSION_ALPN, &vector(2, &alpn)),
            extension(
                EXTENSION_SUPPORTED_VERSIONS,
                &vector(1, &[0x7a, 0x7a, 3, 4, 3, 3]),
            ),
        ]
        .concat();
        let body = [
            &[3, 3][..],
            &[7; 32],
            &vector(1, &[9; 32]),
            &vector(2, &[0x13, 1, 0x13, 2]),
            &vector(1, &[0]),
            &vector(2, &extensions),
        ]
        .concat();
        record(CLIENT_HELLO, &body)
    }

    fn server_hello(extensions: &[u8]) -> Vec<u8> {
        server_hello_of(&[7; 32], &[], extensions)
    }

    fn server_hello_of(random: &[u8; 32], session: &[u8], extensions: &[u8]) -> Vec<u8> {
        let body = [
            &[3, 3][..],
            random,
            &vector(1, session),
            &[0x13, 0x02, 0],
            &vector(2, extensions),
        ]
        .concat();
        record(SERVER_HELLO, &body)
    }

    fn len(bytes: &[u8]) -> u32 {
        u32::try_from(bytes.len()).unwrap()
    }

    #[test]
    fn both_hellos_tell_name_version_cipher_and_protocols() {
        let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
        let client = client_hello(b"API.Example.com");
        assert!(hellos.push(false, 1, len(&client), &client, &mut hello));
        assert!(!hellos.done());
        let server = server_hello(&extension(EXTENSION_SUPPORTED_VERSIONS, &[3, 4]));
        assert!(hellos.push(true, 1, len(&server), &server, &mut hello));
        assert!(hellos.done());
        assert_eq!(
            hello,
            TlsHello {
                server_name: Some("api.example.com".into()),
                version_offered: Some(TlsVersion::Tls13),
                alpn_offered: vec!["h2".into(), "http/1.1".into()],
                version: Some(TlsVersion::Tls13),
                cipher: Some(0x1302),
                alpn: None,
                resumed: Some(false),
            }
        );
    }

    #[test]
    fn up_to_tls_1_2_the_server_tells_its_choice_of_protocol() {
        let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
        let alpn = extension(EXTENSION_ALPN, &vector(2, &vector(1, b"h2")));
        let server = server_hello(&alpn);
        assert!(hellos.push(false, 1, len(&server), &server, &mut hello));
        assert_eq!(hello.version, Some(TlsVersion::Tls12));
        assert_eq!(hello.alpn.as_deref(), Some("h2"));
    }

    /// What is known after a client's hello that names session `[9; 32]`, and this of the server.
    fn resumed(server: &[u8]) -> Option<bool> {
        let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
        let client = client_hello(b"a.example");
        hellos.push(false, 1, len(&client), &client, &mut hello);
        assert_eq!(hello.resumed, None);
        hellos.push(true, 1, len(server), server, &mut hello);
        hello.resumed
    }

    #[test]
    fn a_connection_that_goes_on_from_an_earlier_one_is_known() {
        let tls13 = extension(EXTENSION_SUPPORTED_VERSIONS, &[3, 4]);
        let key = extension(EXTENSION_PRE_SHARED_KEY, &[0, 0]);
        let with_key = [&tls13[..], &key].concat();
        let (random, session) = ([7; 32], [9; 32]);
        // In TLS 1.3 the server always gives the session back, which says nothing.
        assert_eq!(
            resumed(&server_hello_of(&random, &session, &tls13)),
            Some(false)
        );
        assert_eq!(
            resumed(&server_hello_of(&random, &session, &with_key)),
            Some(true)
        );
        assert_eq!(
            resumed(&server_hello_of(&random, &session, b"")),
            Some(true)
        );
        for other in [&[][..], &[8; 32]] {
            assert_eq!(resumed(&server_hello_of(&random, other, b"")), Some(false));
        }
        // Another hello follows, which is not read.
        assert_eq!(resumed(&server_hello_of(&RETRY, &session, &tls13)), None);
        // What comes after the hellos does not take it back.
        let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
        let server = server_hello_of(&random, &session, &with_key);
        hellos.push(true, 1, len(&server), &server, &mut hello);
        Hellos::default().push(true, 500, 5, b"\x14\x03\x03\x00\x01", &mut hello);
        assert_eq!(hello.resumed, Some(true));
        // Cut short: the key may be behind the cut.
        let server = server_hello_of(&random, &session, &with_key);
        assert_eq!(resumed(&server[..server.len() - 1]), None);
    }

    #[test]
    fn a_client_that_names_no_session_goes_on_from_none_unless_it_has_a_ticket() {
        let client = |extensions: &[u8]| {
            let body = [
                &[3, 3][..],
                &[7; 32],
                &vector(1, &[]),
                &vector(2, &[0xc0, 0x2f]),
                &vector(1, &[0]),
                &vector(2, extensions),
            ]
            .concat();
            record(CLIENT_HELLO, &body)
        };
        let ticket = |content: &[u8]| client(&extension(EXTENSION_SESSION_TICKET, content));
        for (client, expected) in [
            (client(b""), Some(false)),
            (ticket(b""), Some(false)),
            (ticket(b"ticket"), None),
        ] {
            let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
            let server = server_hello_of(&[7; 32], &[], b"");
            hellos.push(false, 1, len(&client), &client, &mut hello);
            hellos.push(true, 1, len(&server), &server, &mut hello);
            assert_eq!(hello.resumed, expected);
        }
    }

    #[test]
    fn without_the_clients_hello_only_tls_1_3_tells() {
        let tls13 = extension(EXTENSION_SUPPORTED_VERSIONS, &[3, 4]);
        for (extensions, expected) in [(&tls13[..], Some(false)), (b"", None)] {
            let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
            let server = server_hello_of(&[7; 32], &[9; 32], extensions);
            hellos.push(true, 1, len(&server), &server, &mut hello);
            assert_eq!(hello.resumed, expected);
        }
    }

    #[test]
    fn a_hello_in_two_packets_or_two_records_is_read_whole() {
        let client = client_hello(b"a.example");
        for at in 1..client.len() {
            let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
            let (one, two) = client.split_at(at);
            hellos.push(true, u32::MAX, len(one), one, &mut hello);
            hellos.push(
                true,
                u32::MAX.wrapping_add(len(one)),
                len(two),
                two,
                &mut hello,
            );
            assert_eq!(hello.server_name.as_deref(), Some("a.example"), "{at}");
            assert_eq!(hello.version_offered, Some(TlsVersion::Tls13), "{at}");
        }
        let (first, second) = client[5..].split_at(60);
        let records = [
            &[22, 3, 1][..],
            &vector(2, first),
            &[22, 3, 1],
            &vector(2, second),
        ]
        .concat();
        let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
        hellos.push(true, 5, len(&records), &records, &mut hello);
        assert_eq!(hello.server_name.as_deref(), Some("a.example"));
    }

    #[test]
    fn a_hello_cut_short_tells_what_is_there_and_any_cut_is_safe() {
        let client = client_hello(b"a.example");
        for at in 0..client.len() {
            let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
            hellos.push(true, 5, len(&client), &client[..at], &mut hello);
            assert!(hellos.sides[1].done, "nothing follows a cut");
            let name = hello.server_name.as_deref();
            assert!(matches!(name, None | Some("a.example")), "{at}: {name:?}");
        }
    }

    #[test]
    fn names_that_are_no_host_names_are_not_taken() {
        for name in [&b""[..], b"a\nb", b"\xff\xfe", &[b'a'; 300], b"a b"] {
            let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
            let client = client_hello(name);
            hellos.push(true, 5, len(&client), &client, &mut hello);
            assert_eq!(hello.server_name, None, "{}", name.escape_ascii());
            assert_eq!(hello.alpn_offered.len(), 2);
        }
    }

    #[test]
    fn other_records_and_missing_packets_tell_nothing() {
        let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
        assert!(!hellos.push(true, 5, 4, b"\x17\x03\x03\x00", &mut hello));
        let client = client_hello(b"a.example");
        let (one, two) = client.split_at(50);
        let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
        hellos.push(true, 5, len(one), one, &mut hello);
        assert!(!hellos.push(true, 7, len(two), two, &mut hello));
        assert_eq!(hello.server_name, None);
    }
}
