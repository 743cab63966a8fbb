//! What the first messages of a handshake say (RFC 8446 §4.1, RFC 5246 §7.4.1).

use super::key_log::Random;
use crate::stream::TlsVersion;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

/// The extension in which TLS 1.3 is chosen.
const SUPPORTED_VERSIONS: u16 = 43;

/// The random of a server that wants another hello (RFC 8446 §4.1.3).
const RETRY: Random = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    /// It is not whole yet.
    Incomplete,
    /// The client's hello.
    Client(Random),
    /// The server's, with what it chose.
    Server {
        random: Random,
        version: Option<TlsVersion>,
        suite: u16,
    },
    /// Another one, or a hello that cannot be read.
    Other,
}

/// Takes the first message off `bytes`.
pub(super) fn first(bytes: &mut Vec<u8>) -> Handshake {
    let Some(&[kind, a, b, c]) = bytes.first_chunk() else {
        return Handshake::Incomplete;
    };
    let end = 4 + u32::from_be_bytes([0, a, b, c]) as usize;
    let Some(body) = bytes.get(4..end) else {
        return Handshake::Incomplete;
    };
    let message = match kind {
        CLIENT_HELLO => random(body).map(Handshake::Client),
        SERVER_HELLO => server(body),
        _ => None,
    };
    bytes.drain(..end);
    message.unwrap_or(Handshake::Other)
}

/// Messages end with one that says that the next record has another key (RFC 8446 §4.6.3).
pub(super) fn updates_key(messages: &[u8]) -> bool {
    const UPDATES: [[u8; 5]; 2] = [[24, 0, 0, 1, 0], [24, 0, 0, 1, 1]];
    UPDATES.iter().any(|update| messages.ends_with(update))
}

fn random(body: &[u8]) -> Option<Random> {
    body.get(2..)?.first_chunk().copied()
}

fn server(body: &[u8]) -> Option<Handshake> {
    let random = random(body)?;
    if random == RETRY {
        return Some(Handshake::Other);
    }
    let number = |bytes: &[u8]| bytes.first_chunk().copied().map(u16::from_be_bytes);
    let session = usize::from(*body.get(34)?);
    let after = body.get(35 + session..)?;
    let suite = number(after)?;
    let mut version = TlsVersion::of(number(body)?);
    let mut extensions = after.get(5..).unwrap_or_default();
    while let Some((&[k0, k1, l0, l1], rest)) = extensions.split_first_chunk::<4>() {
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let Some((content, rest)) = rest.split_at_checked(len) else {
            break;
        };
        if u16::from_be_bytes([k0, k1]) == SUPPORTED_VERSIONS {
            version = number(content).and_then(TlsVersion::of);
        }
        extensions = rest;
    }
    Some(Handshake::Server {
        random,
        version,
        suite,
    })
}
