//! Tokens that browsers send as a WebSocket subprotocol (RFC 6455 §1.9), which has no field for
//! them.

use base64::Engine as _;

use super::jwt::BASE64URL;
use crate::call::secret;

/// Kubernetes (`staging/src/k8s.io/apiserver/pkg/authentication/request/websocket`).
const KUBERNETES: &str = "base64url.bearer.authorization.k8s.io.";
/// Words after which some servers expect the token as the next item.
const BEFORE: [&str; 6] = [
    "bearer",
    "token",
    "jwt",
    "authorization",
    "access_token",
    "auth",
];
/// Longest token, bytes.
const LONGEST: usize = 16 << 10;

/// The token among the subprotocols asked for, and whether it had to be decoded.
pub(super) fn token(value: &str) -> Option<std::borrow::Cow<'_, str>> {
    let mut announced = false;
    for item in value.split(',').map(str::trim) {
        if let Some(encoded) = item.strip_prefix(KUBERNETES)
            && encoded.len() <= LONGEST
            && let Ok(token) = BASE64URL.decode(encoded)
        {
            return String::from_utf8(token).ok().map(Into::into);
        }
        // Some prefix it with what it is: `openai-insecure-api-key.sk-…`.
        let bare = item.split_once('.').map_or(item, |(before, rest)| {
            if secret::announces(before) {
                rest
            } else {
                item
            }
        });
        if announced && item.len() >= 8 || secret::is_secret(bare) {
            return Some(bare.into());
        }
        announced = BEFORE.iter().any(|word| item.eq_ignore_ascii_case(word));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_among_subprotocols() {
        let encoded = BASE64URL.encode("t0k3n-of-a-pod");
        for (value, expected) in [
            (
                &*format!("v4.channel.k8s.io, {KUBERNETES}{encoded}"),
                Some("t0k3n-of-a-pod"),
            ),
            ("bearer, opaque-t0k3n", Some("opaque-t0k3n")),
            (
                "realtime, insecure-api-key.sk-proj-AbCdEf0123456789abcdef",
                Some("sk-proj-AbCdEf0123456789abcdef"),
            ),
            ("graphql-transport-ws, graphql-ws", None),
            ("v10.stomp, v11.stomp", None),
            ("", None),
        ] {
            assert_eq!(token(value).as_deref(), expected, "{value}");
        }
    }
}
