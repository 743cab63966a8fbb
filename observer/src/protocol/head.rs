//! The text of a head: where it ends, and what of its syntax only some take.

use httparse::ParserConfig;
use memchr::memchr_iter;

/// Longest head taken, bytes. Most servers stop at 8 KiB to 64 KiB, gateways grant up to 256 KiB;
/// the most that a common server takes unless told otherwise are 1 MiB and 4 KiB (Go's `net/http`,
/// `DefaultMaxHeaderBytes` and what it reads beyond).
pub const MAX_HEAD: usize = (1 << 20) + 4096;

/// Most fields of a head. Servers stop at 100 (Apache httpd, nghttp2) to 200.
pub const MAX_HEADERS: usize = 256;

/// What some servers and clients take besides the grammar of RFC 9112.
pub(super) fn lax_grammar() -> ParserConfig {
    let mut config = ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_multiple_spaces_in_request_line_delimiters(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .allow_space_before_first_header_name(true)
        .ignore_invalid_headers_in_requests(true)
        .ignore_invalid_headers_in_responses(true);
    config
}

/// Where the head ends, if it does; nothing before `from` has to be looked at again but the
/// last line end.
pub(super) fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let from = from.saturating_sub(2);
    for line_end in memchr_iter(b'\n', bytes.get(from..)?) {
        let after = from + line_end + 1;
        match bytes.get(after..)? {
            [b'\n', ..] => return Some(after + 1),
            [b'\r', b'\n', ..] => return Some(after + 2),
            _ => {}
        }
    }
    None
}

/// A line ends with LF alone.
pub(super) fn has_bare_lf(head: &[u8]) -> bool {
    memchr_iter(b'\n', head).any(|at| at.checked_sub(1).and_then(|cr| head.get(cr)) != Some(&b'\r'))
}

/// Adds the minor version that a request line lacks, as servers do that look at the major one
/// alone.
pub(super) fn complete_version(text: &mut Vec<u8>) {
    let line = memchr_iter(b'\n', text).next();
    let Some(line) = line.and_then(|end| text.get(..end)) else {
        return;
    };
    let line = line.trim_ascii_end();
    let end = line.len();
    let minor: &[u8] = if line.ends_with(b" HTTP/1.") {
        b"1"
    } else if line.ends_with(b" HTTP/1") {
        b".1"
    } else {
        return;
    };
    text.splice(end..end, minor.iter().copied());
}

/// Replaces the line ends of folded lines, and each CR that ends no line, by blanks (RFC 9112
/// §5.2, §2.2); the length stays.
pub(super) fn unfold(head: &[u8]) -> Vec<u8> {
    let mut text = head.to_vec();
    for at in memchr_iter(b'\r', head) {
        if head.get(at + 1) != Some(&b'\n')
            && let Some(byte) = text.get_mut(at)
        {
            *byte = b' ';
        }
    }
    // A line cannot continue the start line: that one stays as it is.
    let ends: Vec<usize> = memchr_iter(b'\n', head).skip(1).collect();
    for at in ends {
        if matches!(head.get(at + 1), Some(b' ' | b'\t')) {
            if let Some(byte) = text.get_mut(at) {
                *byte = b' ';
            }
            if let Some(byte) = at.checked_sub(1).and_then(|cr| text.get_mut(cr))
                && *byte == b'\r'
            {
                *byte = b' ';
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head_is_found_from_any_point_reached_before() {
        for head in [
            &b"GET / HTTP/1.1\r\nA: b\r\n\r\n"[..],
            b"GET / HTTP/1.1\nA: b\n\n",
        ] {
            let whole = [head, b"body\n\n"].concat();
            for seen in 0..head.len() {
                assert_eq!(head_end(&whole[..seen], 0), None, "{seen}");
                assert_eq!(head_end(&whole, seen), Some(head.len()), "{seen}");
            }
        }
    }

    #[test]
    fn folded_lines_become_one() {
        let head = b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\td\r\nE: f\r\n\r\n";
        let text = unfold(head);
        assert_eq!(text, b"GET / HTTP/1.1\r\nA: b   c  \td\r\nE: f\r\n\r\n");
        assert_eq!(text.len(), head.len());
        assert_eq!(
            unfold(b"G / H\r\na:\rb\r\r\n\r\n"),
            b"G / H\r\na: b \r\n\r\n"
        );
    }
}
