//! Which fields carry a credential, or say who calls, by their names.

use super::cookie::{contains, ends_with};
use super::vouching::{self, Certificate};

/// What a field is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    Host,
    Authorization,
    ProxyAuthorization,
    Cookie,
    /// An API key or a token in a field of its own.
    Key,
    /// A DPoP proof (RFC 9449).
    Dpop,
    /// `Signature-Input` (RFC 9421 §4.1).
    SignatureInput,
    /// `Signature` of the draft before it, with `keyId`.
    Signature,
    /// `Sec-WebSocket-Protocol`.
    Subprotocol,
    /// `X-Forwarded-For`.
    ForwardedFor,
    /// `Forwarded` (RFC 7239 §4).
    Forwarded,
    /// An address of the client alone, with the rank of the field.
    Client(u8),
    /// A user that a gateway names.
    User,
    /// A certificate that a proxy was shown.
    Certificate(Certificate),
}

/// Longest name looked at.
const LONGEST: usize = 64;

/// Names of keys that do not end as one.
const KEYS: [&str; 10] = [
    "apikeyauth",
    "client-id",
    "clientid",
    "app-id",
    "x-auth",
    "x-sentry-auth",
    "private-app",
    "x-emby-authorization",
    "x-xapp-token",
    "auth",
];
/// How names of keys end. From 2,600 published API descriptions: these find nine of ten.
const KEY_ENDS: [&str; 18] = [
    "-key",
    "apikey",
    "authkey",
    "appkey",
    "accesskey",
    "userkey",
    "clientkey",
    "privatekey",
    "token",
    "secret",
    "jwt",
    "-client-id",
    "-clientid",
    "-app-id",
    "-authorization",
    "-api-auth",
    "-signature",
    "autcookie",
];
/// What names of fields that end so, and carry no credential, hold.
const NO_KEYS: [&str; 21] = [
    "csrf",
    "xsrf",
    "idempoten",
    "sec-websocket",
    "continuation",
    "requestverification",
    "lock-token",
    "page-token",
    "pagination",
    "sync-token",
    "surrogate",
    "cache",
    "partition",
    "routing",
    "crypto-key",
    "public-key",
    "dedup",
    "next-token",
    "security-token",
    "trace",
    "webhook-signature",
];

/// What the field of this name carries.
pub(super) fn of(name: &str) -> Option<Carrier> {
    let bytes = name.as_bytes();
    // All of them end so.
    let last = bytes.last()?.to_ascii_lowercase();
    if !matches!(
        last,
        b'y' | b'n' | b't' | b'e' | b'd' | b'p' | b'h' | b'l' | b'r' | b'o' | b'f' | b'6'
    ) {
        return None;
    }
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match (bytes.len(), last) {
        (4, b't') if is("host") => Some(Carrier::Host),
        (4, b'p') if is("dpop") => Some(Carrier::Dpop),
        (6, b'e') if is("cookie") => Some(Carrier::Cookie),
        (9, b'e') if is("signature") => Some(Carrier::Signature),
        (13, b'n') if is("authorization") => Some(Carrier::Authorization),
        (15, b't') if is("signature-input") => Some(Carrier::SignatureInput),
        (19, b'n') if is("proxy-authorization") => Some(Carrier::ProxyAuthorization),
        (22, b'l') if is("sec-websocket-protocol") => Some(Carrier::Subprotocol),
        // The usual fields of browsers and servers that end as keys do.
        (6, b't') if is("accept") => None,
        (10, b'n' | b't') if is("connection") || is("user-agent") => None,
        (12, b'e') if is("content-type") => None,
        (14, b'h') if is("content-length") => None,
        (15, b'e') if is("accept-language") => None,
        (3..=LONGEST, _) => vouching::of(name).or_else(|| {
            let key = !matches!(last, b'l' | b'p' | b'r' | b'o' | b'f' | b'6');
            (key && names_key(name)).then_some(Carrier::Key)
        }),
        _ => None,
    }
}

/// A field or a query key of this name carries a key or a token.
pub(super) fn names_key(name: &str) -> bool {
    let mut plain = [0; LONGEST];
    let Some(plain) = plain.get_mut(..name.len()) else {
        return false;
    };
    for (to, from) in plain.iter_mut().zip(name.bytes()) {
        *to = match from {
            b'_' | b'.' => b'-',
            other => other.to_ascii_lowercase(),
        };
    }
    let Ok(plain) = std::str::from_utf8(plain) else {
        return false;
    };
    (plain == "key" || KEYS.contains(&plain) || KEY_ENDS.iter().any(|end| ends_with(plain, end)))
        && !NO_KEYS.iter().any(|other| contains(plain, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_carry_keys_are_known_by_their_names() {
        for name in [
            "X-API-Key",
            "apikey",
            "Ocp-Apim-Subscription-Key",
            "user_key",
            "API_Key",
            "token",
            "X-Shopify-Access-Token",
            "DD-APPLICATION-KEY",
            "PRIVATE-TOKEN",
            "X-Vault-Token",
            "X-VTEX-API-AppKey",
            "X-VTEX-API-AppToken",
            "accessToken",
            "jwt",
            "X-Appwrite-JWT",
            "PLAID-SECRET",
            "X-IBM-Client-Id",
            "key",
            "X-Auth",
        ] {
            assert_eq!(of(name), Some(Carrier::Key), "{name}");
        }
        for name in [
            "X-CSRF-Token",
            "Idempotency-Key",
            "Sec-WebSocket-Key",
            "Accept-Encoding",
            "Accept",
            "Surrogate-Key",
            "Lock-Token",
            "X-Request-Id",
            "Content-Type",
            "Origin",
            "Date",
            "X-Amz-Security-Token",
            "monkey",
            "",
        ] {
            assert_eq!(of(name), None, "{name}");
        }
    }
}
