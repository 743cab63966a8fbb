//! The claims of a token as JSON, bounded: the same in records and in lines.

use std::fmt::Write as _;

use crate::call::Claims;

/// Bytes kept of a name: longer ones are no names.
pub(super) const MAX_NAME: usize = 256;
/// Audiences and scopes of a token.
const MAX_ITEMS: usize = 16;

/// Writes the claims as an object, under the names that the token has for them (RFC 7519 §4.1).
/// `text` writes a text with its quotes. Whether something was cut.
pub fn push_claims(out: &mut String, claims: &Claims, text: fn(&mut String, &str)) -> bool {
    let Claims {
        issuer,
        subject,
        client,
        audience,
        scopes,
        expires_s,
        issued_s,
        algorithm,
        key_id,
    } = claims;
    let mut cut = false;
    let mut name = |out: &mut String, value: &str| {
        let end = value.floor_char_boundary(MAX_NAME);
        cut |= end < value.len();
        text(out, value.get(..end).unwrap_or_default());
    };
    let mut comma = '{';
    let mut key = |out: &mut String, key: &str| {
        let _ = write!(out, "{comma}\"{key}\":");
        comma = ',';
    };
    for (claim, value) in [
        ("iss", issuer),
        ("sub", subject),
        ("client", client),
        ("alg", algorithm),
        ("kid", key_id),
    ] {
        if let Some(value) = value {
            key(out, claim);
            name(out, value);
        }
    }
    let mut fewer = false;
    for (claim, values) in [("aud", audience), ("scope", scopes)] {
        if values.is_empty() {
            continue;
        }
        key(out, claim);
        let mut before = '[';
        for value in values.iter().take(MAX_ITEMS) {
            out.push(before);
            name(out, value);
            before = ',';
        }
        out.push(']');
        fewer |= values.len() > MAX_ITEMS;
    }
    for (claim, seconds) in [("exp", expires_s), ("iat", issued_s)] {
        if let Some(seconds) = seconds {
            key(out, claim);
            let _ = write!(out, "{seconds}");
        }
    }
    out.push_str(if comma == '{' { "{}" } else { "}" });
    cut || fewer
}
