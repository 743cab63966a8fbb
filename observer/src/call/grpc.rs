//! What gRPC says in paths and trailers (gRPC over HTTP/2).

use httparse::Header;

use super::{ApiCall, OperationKind, Protocol};
use crate::protocol::CONNECT_END;

/// The operation of a path `/package.Service/Method`.
pub(super) fn operation(path: &str) -> Option<String> {
    let operation = path.strip_prefix('/')?;
    let (service, method) = operation.split_once('/')?;
    let whole = !service.is_empty() && !method.is_empty() && !method.contains('/');
    whole.then(|| operation.to_owned())
}

/// Codes of Connect in the order of the numbers that gRPC has for them, from 1.
const CODES: [&[u8]; 16] = [
    b"canceled",
    b"unknown",
    b"invalid_argument",
    b"deadline_exceeded",
    b"not_found",
    b"already_exists",
    b"permission_denied",
    b"resource_exhausted",
    b"failed_precondition",
    b"aborted",
    b"out_of_range",
    b"unimplemented",
    b"internal",
    b"unavailable",
    b"data_loss",
    b"unauthenticated",
];

/// Longest message that is kept, characters.
const MAX_MESSAGE: usize = 128;

/// Longest word of a message that is kept: longer ones are mostly names, paths or keys.
const MAX_WORD: usize = 15;

/// The number of a code of Connect.
pub(super) fn connect_status(code: &[u8]) -> Option<u32> {
    let at = CODES.iter().position(|own| *own == code)?;
    u32::try_from(at + 1).ok()
}

/// Fields of a response, or after it.
pub(super) fn answered(call: &mut ApiCall, fields: &[Header<'_>]) {
    if call.protocol == Protocol::Connect {
        if let Some(end) = fields.iter().find(|field| field.name == CONNECT_END) {
            call.grpc_status = Some(connect_end(end.value));
        }
        return;
    }
    let speaks = matches!(
        call.protocol,
        Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb
    );
    let find = |name: &str| {
        let mut named = fields.iter();
        named.find(|field| field.name.eq_ignore_ascii_case(name))
    };
    let status = find("grpc-status").filter(|_| speaks);
    let status =
        status.and_then(|field| std::str::from_utf8(field.value).ok()?.trim().parse().ok());
    let Some(status) = status else { return };
    call.grpc_status = Some(status);
    call.grpc_message = find("grpc-message").and_then(|field| plain(field.value));
    if call.protocol == Protocol::Http2 && call.request_messages.is_none() {
        // Only a gRPC server says so: the content type of the request was not seen.
        call.protocol = Protocol::Grpc;
        call.operation = operation(&call.path);
        call.operation_kind = call.operation.is_some().then_some(OperationKind::Grpc);
    }
}

/// The status at the end of a Connect stream: that of its error, or 0.
fn connect_end(text: &[u8]) -> u32 {
    let mut status = None;
    super::body::code_at(text, &["error", "code"], &mut |code| {
        // What is no code is unknown.
        status = Some(connect_status(code).unwrap_or(2));
    });
    status.unwrap_or(0)
}

/// A message without its escapes (gRPC over HTTP/2, "Percent-Encoded"), and without words that
/// may be names or secrets: what is long, or has more than letters.
pub(super) fn plain(value: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(value).ok()?;
    let mut out = String::new();
    let words = text.split(' ').flat_map(|word| word.split("%20"));
    for word in words.take(MAX_MESSAGE) {
        let end = word.trim_end_matches(['.', ',', ':', ';', '!', '?']);
        let known = end.len() <= MAX_WORD
            && end
                .bytes()
                .all(|byte| byte.is_ascii_alphabetic() || byte == b'-' || byte == b'_');
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(if known { word } else { "*" });
        if out.len() > MAX_MESSAGE {
            break;
        }
    }
    out.truncate(MAX_MESSAGE);
    (!out.is_empty()).then(|| out.into())
}

#[cfg(test)]
mod tests {
    use super::{connect_end, operation, plain};

    #[test]
    fn an_operation_is_service_and_method() {
        assert_eq!(operation("/a.v1.B/C").as_deref(), Some("a.v1.B/C"));
        for path in ["", "/", "/a", "/a/", "//b", "/a/b/c", "a/b"] {
            assert_eq!(operation(path), None, "{path}");
        }
    }

    #[test]
    fn a_message_keeps_its_plain_words_alone() {
        for (text, expected) in [
            ("permission denied", "permission denied"),
            ("user%20ann@x.example not found.", "user * not found."),
            ("bad token: eyJhbGciOiJIUzI1NiJ9.e30.x", "bad token: *"),
        ] {
            assert_eq!(plain(text.as_bytes()).as_deref(), Some(expected));
        }
    }

    #[test]
    fn the_end_of_a_connect_stream_has_a_status() {
        for (text, expected) in [
            ("{}", 0),
            (r#"{"error":{"code":"permission_denied","message":"m"}}"#, 7),
            (r#"{"error":{"code":"else"}}"#, 2),
        ] {
            assert_eq!(connect_end(text.as_bytes()), expected, "{text}");
        }
    }
}
