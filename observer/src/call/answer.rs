//! Reads from the fields of an answer what they say of the credential: why it was refused, a
//! session that begins, a way back to the login page.

use httparse::Header;

use super::Signs;
use super::caller::sets_session;

/// Words in the path of a login page.
const LOGIN_WORDS: [&str; 7] = [
    "login",
    "signin",
    "sign-in",
    "sign_in",
    "logon",
    "sso",
    "authenticate",
];

/// What the fields of an answer say.
pub(super) fn signs(fields: &[Header<'_>]) -> Signs {
    let mut signs = Signs::NONE;
    for field in fields {
        match field.name.len() {
            16 if field.name.eq_ignore_ascii_case("www-authenticate") => {
                signs |= refusal(field.value);
            }
            10 if field.name.eq_ignore_ascii_case("set-cookie") && sets_session(field.value) => {
                signs |= Signs::SETS_SESSION;
            }
            8 if field.name.eq_ignore_ascii_case("location") && is_login(field.value) => {
                signs |= Signs::TO_LOGIN;
            }
            _ => {}
        }
    }
    signs
}

/// Longest field looked at, bytes.
const MOST: usize = 1024;

fn refusal(value: &[u8]) -> Signs {
    let value = value.get(..MOST.min(value.len())).unwrap_or(value);
    let lower = value.to_ascii_lowercase();
    let says = |word: &str| memchr::memmem::find(&lower, word.as_bytes()).is_some();
    let mut signs = Signs::NONE;
    if says("invalid_token") {
        signs |= Signs::INVALID_TOKEN;
        if says("expired") {
            signs |= Signs::EXPIRED_TOKEN;
        }
    }
    if says("insufficient_scope") {
        signs |= Signs::SCOPE;
    }
    if says("stale=true") || says("stale=\"true\"") {
        signs |= Signs::STALE;
    }
    signs
}

fn is_login(location: &[u8]) -> bool {
    let end = location
        .iter()
        .position(|byte| matches!(byte, b'?' | b'#'))
        .unwrap_or(location.len())
        .min(MOST);
    let path = location.get(..end).unwrap_or(location).to_ascii_lowercase();
    LOGIN_WORDS
        .iter()
        .any(|word| memchr::memmem::find(&path, word.as_bytes()).is_some())
}

#[cfg(test)]
mod tests {
    use super::signs;
    use crate::call::Signs;
    use httparse::Header;

    #[test]
    fn an_answer_says_why_and_what_follows() {
        for (name, value, expected) in [
            (
                "WWW-Authenticate",
                "Bearer error=\"invalid_token\"",
                Signs::INVALID_TOKEN,
            ),
            (
                "www-authenticate",
                "Bearer error=\"invalid_token\", error_description=\"The token Expired\"",
                Signs::INVALID_TOKEN | Signs::EXPIRED_TOKEN,
            ),
            (
                "WWW-Authenticate",
                "Bearer error=\"insufficient_scope\"",
                Signs::SCOPE,
            ),
            (
                "WWW-Authenticate",
                "Digest realm=\"r\", stale=TRUE",
                Signs::STALE,
            ),
            ("WWW-Authenticate", "Basic realm=\"expired\"", Signs::NONE),
            ("Set-Cookie", "connect.sid=x; Path=/", Signs::SETS_SESSION),
            ("Set-Cookie", "theme=dark", Signs::NONE),
            ("Set-Cookie", "sid=; Max-Age=0", Signs::NONE),
            (
                "Location",
                "https://h/users/sign_in?next=/",
                Signs::TO_LOGIN,
            ),
            ("Location", "/home?from=/login", Signs::NONE),
        ] {
            let field = Header {
                name,
                value: value.as_bytes(),
            };
            assert_eq!(signs(&[field]), expected, "{name}: {value}");
        }
    }
}
