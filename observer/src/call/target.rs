//! Splits a request target (RFC 9112 §3.2) and takes the secrets out of it.

use super::secret::{self, REDACTED};

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

/// Longest value of a query that is shown where that was asked for.
const MAX_QUERY_VALUE: usize = 128;

/// Path parameter that carries a session (Jakarta Servlet §7.1.3).
const SESSION_PARAMETER: &str = "jsessionid=";

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

/// The path to keep: as sent, but for secrets and the value of a session parameter.
pub(super) fn path(path: &str) -> (String, bool) {
    let (path, mut cut) = bounded(path, MAX_PATH);
    let mut kept = String::with_capacity(path.len());
    let mut announced = false;
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            kept.push('/');
        }
        for (at, part) in segment.split(';').enumerate() {
            if at > 0 {
                kept.push(';');
            }
            let session = SESSION_PARAMETER.len();
            match part.split_at_checked(session) {
                Some((name, value))
                    if at > 0
                        && !value.is_empty()
                        && name.eq_ignore_ascii_case(SESSION_PARAMETER) =>
                {
                    kept.push_str(name);
                    kept.push_str(REDACTED);
                }
                _ => kept.push_str(&secret::redact_part(part, announced)),
            }
        }
        announced = secret::announces(segment);
    }
    if kept.len() > MAX_PATH {
        cut = true;
        kept.truncate(kept.floor_char_boundary(MAX_PATH));
    }
    (kept, cut)
}

/// Percent-encoding undone (RFC 3986 §2.1); what is none stays.
pub(super) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| {
            after
                .get(at)
                .and_then(|digit| char::from(*digit).to_digit(16))
        };
        if let (b'%', Some(high), Some(low)) = (byte, digit(0), digit(1)) {
            bytes.push(u8::try_from(high * 16 + low).unwrap_or(byte));
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => error.as_bytes().iter().map(|b| char::from(*b)).collect(),
    }
}

/// The query to keep: keys as sent, every value redacted but those of the keys in `shown` that are
/// no secrets either.
pub(super) fn query(query: &str, shown: &[Box<str>]) -> (String, bool) {
    let mut kept = String::with_capacity(query.len().min(MAX_QUERY));
    for (index, part) in query.split('&').enumerate() {
        let separator = usize::from(index > 0);
        let (key, value) = part
            .split_once('=')
            .map_or((part, None), |(key, value)| (key, Some(value)));
        let value = value.map(|value| {
            let is_shown = shown.iter().any(|own| own.eq_ignore_ascii_case(key));
            if is_shown && value.len() <= MAX_QUERY_VALUE && !secret::is_secret(value) {
                value
            } else {
                REDACTED
            }
        });
        let key = if key.len() <= MAX_QUERY_KEY && !secret::is_secret(key) {
            key
        } else {
            REDACTED
        };
        if kept.len() + separator + key.len() + value.map_or(0, |value| 1 + value.len()) > MAX_QUERY
        {
            return (kept, true);
        }
        if index > 0 {
            kept.push('&');
        }
        kept.push_str(key);
        if let Some(value) = value {
            kept.push('=');
            kept.push_str(value);
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
        let query = |text: &str| query(text, &[]);
        assert_eq!(query("a=1&b").0, "a=*&b");
        assert_eq!(query("a=1;c=2&a[]=s&=x&&d=").0, "a=*&a[]=*&=*&&d=*");
        let key = "s3cr3t".repeat(20);
        assert_eq!(query(&key).0, "*");
        assert_eq!(query("ghp_od7gNqWu5FkSCkGBAca9xQZw8Pozq5sTxkwQ").0, "*");
        let (kept, cut) = query(&"key=value&".repeat(1000));
        assert!(cut && kept.len() <= MAX_QUERY);
    }

    #[test]
    fn query_values_are_shown_where_asked_for_unless_they_are_secrets() {
        let shown = ["page".into()];
        assert_eq!(query("Page=2&q=2", &shown).0, "Page=2&q=*");
        let key = "page=ghp_od7gNqWu5FkSCkGBAca9xQZw8Pozq5sTxkwQ";
        assert_eq!(query(key, &shown).0, "page=*");
    }

    #[test]
    fn no_secret_of_a_path_is_kept() {
        for (sent, kept) in [
            ("/v1/items/17", "/v1/items/17"),
            (
                "/bot66435430620:AAr4ty9ctd3oir9qx55t660mh37hwrlizX/send",
                "/bot66435430620:*/send",
            ),
            ("/hooks/glpat-mV1ygtGxBduA_WIuSRl2", "/hooks/*"),
            ("/reset-password/5bjghnnqi15o9535", "/reset-password/*"),
            ("/users/5bjghnnqi15o9535", "/users/5bjghnnqi15o9535"),
            (
                "/wiki/%E6%9D%B1%E4%BA%AC%E9%83%BD%E5%BA%81",
                "/wiki/%E6%9D%B1%E4%BA%AC%E9%83%BD%E5%BA%81",
            ),
            (
                "/o/dfaf09f1-19e1-3d87-0c44-177afe013a82",
                "/o/dfaf09f1-19e1-3d87-0c44-177afe013a82",
            ),
            ("/a/%67hp_od7gNqWu5FkSCkGBAca9xQZw8Pozq5sTxkwQ", "/a/*"),
            ("*", "*"),
        ] {
            assert_eq!(path(sent).0, kept, "{sent}");
        }
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
