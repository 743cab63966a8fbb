//! Values of `Authorization` and `Proxy-Authorization` (RFC 9110 §11.6.2).

use std::borrow::Cow;

use base64::Engine as _;
use zeroize::Zeroizing;

use super::jwt::{BASE64, BASE64URL};
use super::reading::Reading;
use super::{negotiate, parameters, text};
use crate::call::{AuthScheme, IdentityKind, secret, target};

/// Longest `Basic` credential read, bytes of base64.
const LONGEST_BASIC: usize = 8192;
/// What some APIs want beside a key that stands for the user.
const NO_PASSWORDS: [&str; 6] = ["", "x", ":", "api_token", "x-oauth-basic", "unused"];
/// Shortest user with such a password that is a key.
const LEAST_KEY: usize = 12;
/// Schemes whose credential is a signature; the name of the key is one of its parameters.
const SIGNATURES: [&str; 9] = [
    "aws",
    "sharedkey",
    "sharedkeylite",
    "sharedaccesssignature",
    "hmac",
    "hawk",
    "signature",
    "goog1",
    "oauth",
];
/// How the schemes that came after SigV4 end (`GOOG4-HMAC-SHA256`, `TC3-HMAC-SHA256`).
const SIGNATURE_ENDS: [&str; 4] = [
    "hmac-sha256",
    "hmac-sha1",
    "ecdsa-p256-sha256",
    "rsa-sha256",
];
/// Parameters that name the key of a signature, the most telling first.
const KEY_NAMES: [&str; 9] = [
    "credential",
    "keyid",
    "id",
    "username",
    "oauth_consumer_key",
    "client_token",
    "skn",
    "client_id",
    "access_key",
];

/// The scheme, and what follows it.
pub(super) fn split(value: &[u8]) -> (&[u8], &[u8]) {
    let value = value.trim_ascii();
    let end = value
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(value.len());
    let (scheme, rest) = value.split_at_checked(end).unwrap_or((value, &[]));
    (scheme, rest.trim_ascii())
}

/// Which kind of scheme it is; `None` if the value is empty.
pub(super) fn scheme(value: &[u8]) -> Option<AuthScheme> {
    let (name, rest) = split(value);
    let is = |scheme: &str| name.eq_ignore_ascii_case(scheme.as_bytes());
    let ends = |end: &&str| {
        name.len()
            .checked_sub(end.len())
            .and_then(|at| name.get(at..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end.as_bytes()))
    };
    Some(if name.is_empty() {
        return None;
    } else if is("bearer") {
        AuthScheme::Bearer
    } else if is("basic") {
        AuthScheme::Basic
    } else if is("digest") {
        AuthScheme::Digest
    } else if is("negotiate") || is("ntlm") || is("kerberos") {
        AuthScheme::Negotiate
    } else if is("dpop") {
        AuthScheme::Dpop
    } else if is("aws4-hmac-sha256") || is("aws4-ecdsa-p256-sha256") {
        AuthScheme::SigV4
    } else if SIGNATURES.iter().any(|known| is(known))
        || !rest.is_empty() && SIGNATURE_ENDS.iter().any(ends)
    {
        AuthScheme::Signature
    } else if rest.is_empty() || !rest.contains(&b'=') || is("token") || is("jwt") || is("apikey") {
        AuthScheme::Token
    } else {
        AuthScheme::Other
    })
}

/// Who the credential names.
pub(super) fn read<'a>(value: &'a [u8], scratch: &mut Vec<u8>) -> Option<Reading<'a>> {
    let (name, rest) = split(value);
    let text = std::str::from_utf8(rest).unwrap_or_default();
    match scheme(value)? {
        AuthScheme::Basic => basic(rest),
        AuthScheme::Digest => digest(text, rest),
        AuthScheme::Negotiate => {
            let user = negotiate::user(text)?;
            Some(Reading::named(IdentityKind::Negotiate, &user, rest))
        }
        AuthScheme::SigV4 | AuthScheme::Signature => signature(name, text, rest),
        AuthScheme::Token if name.eq_ignore_ascii_case(b"apikey") => api_key(rest, scratch),
        // Without a scheme the first word is the token.
        AuthScheme::Token if rest.is_empty() => Reading::token(IdentityKind::Token, name, scratch),
        _ if rest.is_empty() => None,
        _ => {
            // `Token token="…"`, `vapid t=…`, `Splunk …`.
            let parameter = ["token", "t", "access_token", "key", "api_key"]
                .iter()
                .find_map(|name| parameters::find(text, name))
                .filter(|value| !value.is_empty());
            let token = parameter.map_or(rest, str::as_bytes);
            Reading::token(IdentityKind::Token, token, scratch)
        }
    }
}

fn basic(encoded: &[u8]) -> Option<Reading<'_>> {
    if encoded.len() > LONGEST_BASIC {
        return Some(Reading {
            kind: IdentityKind::Basic,
            id: None,
            secret: Some(Cow::Borrowed(encoded)),
            class: None,
            claims: None,
        });
    }
    let bytes = Zeroizing::new(BASE64.decode(encoded).ok()?);
    let pair = Zeroizing::new(text::decode(&bytes));
    let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
    // An API key in place of the user, or of the password of a user that is none.
    let class = secret::vendor(user);
    let is_key = class.is_some()
        || NO_PASSWORDS.contains(&password)
            && user.len() >= LEAST_KEY
            && !user.contains('@')
            && user.bytes().any(|byte| byte.is_ascii_digit());
    let kind = if is_key {
        IdentityKind::ApiKey
    } else {
        IdentityKind::Basic
    };
    Some(Reading {
        kind,
        // A name that is the password too is none to show.
        id: if is_key || user == password {
            None
        } else {
            text::name(user)
        },
        secret: Some(if is_key {
            // The same key sent in a field of its own has the same fingerprint.
            Cow::Owned(user.as_bytes().to_vec())
        } else {
            Cow::Borrowed(encoded)
        }),
        class: class.or_else(|| secret::vendor(password)),
        claims: None,
    })
}

/// The user stays the same while nonce and response change: there is no fingerprint.
fn digest<'a>(text: &str, rest: &'a [u8]) -> Option<Reading<'a>> {
    if let Some(user) = parameters::find(text, "username").filter(|user| !user.is_empty()) {
        let user = user.replace("\\\"", "\"").replace("\\\\", "\\");
        return Reading::public(IdentityKind::Digest, &user);
    }
    // RFC 7616 §3.4.4, RFC 8187.
    if let Some(extended) = parameters::find(text, "username*") {
        let encoded = extended.rsplit('\'').next().unwrap_or_default();
        return Reading::public(IdentityKind::Digest, &target::percent_decoded(encoded));
    }
    // A field that is not UTF-8.
    let user = text::decode(rest);
    Reading::public(IdentityKind::Digest, parameters::find(&user, "username")?)
}

fn signature<'a>(name: &[u8], text: &str, rest: &'a [u8]) -> Option<Reading<'a>> {
    let key = KEY_NAMES
        .iter()
        .find_map(|name| parameters::find(text, name))
        .filter(|key| !key.is_empty());
    let key = match key {
        Some(key) => Some(key.split('/').next().unwrap_or_default()),
        // `AWS key:signature`, `SharedKey account:signature`.
        None => text.split_once(':').map(|(key, _)| key),
    };
    match key {
        Some(key) => access_key(key),
        None if name.is_empty() => None,
        None => Some(Reading {
            kind: IdentityKind::AccessKey,
            id: None,
            secret: Some(Cow::Borrowed(rest)),
            class: None,
            claims: None,
        }),
    }
}

/// The public name of a key; the signature is another each time, so there is no fingerprint.
pub(super) fn access_key<'a>(key: &str) -> Option<Reading<'a>> {
    let id = text::printable(key.trim());
    if id.is_empty() {
        return None;
    }
    Some(Reading {
        kind: IdentityKind::AccessKey,
        class: secret::vendor(key),
        id: Some(id),
        secret: None,
        claims: None,
    })
}

/// `ApiKey` is base64 of `id:key` where Elasticsearch speaks, a bare key elsewhere.
fn api_key<'a>(rest: &'a [u8], scratch: &mut Vec<u8>) -> Option<Reading<'a>> {
    let pair = Zeroizing::new(
        BASE64
            .decode(rest)
            .ok()
            .or_else(|| BASE64URL.decode(rest).ok())
            .unwrap_or_default(),
    );
    let id = std::str::from_utf8(&pair)
        .ok()
        .and_then(|pair| pair.split_once(':'))
        .filter(|(id, key)| {
            id.len() >= 4 && key.len() >= 8 && pair.iter().all(u8::is_ascii_graphic)
        })
        .map(|(id, _)| text::printable(id));
    match id {
        Some(id) => Some(Reading {
            kind: IdentityKind::ApiKey,
            id: Some(id),
            secret: Some(Cow::Borrowed(rest)),
            class: None,
            claims: None,
        }),
        None => Reading::token(IdentityKind::ApiKey, rest, scratch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(value: &str) -> Option<(IdentityKind, Option<String>, bool)> {
        read(value.as_bytes(), &mut Vec::new()).map(|reading| {
            (
                reading.kind,
                reading.id.map(|id| id.to_string()),
                reading.secret.is_some(),
            )
        })
    }

    #[test]
    fn every_scheme_names_its_caller() {
        use IdentityKind::*;
        let basic = |text: &str| format!("Basic {}", BASE64.encode(text));
        let elastic = format!("ApiKey {}", BASE64.encode("key-id-1:s3cr3ts3cr3t"));
        for (value, kind, id, has_secret) in [
            (&*basic("ana:pa:ss"), Basic, Some("ana"), true),
            (&basic("ana"), Basic, Some("ana"), true),
            (&basic("hunter2:hunter2"), Basic, None, true),
            (
                &basic("sk_live_AbCdEf0123456789AbCdEf01:"),
                ApiKey,
                None,
                true,
            ),
            (
                &basic("a8f5f167f44f4964e6c998dee827110c:x"),
                ApiKey,
                None,
                true,
            ),
            ("Bearer opaque", Token, None, true),
            ("opaque", Token, None, true),
            ("SSWS 00abc", Token, None, true),
            ("Token token=\"abc\", nonce=\"x\"", Token, None, true),
            (&elastic, ApiKey, Some("key-id-1"), true),
            (
                "Digest username=\"a\\\"na\", nonce=\"n\"",
                Digest,
                Some("a\"na"),
                false,
            ),
            (
                "Digest username*=UTF-8''J%C3%A4s, nonce=\"n\"",
                Digest,
                Some("J\u{e4}s"),
                false,
            ),
            (
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=5d67",
                AccessKey,
                Some("AKIDEXAMPLE"),
                false,
            ),
            (
                "AWS4-ECDSA-P256-SHA256 Credential=AKIDEXAMPLE/20150830/iam/aws4_request,Signature=5d67",
                AccessKey,
                Some("AKIDEXAMPLE"),
                false,
            ),
            (
                "GOOG4-RSA-SHA256 Credential=bot@p.iam.gserviceaccount.com/2020/auto/storage/goog4_request",
                AccessKey,
                Some("bot@p.iam.gserviceaccount.com"),
                false,
            ),
            (
                "AWS AKIDEXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=",
                AccessKey,
                Some("AKIDEXAMPLE"),
                false,
            ),
            (
                "SharedKey account1:c2ln",
                AccessKey,
                Some("account1"),
                false,
            ),
            (
                "SharedAccessSignature sr=h&sig=c2ln&se=1&skn=policy",
                AccessKey,
                Some("policy"),
                false,
            ),
            (
                "Hawk id=\"dh37\", ts=\"1\", mac=\"6R4\"",
                AccessKey,
                Some("dh37"),
                false,
            ),
            (
                "Signature keyId=\"rsa-1\",algorithm=\"x\"",
                AccessKey,
                Some("rsa-1"),
                false,
            ),
            (
                "hmac username=\"bob\", algorithm=\"hmac-sha256\"",
                AccessKey,
                Some("bob"),
                false,
            ),
            (
                "OAuth oauth_consumer_key=\"ck\", oauth_token=\"s\"",
                AccessKey,
                Some("ck"),
                false,
            ),
        ] {
            let id = id.map(str::to_owned);
            assert_eq!(told(value), Some((kind, id, has_secret)), "{value}");
        }
        for value in [
            "",
            "Bearer",
            "Basic",
            "Basic !",
            "Negotiate YII=",
            "Digest nonce=\"n\"",
        ] {
            assert_eq!(told(value).and_then(|told| told.1), None, "{value}");
        }
    }
}
