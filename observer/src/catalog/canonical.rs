//! The canonical form of a path (RFC 3986 §6.2.2) and its template.
//!
//! Paths that a server may not tell apart become one: percent-encoded unreserved characters are
//! decoded, dot segments and repeated slashes removed, path parameters (`;jsessionid=…`, RFC 3986
//! §3.3) cut. Everything outside the characters a path may hold is percent-encoded, so a template
//! is printable ASCII and its braces are always our own.

use super::segment;

/// Longer paths are cut here: no endpoint is told apart by what follows.
const MAX_PATH: usize = 4096;
/// Segments a template keeps; deeper paths end in `{rest}`.
const MAX_SEGMENTS: usize = 16;
/// Bytes of a template; longer ones end in `{rest}`.
pub(super) const MAX_TEMPLATE: usize = 256;
const REST: &str = "/{rest}";

/// The template of a request target without query.
pub(super) fn template(method: &str, path: &str) -> String {
    if path == "*" {
        return path.to_owned();
    }
    // The authority of CONNECT names a host, not an endpoint.
    if method == "CONNECT" && !path.starts_with('/') {
        return "{authority}".to_owned();
    }
    let mut cut = path.len() > MAX_PATH;
    let path = path
        .get(..path.floor_char_boundary(MAX_PATH))
        .unwrap_or(path);

    let mut segments: Vec<String> = Vec::with_capacity(8);
    let mut directory = true;
    for raw in path.split('/') {
        let raw = raw.split(';').next().unwrap_or(raw);
        let canonical = canonical_segment(raw);
        directory = matches!(canonical.as_str(), "" | "." | "..");
        match canonical.as_str() {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(canonical),
        }
    }

    let mut out = String::with_capacity(64);
    for (at, segment) in segments.iter().enumerate() {
        let placeholder = segment::placeholder(segment);
        let text = placeholder.as_deref().unwrap_or(segment);
        if at >= MAX_SEGMENTS || out.len() + 1 + text.len() + REST.len() > MAX_TEMPLATE {
            cut = true;
            break;
        }
        out.push('/');
        out.push_str(text);
    }
    if cut {
        out.push_str(REST);
    } else if directory {
        out.push('/');
    }
    out
}

fn canonical_segment(raw: &str) -> String {
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
    use super::{MAX_TEMPLATE, template};
    use proptest::prelude::*;

    fn get(path: &str) -> String {
        template("GET", path)
    }

    #[test]
    fn equivalent_paths_get_one_template() {
        for path in [
            "/a/b",
            "/a//b",
            "/a/./b",
            "/x/../a/b",
            "//a/b",
            "/%61/%62",
            "/a;v=1/b",
            "/../a/b",
        ] {
            assert_eq!(get(path), "/a/b", "{path}");
        }
        assert_eq!(get("/a/%2e%2E/b"), "/b");
        assert_eq!(get("/a/b/"), "/a/b/");
        assert_eq!(get("/a/."), "/a/");
        assert_eq!(get(""), "/");
        assert_eq!(get("/"), "/");
    }

    #[test]
    fn reserved_and_foreign_bytes_stay_encoded() {
        assert_eq!(get("/a%2fb"), "/a%2Fb");
        assert_eq!(get("/caf\u{e9} {id}"), "/caf%C3%A9%20%7Bid%7D");
        assert_eq!(get("/100%"), "/100%25");
        assert_eq!(get("/\u{1b}[31m"), "/%1B%5B31m");
    }

    #[test]
    fn targets_that_are_not_paths_have_their_own_names() {
        assert_eq!(template("OPTIONS", "*"), "*");
        assert_eq!(template("CONNECT", "example.org:443"), "{authority}");
    }

    #[test]
    fn deep_and_long_paths_are_cut_at_a_segment() {
        let deep = "/a".repeat(40);
        assert_eq!(get(&deep), format!("{}/{{rest}}", "/a".repeat(16)));
        let long = format!("/{}", "abc/".repeat(3000));
        assert!(get(&long).ends_with("/{rest}"));
        let wide = format!("/{}", "w".repeat(60)).repeat(9);
        assert!(get(&wide).len() <= MAX_TEMPLATE);
    }

    proptest! {
        #[test]
        fn any_path_gives_short_printable_ascii(method in "[A-Z]{1,8}", path in ".{0,600}") {
            let out = template(&method, &path);
            prop_assert!(out.len() <= MAX_TEMPLATE + 8);
            prop_assert!(out.bytes().all(|b| b.is_ascii_graphic()));
        }

        #[test]
        fn a_template_without_placeholders_is_its_own_template(path in "(/[a-z%~.]{0,6}){0,6}") {
            let once = get(&path);
            prop_assert_eq!(get(&once), once);
        }
    }
}
