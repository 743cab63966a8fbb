//! The canonical form of a path (RFC 3986 §6.2.2).
//!
//! Paths that a server may not tell apart become one: percent-encoded unreserved characters are
//! decoded, dot segments, repeated slashes and the last slash removed, path parameters
//! (`;jsessionid=…`, RFC 3986 §3.3) cut. Everything outside the characters a path may hold is
//! percent-encoded, so a segment is printable ASCII without braces: those are the templates' own.

use super::routes::REST;

/// Longer paths are cut here: no endpoint is told apart by what follows.
const MAX_PATH: usize = 4096;
/// Segments that are told apart; deeper paths end in `{rest}`.
const MAX_SEGMENTS: usize = 16;

/// The name of a request target that is no path.
pub(super) fn other_form(method: &str, path: &str) -> Option<&'static str> {
    if path == "*" {
        return Some("*");
    }
    // The authority of CONNECT names a host, not an endpoint.
    (method == "CONNECT" && !path.starts_with('/')).then_some("{authority}")
}

/// Writes the canonical segments of a path without query into `out`.
pub(super) fn segments(path: &str, out: &mut Vec<String>) {
    out.clear();
    let mut cut = path.len() > MAX_PATH;
    let path = path
        .get(..path.floor_char_boundary(MAX_PATH))
        .unwrap_or(path);
    for raw in path.split('/') {
        let raw = raw.split(';').next().unwrap_or(raw);
        let canonical = segment(raw);
        match canonical.as_str() {
            "" | "." => {}
            ".." => {
                out.pop();
            }
            _ => out.push(canonical),
        }
    }
    cut |= out.len() > MAX_SEGMENTS;
    if cut {
        out.truncate(MAX_SEGMENTS);
        out.push(REST.to_owned());
    }
}

/// The canonical form of one segment.
pub(super) fn segment(raw: &str) -> String {
    let bytes = raw.as_bytes();
    let mut out = String::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte != b'%' {
            push(&mut out, byte, is_path_char(byte));
            continue;
        }
        let digit = |at: usize| bytes.get(at).and_then(|&b| char::from(b).to_digit(16));
        match (digit(at), digit(at + 1)) {
            (Some(high), Some(low)) => {
                at += 2;
                let decoded = u8::try_from(high * 16 + low).unwrap_or(b'%');
                push(&mut out, decoded, is_unreserved(decoded));
            }
            _ => push(&mut out, b'%', false),
        }
    }
    out
}

fn push(out: &mut String, byte: u8, plain: bool) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    if plain {
        out.push(char::from(byte));
    } else {
        out.push('%');
        for nibble in [byte >> 4, byte & 15] {
            out.push(HEX.get(usize::from(nibble)).copied().unwrap_or('0'));
        }
    }
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `pchar` of RFC 3986 §3.3 without the percent sign.
fn is_path_char(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
        )
}

#[cfg(test)]
mod tests {
    use super::{MAX_SEGMENTS, other_form, segments};
    use proptest::prelude::*;

    fn canonical(path: &str) -> String {
        let mut out = Vec::new();
        segments(path, &mut out);
        out.iter().map(|segment| format!("/{segment}")).collect()
    }

    #[test]
    fn equivalent_paths_are_one() {
        for path in [
            "/a/b",
            "/a/b/",
            "/a//b",
            "/a/./b",
            "/x/../a/b",
            "//a/b",
            "/%61/%62",
            "/a;v=1/b",
            "/../a/b",
        ] {
            assert_eq!(canonical(path), "/a/b", "{path}");
        }
        assert_eq!(canonical("/a/%2e%2E/b"), "/b");
        assert_eq!(canonical(""), "");
        assert_eq!(canonical("/"), "");
    }

    #[test]
    fn reserved_and_foreign_bytes_stay_encoded() {
        assert_eq!(canonical("/a%2fb"), "/a%2Fb");
        assert_eq!(canonical("/caf\u{e9} {id}"), "/caf%C3%A9%20%7Bid%7D");
        assert_eq!(canonical("/100%"), "/100%25");
        assert_eq!(canonical("/\u{1b}[31m"), "/%1B%5B31m");
    }

    #[test]
    fn targets_that_are_not_paths_have_their_own_names() {
        assert_eq!(other_form("OPTIONS", "*"), Some("*"));
        assert_eq!(
            other_form("CONNECT", "example.org:443"),
            Some("{authority}")
        );
        assert_eq!(other_form("GET", "/a"), None);
    }

    #[test]
    fn deep_and_long_paths_are_cut_at_a_segment() {
        let deep = "/a".repeat(40);
        assert_eq!(canonical(&deep), format!("{}/{{rest}}", "/a".repeat(16)));
        let long = format!("/{}", "abc/".repeat(3000));
        assert!(canonical(&long).ends_with("/{rest}"));
    }

    proptest! {
        #[test]
        fn any_path_gives_few_printable_segments(path in ".{0,600}") {
            let mut out = Vec::new();
            segments(&path, &mut out);
            prop_assert!(out.len() <= MAX_SEGMENTS + 1);
            let printable = |segment: &String| segment.bytes().all(|b| b.is_ascii_graphic());
            prop_assert!(out.iter().all(printable));
        }

        #[test]
        fn a_canonical_path_is_its_own(path in "(/[a-z%~.]{0,6}){0,6}") {
            let once = canonical(&path);
            prop_assert_eq!(canonical(&once), once);
        }
    }
}
