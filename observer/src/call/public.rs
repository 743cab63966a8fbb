//! What of a head may stand in a recording that others will read.
//!
//! Enters: a target or a field as sent. Leaves: the same with `*` for whatever is, or may be, a
//! secret: values of queries and cookies, credentials, and the value of every field that is not
//! known to be harmless.

use std::borrow::Cow;

use super::grpc;
use super::secret::{REDACTED, announces, is_secret, redact_text};
use super::target::{self, Target};

/// Longest value that is shown, bytes: media types and lists of codings are shorter.
const MAX_SHOWN: usize = 512;

/// Longest word that is taken for the name of a scheme, bytes.
const MAX_SCHEME: usize = 32;

/// Fields that say how a message is framed, coded or routed: their values are shown.
const SHOWN: [&str; 33] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "allow",
    "cache-control",
    "connect-protocol-version",
    "connect-timeout-ms",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-status",
    "grpc-timeout",
    "host",
    "http2-settings",
    "keep-alive",
    "retry-after",
    "sec-websocket-version",
    "server",
    "soapaction",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "x-amz-target",
    "x-grpc-web",
];

/// A target without the values of its query and without secrets in its path.
pub fn public_target(method: &str, target: &str) -> String {
    let Target {
        authority,
        path,
        query,
    } = Target::of(method, target);
    let (mut shown, _) = target::path(path);
    if let (Some(authority), true) = (authority, path.starts_with('/')) {
        shown = format!("http://{authority}{shown}");
    }
    if let Some(query) = query {
        shown.push('?');
        shown.push_str(&target::query(query, &[]).0);
    }
    shown
}

/// The value of a field as it may be shown.
pub fn public_value<'a>(name: &str, value: &'a [u8]) -> Cow<'a, str> {
    let Ok(text) = std::str::from_utf8(value) else {
        return Cow::Borrowed(REDACTED);
    };
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        "authorization" | "proxy-authorization" => Cow::Owned(scheme(text)),
        "www-authenticate" | "proxy-authenticate" => Cow::Owned(challenge(text)),
        "cookie" => Cow::Owned(cookies(text)),
        "set-cookie" => Cow::Owned(cookies(text.split(';').next().unwrap_or_default())),
        "grpc-message" => {
            grpc::plain(value).map_or(Cow::Borrowed(REDACTED), |text| Cow::Owned(text.into()))
        }
        name if SHOWN.binary_search(&name).is_ok() && value.len() <= MAX_SHOWN => redact_text(text),
        _ => Cow::Borrowed(REDACTED),
    }
}

/// The first word, if it names a scheme and more follows.
fn scheme(value: &str) -> String {
    match value.trim().split_once(' ') {
        Some((scheme, _)) if is_scheme(scheme) => format!("{scheme} {REDACTED}"),
        _ => REDACTED.to_owned(),
    }
}

fn is_scheme(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !word.is_empty() && word.len() <= MAX_SCHEME && word.bytes().all(plain) && !is_secret(word)
}

/// The scheme that is asked for, and the error (RFC 6750 §3).
fn challenge(value: &str) -> String {
    let word = value.trim().split(' ').next().unwrap_or_default();
    let mut shown = match is_scheme(word) {
        true => word.to_owned(),
        false => REDACTED.to_owned(),
    };
    if let Some((_, error)) = value.split_once("error=\"")
        && let Some((error, _)) = error.split_once('"')
        && error.len() <= MAX_SCHEME
        && error
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    {
        shown.push_str(" error=\"");
        shown.push_str(error);
        shown.push('"');
    }
    shown
}

/// The names of cookies.
fn cookies(value: &str) -> String {
    let mut shown = String::new();
    for cookie in value.split(';') {
        let Some((name, _)) = cookie.split_once('=') else {
            continue;
        };
        let name = name.trim();
        if !shown.is_empty() {
            shown.push_str("; ");
        }
        let harmless = !is_secret(name) || announces(name);
        shown.push_str(if harmless { name } else { REDACTED });
        shown.push('=');
        shown.push_str(REDACTED);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_in_order() {
        assert!(SHOWN.is_sorted());
    }

    #[test]
    fn values_are_shown_only_of_fields_that_are_known() {
        for (name, value, shown) in [
            ("Content-Type", "application/json", "application/json"),
            ("Authorization", "Bearer abc.def.ghi", "Bearer *"),
            ("Authorization", "rawtoken", "*"),
            ("X-Api-Key", "k", "*"),
            ("X-Unheard-Of", "v", "*"),
            ("Cookie", "sid=abc; theme=dark", "sid=*; theme=*"),
            ("Set-Cookie", "sid=abc; Path=/secret", "sid=*"),
            (
                "WWW-Authenticate",
                "Bearer realm=\"x\", error=\"invalid_token\"",
                "Bearer error=\"invalid_token\"",
            ),
            ("Location", "/a?token=b", "*"),
        ] {
            assert_eq!(public_value(name, value.as_bytes()), shown, "{name}");
        }
    }

    #[test]
    fn targets_keep_their_form_and_lose_their_values() {
        for (method, target, shown) in [
            ("GET", "/a/b?c=d&e=f", "/a/b?c=*&e=*"),
            ("GET", "http://u:p@h:1/a?c=d", "http://h:1/a?c=*"),
            ("CONNECT", "u@h:443", "h:443"),
            ("OPTIONS", "*", "*"),
        ] {
            assert_eq!(public_target(method, target), shown);
        }
    }
}
