//! Credentials in the query of a target.

use super::reading::Reading;
use super::{authorization, carrier};
use crate::call::{AuthScheme, IdentityKind, secret, target};

/// Most parts of a query looked at.
const MOST: usize = 128;

/// What of the query names the caller: the key it stands under, the scheme, what it says.
pub(super) fn read<'a>(
    query: &'a str,
    scratch: &mut Vec<u8>,
    found: &mut dyn FnMut(&'a str, AuthScheme, Reading<'a>),
) {
    for part in query.split('&').take(MOST) {
        let Some((key, value)) = part.split_once('=') else {
            continue;
        };
        if value.is_empty() {
            continue;
        }
        let is = |known: &str| key.eq_ignore_ascii_case(known);
        match key.len() {
            // Presigned, AWS and those after it (`X-Goog-Credential`).
            13..=24 if key.starts_with("X-") && key.ends_with("-Credential") => {
                let scheme = if is("X-Amz-Credential") {
                    AuthScheme::SigV4
                } else {
                    AuthScheme::Signature
                };
                let value = target::percent_decoded(value);
                let name = value.split('/').next().unwrap_or_default();
                if let Some(reading) = authorization::access_key(name) {
                    found(key, scheme, reading);
                }
            }
            14 if is("AWSAccessKeyId") || is("GoogleAccessId") => {
                let name = target::percent_decoded(value);
                if let Some(reading) = authorization::access_key(&name) {
                    found(key, AuthScheme::Signature, reading);
                }
            }
            // Azure shared access signatures: the delegated user or the policy that signs.
            5 if key == "skoid" => {
                if let Some(reading) = authorization::access_key(value) {
                    found(key, AuthScheme::Signature, reading);
                }
            }
            3 if key == "sig" && value.len() >= 16 => {
                if let Some(reading) =
                    Reading::token(IdentityKind::AccessKey, value.as_bytes(), scratch)
                {
                    found(key, AuthScheme::Signature, reading);
                }
            }
            _ if is_key(key, value) => {
                let kind = if carrier_is_token(key) {
                    IdentityKind::Token
                } else {
                    IdentityKind::ApiKey
                };
                if let Some(reading) = Reading::token(kind, value.as_bytes(), scratch) {
                    let scheme = if kind == IdentityKind::Token {
                        AuthScheme::Bearer
                    } else {
                        AuthScheme::ApiKey
                    };
                    found(key, scheme, reading);
                }
            }
            _ => {}
        }
    }
}

/// RFC 6750 §2.3.
fn carrier_is_token(key: &str) -> bool {
    key == "access_token"
}

/// The part holds a key or a token. Words such as `key` and `token` are used for other things too,
/// so there the value has to look like one.
fn is_key(key: &str, value: &str) -> bool {
    const DOUBTFUL: [&str; 7] = [
        "key",
        "token",
        "auth",
        "client_id",
        "app_id",
        "signature",
        "x-signature",
    ];
    let last = key.bytes().last().unwrap_or_default().to_ascii_lowercase();
    if !matches!(last, b'y' | b'n' | b't' | b'd' | b'h') || !carrier::names_key(key) {
        return false;
    }
    let doubtful = DOUBTFUL.iter().any(|known| key.eq_ignore_ascii_case(known));
    !doubtful || secret::is_secret_value(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(query: &str) -> Vec<(String, AuthScheme, IdentityKind, Option<String>)> {
        let mut all = Vec::new();
        read(query, &mut Vec::new(), &mut |key, scheme, reading| {
            let id = reading.id.map(|id| id.to_string());
            all.push((key.to_owned(), scheme, reading.kind, id));
        });
        all
    }

    #[test]
    fn keys_tokens_and_signatures_are_found() {
        use AuthScheme::{ApiKey, Bearer, SigV4, Signature};
        let one = |query: &str| found(query).pop();
        let told = |key: &str, scheme, kind, id: Option<&str>| {
            Some((key.to_owned(), scheme, kind, id.map(str::to_owned)))
        };
        assert_eq!(
            one("a=1&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1&X-Amz-Signature="),
            told(
                "X-Amz-Credential",
                SigV4,
                IdentityKind::AccessKey,
                Some("AKIDEXAMPLE")
            )
        );
        assert_eq!(
            one("GoogleAccessId=bot%40p.iam&Expires=1"),
            told(
                "GoogleAccessId",
                Signature,
                IdentityKind::AccessKey,
                Some("bot@p.iam")
            )
        );
        assert_eq!(
            one("api_key=k"),
            told("api_key", ApiKey, IdentityKind::ApiKey, None)
        );
        assert_eq!(
            one("access_token=t"),
            told("access_token", Bearer, IdentityKind::Token, None)
        );
        assert_eq!(
            one("key=name&token=next&sort_key=&page_token=abc0def1"),
            None
        );
        assert_eq!(
            one("key=AIzaS1iRQGtOwb6QlqLXEnO8Yuad9VQB7M4Z0"),
            told("key", ApiKey, IdentityKind::ApiKey, None)
        );
        assert_eq!(found(&"key=%&".repeat(1000)), []);
    }
}
