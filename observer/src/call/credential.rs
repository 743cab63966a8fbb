//! Tells from the names of fields which kind of credential a request carries.

use httparse::Header;

use super::AuthScheme;

/// Fields that carry an API key or a token of their own.
const KEY_FIELDS: [&str; 12] = [
    "api-key",
    "apikey",
    "ocp-apim-subscription-key",
    "private-token",
    "x-amz-security-token",
    "x-api-key",
    "x-apikey",
    "x-access-token",
    "x-auth-key",
    "x-auth-token",
    "x-functions-key",
    "x-vault-token",
];

/// Ends of names of such fields (`DD-API-KEY`, `X-Shopify-Access-Token`).
const KEY_SUFFIXES: [&str; 4] = ["-api-key", "-apikey", "-auth-token", "-access-token"];

/// Names of session cookies of common frameworks.
const SESSION_COOKIES: [&str; 12] = [
    "asp.net_sessionid",
    ".aspxauth",
    ".aspnetcore.cookies",
    "cfid",
    "cftoken",
    "connect.sid",
    "jsessionid",
    "laravel_session",
    "phpsessid",
    "sid",
    "ssid",
    "auth_token",
];

/// What the fields of a request say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestFields<'a> {
    /// Value of the first `Host`.
    pub host: Option<&'a [u8]>,
    /// The credential that counts: what is meant for the origin server before what is meant for
    /// a proxy, what is explicit before a cookie.
    pub scheme: AuthScheme,
}

impl<'a> RequestFields<'a> {
    pub(super) fn of(fields: &[Header<'a>]) -> Self {
        let mut host = None;
        let mut authorization = None;
        let (mut key, mut proxy, mut cookie) = (false, false, false);
        for field in fields {
            let name = field.name;
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => host = host.or(Some(field.value)),
                6 if name.eq_ignore_ascii_case("cookie") => {
                    cookie = cookie || names_session(field.value);
                }
                13 if name.eq_ignore_ascii_case("authorization") => {
                    authorization = authorization.or_else(|| scheme(field.value));
                }
                19 if name.eq_ignore_ascii_case("proxy-authorization") => {
                    proxy |= !field.value.is_empty();
                }
                _ => key = key || !field.value.is_empty() && is_key_field(name),
            }
        }
        let scheme = match authorization {
            Some(scheme) => scheme,
            None if key => AuthScheme::ApiKey,
            None if proxy => AuthScheme::Proxy,
            None if cookie => AuthScheme::Cookie,
            None => AuthScheme::None,
        };
        Self { host, scheme }
    }
}

/// The response asks for a credential (RFC 9110 §11.6.1, §11.7.1).
pub(super) fn challenges(fields: &[Header<'_>]) -> bool {
    fields.iter().any(|field| match field.name.len() {
        16 => field.name.eq_ignore_ascii_case("www-authenticate"),
        18 => field.name.eq_ignore_ascii_case("proxy-authenticate"),
        _ => false,
    })
}

fn scheme(value: &[u8]) -> Option<AuthScheme> {
    let value = value.trim_ascii();
    let name = value
        .split(u8::is_ascii_whitespace)
        .next()
        .unwrap_or_default();
    let is = |scheme: &str| name.eq_ignore_ascii_case(scheme.as_bytes());
    if value.is_empty() {
        None
    } else if is("basic") {
        Some(AuthScheme::Basic)
    } else if is("bearer") {
        Some(AuthScheme::Bearer)
    } else if is("digest") {
        Some(AuthScheme::Digest)
    } else if is("negotiate") || is("ntlm") {
        Some(AuthScheme::Negotiate)
    } else if is("aws4-hmac-sha256") || is("aws4-ecdsa-p256-sha256") {
        Some(AuthScheme::SigV4)
    } else {
        Some(AuthScheme::Other)
    }
}

fn is_key_field(name: &str) -> bool {
    // All of them end so; most fields do not.
    if !matches!(name.as_bytes().last(), Some(b'y' | b'Y' | b'n' | b'N')) {
        return false;
    }
    KEY_FIELDS.iter().any(|key| name.eq_ignore_ascii_case(key))
        || KEY_SUFFIXES
            .iter()
            .any(|suffix| ends_with(name.as_bytes(), suffix.as_bytes()))
}

/// A `Set-Cookie` gives a session a value: one that is emptied ends it.
pub(super) fn sets_session(cookie: &[u8]) -> bool {
    let pair = cookie
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    let mut parts = pair.splitn(2, |byte| *byte == b'=');
    let name = parts.next().unwrap_or_default().trim_ascii();
    let value = parts.next().unwrap_or_default().trim_ascii();
    !value.is_empty() && is_session(name)
}

fn names_session(cookies: &[u8]) -> bool {
    cookies.split(|byte| *byte == b';').any(|cookie| {
        let name = cookie
            .split(|byte| *byte == b'=')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        is_session(name)
    })
}

fn is_session(name: &[u8]) -> bool {
    let name = name
        .strip_prefix(b"__Host-")
        .or_else(|| name.strip_prefix(b"__Secure-"))
        .unwrap_or(name);
    SESSION_COOKIES
        .iter()
        .any(|session| name.eq_ignore_ascii_case(session.as_bytes()))
        || name
            .get(..7)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"session"))
        || name
            .get(..11)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"aspsessioni"))
        || ends_with(name, b"_session")
        || ends_with(name, b"-session")
        || ends_with(name, b"sessionid")
        || ends_with(name, b"session_id")
}

fn ends_with(name: &[u8], suffix: &[u8]) -> bool {
    let end = name
        .len()
        .checked_sub(suffix.len())
        .and_then(|at| name.get(at..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheme_of(fields: &[(&str, &str)]) -> AuthScheme {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| Header {
                name,
                value: value.as_bytes(),
            })
            .collect();
        RequestFields::of(&fields).scheme
    }

    #[test]
    fn kinds_of_credentials_are_told_by_names_alone() {
        for (name, value, expected) in [
            ("Authorization", "Basic eA==", AuthScheme::Basic),
            ("authorization", "bearer t", AuthScheme::Bearer),
            ("Authorization", "Digest username=\"u\"", AuthScheme::Digest),
            ("Authorization", "NTLM T", AuthScheme::Negotiate),
            (
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=c",
                AuthScheme::SigV4,
            ),
            ("Authorization", "t0k3n", AuthScheme::Other),
            ("Authorization", "", AuthScheme::None),
            ("Proxy-Authorization", "Basic eA==", AuthScheme::Proxy),
            ("X-API-Key", "k", AuthScheme::ApiKey),
            ("DD-API-KEY", "k", AuthScheme::ApiKey),
            ("X-Shopify-Access-Token", "k", AuthScheme::ApiKey),
            ("X-CSRF-Token", "k", AuthScheme::None),
            ("Accept-Encoding", "gzip", AuthScheme::None),
            ("Cookie", "theme=dark; PHPSESSID=x", AuthScheme::Cookie),
            ("Cookie", "__Host-session=x", AuthScheme::Cookie),
            ("Cookie", "_app_session=x", AuthScheme::Cookie),
            ("Cookie", "theme=session", AuthScheme::None),
        ] {
            assert_eq!(scheme_of(&[(name, value)]), expected, "{name}: {value}");
        }
    }

    #[test]
    fn what_is_meant_for_the_server_counts_first() {
        let all = [
            ("Cookie", "sid=1"),
            ("Proxy-Authorization", "Basic eA=="),
            ("X-Api-Key", "k"),
            ("Authorization", "Bearer t"),
        ];
        let expected = [
            AuthScheme::Cookie,
            AuthScheme::Proxy,
            AuthScheme::ApiKey,
            AuthScheme::Bearer,
        ];
        for count in 1..=4 {
            assert_eq!(scheme_of(&all[..count]), expected[count - 1]);
        }
    }
}
