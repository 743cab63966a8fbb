//! JSON Web Tokens (RFC 7519) in compact form (RFC 7515 §3.1). What one claims is read, nothing is
//! verified: the agent has no keys.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroize as _;

use super::text;
use crate::call::Claims;

/// Longest token read, bytes. Servers take heads of 8 to 64 KiB; a longer one is a token that says
/// nothing of itself.
const LONGEST: usize = 16 << 10;
/// Bytes that decoding may write behind its result: three for four characters, twice.
const GUESSED: usize = 8;
/// Most audiences or scopes kept of a token.
const MOST_LISTED: usize = 32;

/// What some issuers leave padded, or with bits over.
pub(super) const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
/// The same for base64.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What a token says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// Who it was given to.
    pub principal: Option<std::sync::Arc<str>>,
    pub claims: Claims,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    alg: Text<'a>,
    #[serde(borrow, default)]
    kid: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Payload<'a> {
    #[serde(borrow)]
    iss: Text<'a>,
    #[serde(borrow)]
    sub: Text<'a>,
    #[serde(borrow)]
    aud: Texts<'a>,
    #[serde(borrow)]
    client_id: Text<'a>,
    #[serde(borrow)]
    azp: Text<'a>,
    #[serde(borrow)]
    cid: Text<'a>,
    #[serde(borrow)]
    appid: Text<'a>,
    #[serde(borrow)]
    scope: Texts<'a>,
    #[serde(borrow)]
    scp: Texts<'a>,
    #[serde(borrow)]
    roles: Texts<'a>,
    #[serde(borrow)]
    user_id: Text<'a>,
    #[serde(borrow)]
    uid: Text<'a>,
    #[serde(borrow)]
    username: Text<'a>,
    #[serde(borrow)]
    preferred_username: Text<'a>,
    #[serde(borrow)]
    email: Text<'a>,
    exp: Date,
    iat: Date,
}

/// Reads a token; `None` if it is none. `scratch` is wiped.
pub(super) fn read(token: &[u8], scratch: &mut Vec<u8>) -> Option<Token> {
    // Nearly all begin so: an object whose first key is quoted. Blanks may come before it.
    if token.len() > LONGEST || !matches!(token.first(), Some(b'e')) {
        return None;
    }
    let mut parts = token.split(|byte| *byte == b'.');
    let (head, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || payload.is_empty() {
        return None;
    }
    scratch.clear();
    let read = parse(head, payload, scratch);
    // Only what was used: behind it nothing was written since it was wiped last, apart from the few
    // bytes by which decoding guesses its length too high.
    scratch.resize(scratch.len() + GUESSED, 0);
    scratch.as_mut_slice().zeroize();
    scratch.clear();
    read
}

fn parse(head: &[u8], payload: &[u8], scratch: &mut Vec<u8>) -> Option<Token> {
    BASE64URL.decode_vec(head, scratch).ok()?;
    let end = scratch.len();
    BASE64URL.decode_vec(payload, scratch).ok()?;
    let (head, payload) = scratch.split_at_checked(end)?;
    let head: Head<'_> = serde_json::from_slice(head).ok()?;
    let payload: Payload<'_> = serde_json::from_slice(payload).ok()?;
    head.alg.0.as_ref()?;
    Some(told(head, payload))
}

fn told(head: Head<'_>, payload: Payload<'_>) -> Token {
    let Head { alg, kid } = head;
    let Payload {
        iss,
        sub,
        aud,
        client_id,
        azp,
        cid,
        appid,
        scope,
        scp,
        roles,
        user_id,
        uid,
        username,
        preferred_username,
        email,
        exp,
        iat,
    } = payload;
    let keep = |text: Text<'_>| text.0.map(|text| text::boxed(&text));
    let subject = [sub, user_id, uid, username, preferred_username, email]
        .into_iter()
        .find_map(keep);
    let client = [client_id, azp, cid, appid].into_iter().find_map(keep);
    let issuer = keep(iss);
    let scopes = [scope, scp, roles]
        .into_iter()
        .find(|texts| !texts.0.is_empty())
        .unwrap_or_default();
    let principal = [&subject, &client, &issuer]
        .into_iter()
        .find_map(|name| name.as_deref())
        .map(Into::into);
    Token {
        principal,
        claims: Claims {
            issuer,
            subject,
            client,
            audience: kept(aud.0.iter().map(|text| &**text)),
            scopes: kept(scopes.0.iter().flat_map(|text| text.split_whitespace())),
            expires_s: exp.0,
            issued_s: iat.0,
            algorithm: keep(alg),
            key_id: keep(kid),
        },
    }
}

fn kept<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<Box<str>> {
    texts.take(MOST_LISTED).map(text::boxed).collect()
}

/// A string, or a number or a truth value as text; anything else is passed over.
#[derive(Default)]
struct Text<'a>(Option<Cow<'a, str>>);

/// A string, or a list of them.
#[derive(Default)]
struct Texts<'a>(Vec<Cow<'a, str>>);

/// Seconds since 1970, of which fractions are dropped (RFC 7519 §2, NumericDate).
#[derive(Default)]
struct Date(Option<i64>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text((!text.is_empty()).then_some(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(
            (!text.is_empty()).then(|| Cow::Owned(text.to_owned())),
        ))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Owned(number.to_string()))))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Owned(number.to_string()))))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Owned(number.to_string()))))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Text(None))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Lists;
        impl<'de> Visitor<'de> for Lists {
            type Value = Texts<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a string or a list of strings")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Texts(vec![Cow::Borrowed(text)]))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Texts(vec![Cow::Owned(text.to_owned())]))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Texts::default())
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Texts::default())
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Texts::default())
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Texts::default())
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Texts::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut texts = Vec::new();
                while let Some(Text(text)) = list.next_element()? {
                    if texts.len() < MOST_LISTED {
                        texts.extend(text);
                    }
                }
                Ok(Texts(texts))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Texts::default())
            }
        }
        from.deserialize_any(Lists)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(from)?;
        // A negative or an endless date is none.
        let seconds = text.and_then(|text| text.split('.').next()?.parse().ok());
        Ok(Self(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn token(head: &str, payload: &str) -> String {
        format!(
            "{}.{}.c2ln",
            BASE64URL.encode(head),
            BASE64URL.encode(payload)
        )
    }

    fn principal(payload: &str) -> Option<String> {
        let token = token(r#"{"alg":"none"}"#, payload);
        read(token.as_bytes(), &mut Vec::new())?
            .principal
            .map(|name| name.to_string())
    }

    #[test]
    fn claims_of_every_form_are_read() {
        let token = token(
            r#"{"typ":"JWT","alg":"RS256","kid":"k1"}"#,
            r#"{"iss":"https://id.example/","sub":42,"azp":"web","aud":["a","b"],
                "scope":"read write","exp":1760000000.9,"iat":1759999999,"act":{"sub":"x"}}"#,
        );
        let Token { principal, claims } = read(token.as_bytes(), &mut Vec::new()).unwrap();
        assert_eq!(principal.as_deref(), Some("42"));
        assert_eq!(
            claims,
            Claims {
                issuer: Some("https://id.example/".into()),
                subject: Some("42".into()),
                client: Some("web".into()),
                audience: vec!["a".into(), "b".into()],
                scopes: vec!["read".into(), "write".into()],
                expires_s: Some(1_760_000_000),
                issued_s: Some(1_759_999_999),
                algorithm: Some("RS256".into()),
                key_id: Some("k1".into()),
            }
        );
    }

    #[test]
    fn the_principal_is_subject_then_client_then_issuer() {
        let all = r#"{"sub":"s","client_id":"c","iss":"i","user_id":1}"#;
        assert_eq!(principal(all).as_deref(), Some("s"));
        assert_eq!(
            principal(r#"{"client_id":"c","user_id":1}"#).as_deref(),
            Some("1")
        );
        assert_eq!(
            principal(r#"{"cid":"c","iss":"i","sub":null}"#).as_deref(),
            Some("c")
        );
        assert_eq!(principal(r#"{"iss":"i"}"#).as_deref(), Some("i"));
        assert_eq!(principal(r#"{"role":"anon"}"#), None);
    }

    #[test]
    fn what_is_no_token_or_says_two_things_is_not_read() {
        let mut scratch = Vec::new();
        for text in ["", "e", "e.e.e", "ey.ey.ey", "eyJ9.e30.x.y", "eyJ9..x"] {
            assert_eq!(read(text.as_bytes(), &mut scratch), None, "{text}");
        }
        assert_eq!(principal(r#"{"sub":"a","sub":"b"}"#), None);
        let deep = "[".repeat(100_000);
        assert_eq!(principal(&format!(r#"{{"x":{deep}"#)), None);
        assert_eq!(read(token("{}", "{}").as_bytes(), &mut scratch), None);
        assert!(scratch.is_empty());
    }

    proptest! {
        #[test]
        fn any_payload_is_survived(head in any::<Vec<u8>>(), payload in any::<Vec<u8>>()) {
            let token = format!("e{}.{}.", BASE64URL.encode(head), BASE64URL.encode(payload));
            let _ = read(token.as_bytes(), &mut Vec::new());
        }
    }
}
