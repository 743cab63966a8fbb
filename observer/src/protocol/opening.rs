//! Tells by its first bytes what a stream speaks.

use memchr::memchr;

use super::h2::server_settings;

/// Longest method taken. IANA's longest is 17 bytes (`UPDATEREDIRECTREF`).
pub(super) const MAX_METHOD: usize = 32;

/// Connection preface of HTTP/2 up to its first line end (RFC 9113 §3.4).
const HTTP2: &[u8] = b"PRI * HTTP/2.0";

/// What the first bytes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Too few bytes to tell.
    Incomplete,
    /// A request line.
    Request,
    /// A status line.
    Response,
    /// The preface of HTTP/2.
    Http2,
    /// What a server of HTTP/2 sends first.
    Http2Server,
    /// A TLS record.
    Tls,
    /// None of these.
    Other,
}

/// Looks at the start of a stream, or of what may be a message.
///
/// Needs at most a few dozen bytes to answer. `certain` asks for more than a likeness: bytes in
/// the middle of a body are not to be taken for a request.
pub(super) fn opening(bytes: &[u8], certain: bool) -> Opening {
    let bytes = skip_empty_lines(bytes);
    let Some(&first) = bytes.first() else {
        return Opening::Incomplete;
    };
    if (0x14..=0x18).contains(&first) {
        return tls(bytes);
    }
    if agrees(bytes, HTTP2) {
        return if bytes.len() >= HTTP2.len() {
            Opening::Http2
        } else {
            Opening::Incomplete
        };
    }
    if agrees(bytes, b"HTTP/1.") {
        return status_line(bytes);
    }
    request_line(bytes, certain)
}

/// The same for the start of a connection, where a server of HTTP/2 may be the first to speak.
pub(super) fn first_bytes(bytes: &[u8], midway: bool) -> Opening {
    if midway || bytes.first() != Some(&0) {
        return opening(bytes, midway);
    }
    match server_settings(bytes) {
        Some(true) => Opening::Http2Server,
        Some(false) => Opening::Other,
        None => Opening::Incomplete,
    }
}

/// Empty lines before a message are passed over (RFC 9112 §2.2).
pub(super) fn skip_empty_lines(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
    start
        .and_then(|start| bytes.get(start..))
        .unwrap_or_default()
}

/// One is the beginning of the other.
fn agrees(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes
        .iter()
        .zip(pattern)
        .all(|(byte, expected)| byte == expected)
}

/// A record header (RFC 8446 §5.1): type, version 3.0 to 3.4, length.
fn tls(bytes: &[u8]) -> Opening {
    let version = bytes.get(1).is_none_or(|&major| major == 3)
        && bytes.get(2).is_none_or(|&minor| minor <= 4);
    let length = bytes.get(3).is_none_or(|&high| high <= 0x48);
    match (version && length, bytes.len()) {
        (false, _) => Opening::Other,
        (true, ..4) => Opening::Incomplete,
        (true, _) => Opening::Tls,
    }
}

fn status_line(bytes: &[u8]) -> Opening {
    // "HTTP/1.1 200": digit, space, three digits.
    let fits = |at: usize, allowed: fn(&u8) -> bool| bytes.get(at).is_none_or(allowed);
    let plausible = fits(7, |byte| matches!(byte, b'0' | b'1'))
        && fits(8, |byte| *byte == b' ')
        && fits(9, |byte| byte.is_ascii_digit() || *byte == b' ');
    match (plausible, bytes.len()) {
        (false, _) => Opening::Other,
        (true, ..10) => Opening::Incomplete,
        (true, _) => Opening::Response,
    }
}

fn request_line(bytes: &[u8], certain: bool) -> Opening {
    let start = bytes.get(..=MAX_METHOD).unwrap_or(bytes);
    let Some(space) = start.iter().position(|byte| !is_token(*byte)) else {
        return if bytes.len() > MAX_METHOD {
            Opening::Other
        } else {
            Opening::Incomplete
        };
    };
    if space == 0 || bytes.get(space) != Some(&b' ') {
        return Opening::Other;
    }
    let Some(&target) = bytes.get(space + 1) else {
        return Opening::Incomplete;
    };
    if target < b' ' || target == 0x7f {
        return Opening::Other;
    }
    match memchr(b'\n', bytes).and_then(|end| bytes.get(..end)) {
        Some(line) if ends_with_version(line) => Opening::Request,
        Some(line) if !certain && is_simple(line) => Opening::Request,
        Some(_) => Opening::Other,
        None if !certain => Opening::Request,
        None => {
            let method = bytes.get(..space).unwrap_or_default();
            let usual = method
                .iter()
                .all(|byte| byte.is_ascii_uppercase() || *byte == b'-');
            if usual && matches!(target, b'/' | b'*' | b'h') {
                Opening::Request
            } else {
                Opening::Other
            }
        }
    }
}

/// A request without a version: HTTP/0.9 (RFC 1945 §5). It had one method; some say others.
pub(super) fn is_simple(line: &[u8]) -> bool {
    const METHODS: [&[u8]; 8] = [
        b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT",
    ];
    let line = line.trim_ascii_end();
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    // With no blank before the version, all of it is the target.
    let versioned = target
        .strip_suffix(b"HTTP/1.0")
        .or_else(|| target.strip_suffix(b"HTTP/1.1"))
        .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'));
    let plain = METHODS.contains(&method) && target.first() == Some(&b'/');
    let upper = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
    let named = versioned && !method.is_empty() && method.iter().all(upper);
    words.next().is_none()
        && (plain || named)
        && target
            .iter()
            .all(|byte| byte.is_ascii_graphic() || *byte >= 0x80)
}

fn ends_with_version(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    if line.ends_with(b" HTTP/1.") || line.ends_with(b" HTTP/1") {
        return true;
    }
    let version = line
        .len()
        .checked_sub(9)
        .and_then(|at| line.get(at..))
        .unwrap_or_default();
    version.starts_with(b" HTTP/1.") && version.last().is_some_and(u8::is_ascii_digit)
}

/// A token character (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_told_by_their_first_bytes() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\n"[..], Opening::Request),
            (b"\r\n\r\nGET / HTTP/1.0\r\n", Opening::Request),
            (b"m-search * HTTP/1.1\r\n", Opening::Request),
            (b"CONNECT host:443 HTTP/1.1\r\n", Opening::Request),
            (b"GET /still-on-its-way", Opening::Request),
            (b"HTTP/1.1 200 OK\r\n", Opening::Response),
            (b"HTTP/1.0 404\r\n", Opening::Response),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Opening::Http2),
            (b"\x16\x03\x01\x02\x00\x01", Opening::Tls),
            (b"\x17\x03\x03\x40\x11", Opening::Tls),
            (b"\x17\x03\x03\xff\x11", Opening::Other),
            (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", Opening::Other),
            (b"220 mail.example ESMTP\r\n", Opening::Other),
            (b"*1\r\n$4\r\nPING\r\n", Opening::Other),
            (b"PING\r\n", Opening::Other),
            (b"GET /\r\n", Opening::Request),
            (b"GET key\r\n", Opening::Other),
            (b"SEARCH_X /HTTP/1.1\r\n", Opening::Request),
            (b"OPTIONS HTTP/1.1\r\n", Opening::Request),
            (b"PRIVMSG /a\r\n", Opening::Other),
            (b"HTTP/2 200\r\n", Opening::Other),
            (b"\0\0\0\0", Opening::Other),
            (b"\r\n", Opening::Incomplete),
            (b"GET", Opening::Incomplete),
            (b"PRI * HTT", Opening::Incomplete),
            (b"HTTP/1.1 ", Opening::Incomplete),
            (b"\x16\x03", Opening::Incomplete),
            (&[b'A'; 40], Opening::Other),
        ] {
            assert_eq!(opening(bytes, false), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_prefix_never_contradicts_the_whole() {
        for whole in [
            &b"OPTIONS * HTTP/1.1\r\n"[..],
            b"HTTP/1.1 204 No Content\r\n",
            b"PRI * HTTP/2.0\r\n",
            b"\x16\x03\x01\x02\x00\x01",
        ] {
            let answer = opening(whole, false);
            for end in 0..whole.len() {
                let early = opening(&whole[..end], false);
                assert!(early == Opening::Incomplete || early == answer, "{end}");
            }
        }
    }

    #[test]
    fn text_in_a_body_is_not_taken_for_a_request_when_it_must_be_certain() {
        assert_eq!(opening(b"lorem ipsum dolor", true), Opening::Other);
        assert_eq!(opening(b"GET /path", true), Opening::Request);
    }
}
