//! Names of cookies that hold a session or a token.

/// Names of session cookies of common frameworks.
const SESSIONS: [&str; 13] = [
    "asp.net_sessionid",
    ".aspxauth",
    "cfid",
    "cftoken",
    "connect.sid",
    "jsessionid",
    "laravel_session",
    "phpsessid",
    "sid",
    "ssid",
    "token",
    "jwt",
    "auth",
];
/// How others of them begin.
const STARTS: [&str; 4] = [
    "session",
    "aspsessioni",
    ".aspnetcore.",
    "wordpress_logged_in",
];
/// How others of them end.
const ENDS: [&str; 10] = [
    "_session",
    "-session",
    "sessionid",
    "session_id",
    ".sid",
    "_sid",
    "-sid",
    "token",
    "_jwt",
    "authorization",
];

/// Most cookies of a field looked at; browsers send 180 at most for a domain (RFC 6265bis §6.1).
const MOST: usize = 200;

/// The cookies that hold a credential: name and value (RFC 6265 §4.2.1).
pub(super) fn credentials(field: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    field
        .split(|byte| *byte == b';')
        .take(MOST)
        .filter_map(|cookie| {
            let at = cookie.iter().position(|byte| *byte == b'=')?;
            let (name, value) = cookie.split_at_checked(at)?;
            let value = value.get(1..)?.trim_ascii();
            let name = std::str::from_utf8(name.trim_ascii()).ok()?;
            let value = value
                .strip_prefix(b"\"")
                .and_then(|value| value.strip_suffix(b"\""))
                .unwrap_or(value);
            (!value.is_empty() && is_credential(name)).then_some((name, value))
        })
}

/// A `Set-Cookie` gives a session a value: one that is emptied ends it.
pub(in crate::call) fn sets_session(cookie: &[u8]) -> bool {
    let pair = cookie.split(|byte| *byte == b';').next();
    credentials(pair.unwrap_or_default()).next().is_some()
}

fn is_credential(name: &str) -> bool {
    let bare = ["__Host-", "__Secure-"]
        .iter()
        .find_map(|prefix| strip_prefix(name, prefix));
    let prefixed = bare.is_some();
    let name = bare.unwrap_or(name);
    if contains(name, "csrf") || contains(name, "xsrf") || contains(name, "antiforgery") {
        return false;
    }
    // Nobody takes the trouble for what is not worth it.
    prefixed
        || SESSIONS
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
        || STARTS
            .iter()
            .any(|start| strip_prefix(name, start).is_some())
        || ENDS.iter().any(|end| ends_with(name, end))
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// The text ends so, whatever the case.
pub(super) fn ends_with(text: &str, end: &str) -> bool {
    text.len()
        .checked_sub(end.len())
        .and_then(|at| text.get(at..))
        .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

/// The text holds the word, whatever the case.
pub(super) fn contains(text: &str, word: &str) -> bool {
    text.as_bytes()
        .windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_and_tokens_are_told_from_other_cookies() {
        let field = b"theme=dark; PHPSESSID=x; __Host-id=\"y\"; _app_session=z;brain.sid=s; \
            access_token=t; XSRF-TOKEN=c; __Host-csrf=c; sid=; lang";
        let found: Vec<_> = credentials(field).collect();
        assert_eq!(
            found,
            [
                ("PHPSESSID", &b"x"[..]),
                ("__Host-id", b"y"),
                ("_app_session", b"z"),
                ("brain.sid", b"s"),
                ("access_token", b"t"),
            ]
        );
    }
}
