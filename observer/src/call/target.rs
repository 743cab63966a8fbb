//! Splits a request target (RFC 9112 §3.2) and takes the secrets out of it.

/// Longest method kept, bytes. What the protocol stage takes for one is no longer.
pub(super) const MAX_METHOD: usize = 32;

/// Longest host kept, bytes: a domain name has at most 253 (RFC 1035 §2.3.4), a port 6.
pub(super) const MAX_HOST: usize = 260;

/// Longest path kept, bytes. Browsers and servers agree on about 2,000 for a whole URL.
pub(super) const MAX_PATH: usize = 4096;

/// Longest query kept, bytes, values already redacted.
pub(super) const MAX_QUERY: usize = 1024;

/// Longest key of a query; a longer one is more likely a secret or data than a name.
const MAX_QUERY_KEY: usize = 64;

/// Stands for a value that is not kept.
const REDACTED: char = '*';

/// Path parameter that carries a session (Jakarta Servlet §7.1.3).
const SESSION_PARAMETER: &str = ";jsessionid=";

/// A request target in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Host and port of an absolute-form or authority-form target, no user information.
    pub authority: Option<&'a str>,
    /// Path; `*` and authority-form as they are.
    pub path: &'a str,
    /// Query, secrets included.
    pub query: Option<&'a str>,
}

impl<'a> Target<'a> {
    pub(super) fn of(method: &str, target: &'a str) -> Self {
        // Extended CONNECT (RFC 8441 §4) has a path.
        if method == "CONNECT" && !target.starts_with('/') {
            let authority = without_user(target);
            return Self {
                authority: Some(authority),
                path: authority,
                query: None,
            };
        }
        let target = target.split_once('#').map_or(target, |(target, _)| target);
        if !target.starts_with('/')
            && let Some((scheme, rest)) = target.split_once("://")
            && is_scheme(scheme)
        {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
            let (path, query) = split_query(rest);
            let path = if path.is_empty() { "/" } else { path };
            return Self {
                authority: Some(without_user(authority)),
                path,
                query,
            };
        }
        let (path, query) = split_query(target);
        Self {
            authority: None,
            path,
            query,
        }
    }
}

fn split_query(target: &str) -> (&str, Option<&str>) {
    target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)))
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char))
}

fn without_user(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

/// The text, cut to so many bytes; and whether it was.
pub(super) fn bounded(text: &str, max: usize) -> (&str, bool) {
    if text.len() <= max {
        return (text, false);
    }
    (
        text.get(..text.floor_char_boundary(max))
            .unwrap_or_default(),
        true,
    )
}

/// The path to keep: as sent, but for the value of a session parameter.
pub(super) fn path(path: &str) -> (String, bool) {
    let session = path
        .bytes()
        .position(|byte| byte == b';')
        .and_then(|from| find_session(path, from));
    let Some((value, end)) = session else {
        let (path, cut) = bounded(path, MAX_PATH);
        return (path.to_owned(), cut);
    };
    let mut kept = String::with_capacity(path.len());
    kept.push_str(path.get(..value).unwrap_or_default());
    kept.push(REDACTED);
    kept.push_str(path.get(end..).unwrap_or_default());
    let (bounded, cut) = bounded(&kept, MAX_PATH);
    if cut {
        (bounded.to_owned(), true)
    } else {
        (kept, false)
    }
}

/// Where the value of the first session parameter starts and ends.
fn find_session(path: &str, from: usize) -> Option<(usize, usize)> {
    let bytes = path.as_bytes().get(from..)?;
    let name = SESSION_PARAMETER.as_bytes();
    let at = bytes
        .windows(name.len())
        .position(|window| window.eq_ignore_ascii_case(name))?;
    let value = from + at + name.len();
    let rest = path.get(value..)?;
    Some((value, value + rest.find([';', '/']).unwrap_or(rest.len())))
}

/// The query to keep: keys as sent, every value redacted.
pub(super) fn query(query: &str) -> (String, bool) {
    let mut kept = String::with_capacity(query.len().min(MAX_QUERY));
    for (index, part) in query.split('&').enumerate() {
        let separator = usize::from(index > 0);
        let (key, has_value) = part
            .split_once('=')
            .map_or((part, false), |(key, _)| (key, true));
        let key = if key.len() <= MAX_QUERY_KEY { key } else { "*" };
        if kept.len() + separator + key.len() + 2 * usize::from(has_value) > MAX_QUERY {
            return (kept, true);
        }
        if index > 0 {
            kept.push('&');
        }
        kept.push_str(key);
        if has_value {
            kept.push('=');
            kept.push(REDACTED);
        }
    }
    (kept, false)
}

/// The host to keep from a `Host` field: visible ASCII, no user information.
pub(super) fn host(value: &[u8]) -> Option<&str> {
    let value = value.trim_ascii();
    if value.is_empty() || !value.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    std::str::from_utf8(value).ok().map(without_user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(
        method: &str,
        target: &'static str,
    ) -> (Option<&'static str>, &'static str, Option<&'static str>) {
        let Target {
            authority,
            path,
            query,
        } = Target::of(method, target);
        (authority, path, query)
    }

    #[test]
    fn every_form_of_target_is_split() {
        assert_eq!(parts("GET", "/a/b?c=d?e#f"), (None, "/a/b", Some("c=d?e")));
        assert_eq!(parts("GET", "/a#b?c"), (None, "/a", None));
        assert_eq!(parts("OPTIONS", "*"), (None, "*", None));
        assert_eq!(
            parts("GET", "http://u:p@h:81/x?y"),
            (Some("h:81"), "/x", Some("y"))
        );
        assert_eq!(parts("GET", "http://h?y"), (Some("h"), "/", Some("y")));
        assert_eq!(parts("OPTIONS", "http://h"), (Some("h"), "/", None));
        assert_eq!(parts("CONNECT", "u@h:443"), (Some("h:443"), "h:443", None));
        assert_eq!(
            parts("GET", "/to?u=http://h/"),
            (None, "/to", Some("u=http://h/"))
        );
        assert_eq!(parts("GET", "odd"), (None, "odd", None));
    }

    #[test]
    fn no_query_value_is_kept() {
        assert_eq!(query("a=1&b").0, "a=*&b");
        assert_eq!(query("a=1;c=2&a[]=s&=x&&d=").0, "a=*&a[]=*&=*&&d=*");
        let key = "s3cr3t".repeat(20);
        assert_eq!(query(&key).0, "*");
        let (kept, cut) = query(&"key=value&".repeat(1000));
        assert!(cut && kept.len() <= MAX_QUERY);
    }

    #[test]
    fn no_session_of_a_path_is_kept() {
        assert_eq!(
            path("/a;v=1;JSessionID=5e55/b;x").0,
            "/a;v=1;JSessionID=*/b;x"
        );
        assert_eq!(path("/a;v=1").0, "/a;v=1");
        let (kept, cut) = path(&"/\u{e9}".repeat(5000));
        assert!(cut && kept.len() <= MAX_PATH);
    }

    #[test]
    fn a_host_is_visible_ascii_without_user() {
        assert_eq!(host(b" api.example:8080 "), Some("api.example:8080"));
        assert_eq!(host(b"user:pass@api.example"), Some("api.example"));
        assert_eq!(host(b"a\x1b[31m"), None);
        assert_eq!(host(b""), None);
    }
}
