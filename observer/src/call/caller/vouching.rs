//! Fields in which a proxy in front says who calls: addresses, users, certificates. They count if
//! their peer is trusted, which is decided elsewhere.

use std::borrow::Cow;

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::carrier::Carrier;
use super::jwt::BASE64;
use super::reading::Reading;
use super::{parameters, text};
use crate::call::IdentityKind;

/// Longest certificate whose digest is made, bytes of base64.
const LONGEST_CERTIFICATE: usize = 16 << 10;
/// Longest distinguished name, escapes undone, bytes.
const LONGEST_NAME: usize = 2048;
/// Elements of a list that are looked at from its end.
const MOST_ELEMENTS: usize = 32;

/// How a proxy writes down the certificate of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certificate {
    /// Envoy's list: `By=…;Hash=…;Subject="…";URI=…`.
    Forwarded,
    /// Its subject.
    Subject,
    /// Its subject among other things, percent-encoded: `Subject="CN=…"`.
    Info,
    /// All of it: PEM, percent-encoded PEM, base64, or as RFC 9440 has it.
    Whole,
    /// Whether it could be verified.
    Result,
}

use Certificate::{Forwarded, Info, Result as Verified, Subject, Whole};

const USER: Carrier = Carrier::User;

/// Fields that name one client, with their rank: those that the nearest proxy sets come first,
/// those that only a certain provider sets, and that others let through, last.
const fn client(rank: u8) -> Carrier {
    Carrier::Client(rank)
}

const fn certificate(form: Certificate) -> Carrier {
    Carrier::Certificate(form)
}

/// What the field of this name vouches for. By length, so that most names are told by one look.
pub(super) fn of(name: &str) -> Option<Carrier> {
    let known: &[(&str, Carrier)] = match name.len() {
        9 => &[("x-real-ip", client(0)), ("forwarded", Carrier::Forwarded)],
        10 => &[("x-ssl-cert", certificate(Whole))],
        11 => &[
            ("x-client-ip", client(2)),
            ("remote-user", USER),
            ("client-cert", certificate(Whole)),
            ("x-client-dn", certificate(Subject)),
        ],
        13 => &[
            ("fly-client-ip", client(6)),
            ("x-remote-user", USER),
            ("x-consumer-id", USER),
            ("x-client-cert", certificate(Whole)),
        ],
        14 => &[("true-client-ip", client(7)), ("x-webauth-user", USER)],
        15 => &[
            ("x-forwarded-for", Carrier::ForwardedFor),
            ("ssl-client-cert", certificate(Whole)),
            ("ssl-client-s-dn", certificate(Subject)),
            ("x-ssl-client-dn", certificate(Subject)),
            ("x-ssl-client-cn", certificate(Subject)),
        ],
        16 => &[
            ("x-azure-clientip", client(5)),
            ("x-azure-socketip", client(4)),
            ("fastly-client-ip", client(6)),
            ("cf-connecting-ip", client(8)),
            ("x-forwarded-user", USER),
            ("x-arr-clientcert", certificate(Whole)),
        ],
        17 => &[
            ("x-forwarded-email", USER),
            ("x-ssl-client-cert", certificate(Whole)),
            ("x-ssl-client-s-dn", certificate(Subject)),
            ("ssl-client-verify", certificate(Verified)),
        ],
        18 => &[("cf-connecting-ipv6", client(8))],
        19 => &[
            ("x-cluster-client-ip", client(3)),
            ("x-appengine-user-ip", client(6)),
            ("x-consumer-username", USER),
            ("x-auth-request-user", USER),
            ("x-client-subject-dn", certificate(Subject)),
            ("x-ssl-client-verify", certificate(Verified)),
        ],
        20 => &[
            ("x-consumer-custom-id", USER),
            ("x-auth-request-email", USER),
            ("x-authenticated-user", USER),
            ("x-amzn-oidc-identity", USER),
            ("tailscale-user-login", USER),
            ("x-ssl-client-subject", certificate(Subject)),
        ],
        21 => &[("ssl-client-subject-dn", certificate(Subject))],
        22 => &[
            ("x-authenticated-userid", USER),
            ("x-amzn-mtls-clientcert", certificate(Whole)),
        ],
        23 => &[
            ("x-credential-identifier", USER),
            ("x-forwarded-client-cert", certificate(Forwarded)),
            ("x-ssl-client-subject-dn", certificate(Subject)),
        ],
        24 => &[("x-ms-client-principal-id", USER)],
        26 => &[("x-ms-client-principal-name", USER)],
        27 => &[
            ("x-forwarded-tls-client-cert", certificate(Whole)),
            ("x-amzn-mtls-clientcert-leaf", certificate(Whole)),
        ],
        28 => &[("x-goog-authenticated-user-id", USER)],
        30 => &[
            ("x-forwarded-preferred-username", USER),
            ("x-amzn-mtls-clientcert-subject", certificate(Subject)),
        ],
        31 => &[("x-goog-authenticated-user-email", USER)],
        32 => &[("x-forwarded-tls-client-cert-info", certificate(Info))],
        33 => &[("x-auth-request-preferred-username", USER)],
        34 => &[("cf-access-authenticated-user-email", USER)],
        _ => return None,
    };
    let found = known
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, carrier)| *carrier)
}

/// Reads the user that a gateway names.
pub(super) fn user<'a>(value: &'a [u8], scratch: &mut Vec<u8>) -> Option<Reading<'a>> {
    let value = std::str::from_utf8(value).ok()?.trim();
    // `accounts.google.com:ana@example.org`: who vouches, then whom for.
    let name = match value.rsplit_once(':') {
        Some((issuer, name)) if issuer.contains('.') && !issuer.contains(['/', ' ']) => name,
        _ => value,
    };
    if let Some(token) = Reading::token(IdentityKind::Gateway, value.as_bytes(), scratch)
        && token.kind == IdentityKind::Jwt
    {
        return Some(token);
    }
    text::name(name).map(|id| Reading::known(IdentityKind::Gateway, id))
}

/// Reads the name in a certificate, or the digest of a whole one.
pub(super) fn subject<'a>(form: Certificate, value: &[u8]) -> Option<Reading<'a>> {
    let value = std::str::from_utf8(value).ok()?.trim();
    let id = match form {
        Forwarded => forwarded(value)?,
        Subject => text::name(&unescaped(value))?,
        Info => {
            let info = unescaped(value);
            let subject = parameters::find(&info, "subject")?;
            text::name(subject)?
        }
        Whole => digest(value)?,
        Verified => return None,
    };
    Some(Reading::known(IdentityKind::Certificate, id))
}

/// The proxy says that the certificate could not be verified, or that there was none.
pub(super) fn denies(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    !value.eq_ignore_ascii_case(b"success") && value != b"0"
}

/// The nearest element, which is of the peer's own client: its SPIFFE id, else its subject, its
/// name, or the digest of the certificate. The certificate itself is passed over.
fn forwarded(value: &str) -> Option<std::sync::Arc<str>> {
    let nearest = value
        .rsplit(',')
        .take(MOST_ELEMENTS)
        .scan(value.len(), |start, part| {
            // A comma inside of a quoted subject is no end of an element.
            *start = start.saturating_sub(part.len());
            let element = value.get(*start..);
            *start = start.saturating_sub(1);
            element
        })
        .find(|element| begins_element(element))
        .unwrap_or(value);
    ["uri", "subject", "dns", "hash"]
        .into_iter()
        .find_map(|key| parameters::find(nearest, key).filter(|value| !value.is_empty()))
        .and_then(|name| text::name(name).or_else(|| is_hex(name).then(|| text::printable(name))))
}

fn begins_element(text: &str) -> bool {
    let key = text.trim_start().split('=').next().unwrap_or_default();
    ["By", "Hash", "Cert", "Chain", "Subject", "URI", "DNS"].contains(&key)
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// SHA-256 of a certificate. It is public; its digest names it as well as any of its names.
fn digest(value: &str) -> Option<std::sync::Arc<str>> {
    if value.len() > LONGEST_CERTIFICATE {
        return None;
    }
    let text = if value.contains('%') {
        Cow::Owned(unescaped_to(value, LONGEST_CERTIFICATE))
    } else {
        Cow::Borrowed(value)
    };
    let inner = text.split("-----").find(|part| {
        let part = part.trim();
        !part.is_empty() && !part.starts_with("BEGIN") && !part.starts_with("END")
    })?;
    // The first of a chain; RFC 9440 puts it between colons.
    let first = inner.split(',').next().unwrap_or(inner);
    let packed: Vec<u8> = first
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b':' | b'\\'))
        .collect();
    let der = BASE64.decode(packed).ok()?;
    // A sequence (X.690 §8.9), as every certificate is (RFC 5280 §4.1).
    if der.first() != Some(&0x30) {
        return None;
    }
    let mut id = String::from("sha256:");
    for byte in Sha256::digest(&der) {
        use std::fmt::Write as _;
        let _ = write!(id, "{byte:02x}");
    }
    Some(id.into())
}

fn unescaped(value: &str) -> Cow<'_, str> {
    if value.contains('%') {
        Cow::Owned(unescaped_to(value, LONGEST_NAME))
    } else {
        Cow::Borrowed(value)
    }
}

/// Percent-encoding undone (RFC 3986 §2.1); what is longer is cut.
fn unescaped_to(value: &str, most: usize) -> String {
    let mut out = Vec::with_capacity(value.len().min(most));
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        if out.len() >= most {
            break;
        }
        let mut ahead = bytes.clone();
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                bytes = ahead;
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(form: Certificate, value: &str) -> Option<String> {
        subject(form, value.as_bytes())?.id.map(|id| id.to_string())
    }

    #[test]
    fn certificates_have_a_name_in_every_form() {
        for (form, value, expected) in [
            (
                Forwarded,
                "By=spiffe://a/b;Hash=00;Subject=\"CN=one,O=x\";URI=spiffe://mesh/ns/shop/sa/web",
                Some("spiffe://mesh/ns/shop/sa/web"),
            ),
            (
                Forwarded,
                "By=x;URI=spiffe://far/one,By=y;Subject=\"/C=DE/CN=near, and more\"",
                Some("/C=DE/CN=near, and more"),
            ),
            (
                Forwarded,
                "By=x;Hash=;DNS=shop.example",
                Some("shop.example"),
            ),
            (Forwarded, "", None),
            (Subject, "CN=ana,O=shop", Some("CN=ana,O=shop")),
            (
                Info,
                "Subject%3D%22CN%3Dana%2COU%3Dx%22",
                Some("CN=ana,OU=x"),
            ),
            (Whole, "not base64!", None),
            (Verified, "SUCCESS", None),
        ] {
            assert_eq!(name(form, value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn all_ways_to_write_a_whole_certificate_give_one_digest() {
        let der = [[0x30, 0x03, 0x02, 0x01, 0x05].as_slice(), &[7; 60]].concat();
        let text = BASE64.encode(&der);
        let lines = format!("{}\n{}", &text[..40], &text[40..]);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n");
        let escaped = pem
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D")
            .replace('\n', "%0A");
        let first = name(Whole, &text);
        assert!(
            first
                .as_deref()
                .is_some_and(|id| id.starts_with("sha256:") && id.len() == 71)
        );
        for form in [format!(":{text}:"), pem, escaped, format!("{text},{text}")] {
            assert_eq!(name(Whole, &form), first, "{form}");
        }
    }

    #[test]
    fn a_user_is_named_without_who_vouches() {
        let name = |value: &str| user(value.as_bytes(), &mut Vec::new())?.id;
        assert_eq!(name("ana").as_deref(), Some("ana"));
        assert_eq!(
            name("accounts.google.com:ana@shop.example").as_deref(),
            Some("ana@shop.example")
        );
        assert_eq!(name("  "), None);
    }

    #[test]
    fn the_fields_are_known_by_their_names() {
        assert_eq!(of("X-Forwarded-For"), Some(Carrier::ForwardedFor));
        assert_eq!(of("X-Real-IP"), Some(Carrier::Client(0)));
        assert_eq!(of("Remote-User"), Some(Carrier::User));
        assert_eq!(
            of("X-SSL-Client-Verify"),
            Some(Carrier::Certificate(Verified))
        );
        for other in [
            "X-Forwarded-Host",
            "Accept",
            "Content-Length",
            "",
            "X-Real-Ip2",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
