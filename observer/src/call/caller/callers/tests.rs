//! Callers that requests name.

use super::*;
use crate::call::FingerprintKey;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

fn callers() -> Callers {
    Callers::new(Fingerprints::new(FingerprintKey::new(&[7; 32]), None))
}

fn read(fields: &[(&str, &str)], query: Option<&str>) -> (AuthScheme, Vec<Arc<Identity>>) {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| Header {
            name,
            value: value.as_bytes(),
        })
        .collect();
    let mut callers = callers();
    let caller = callers.read(&fields, query);
    // Remembered or read: the same.
    assert_eq!(callers.read(&fields, query).identities, caller.identities);
    (caller.scheme, caller.identities)
}

#[test]
fn kinds_of_credentials_are_told() {
    for (name, value, expected) in [
        ("Authorization", "Basic eA==", AuthScheme::Basic),
        ("authorization", "bearer t", AuthScheme::Bearer),
        ("Authorization", "DPoP t", AuthScheme::Dpop),
        ("Authorization", "Digest username=\"u\"", AuthScheme::Digest),
        ("Authorization", "NTLM T", AuthScheme::Negotiate),
        (
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=c",
            AuthScheme::SigV4,
        ),
        ("Authorization", "SharedKey a:b", AuthScheme::Signature),
        ("Authorization", "t0k3n", AuthScheme::Token),
        ("Authorization", "Mutual sid=1", AuthScheme::Other),
        ("Authorization", "", AuthScheme::None),
        ("Proxy-Authorization", "Basic eA==", AuthScheme::Proxy),
        ("X-API-Key", "k", AuthScheme::ApiKey),
        ("X-CSRF-Token", "k", AuthScheme::None),
        ("Signature-Input", "s=();keyid=\"k\"", AuthScheme::Signature),
        (
            "Sec-WebSocket-Protocol",
            "bearer, t0k3n-abc",
            AuthScheme::Bearer,
        ),
        ("Sec-WebSocket-Protocol", "graphql-ws", AuthScheme::None),
        ("Cookie", "theme=dark; PHPSESSID=x", AuthScheme::Cookie),
        ("Cookie", "theme=session", AuthScheme::None),
    ] {
        assert_eq!(read(&[(name, value)], None).0, expected, "{name}: {value}");
    }
    assert_eq!(read(&[], Some("api_key=k")).0, AuthScheme::ApiKey);
}

#[test]
fn what_is_meant_for_the_server_counts_first() {
    let all = [
        ("Cookie", "sid=1"),
        ("Proxy-Authorization", "Basic YTpi"),
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
        assert_eq!(read(&all[..count], None).0, expected[count - 1]);
    }
}

#[test]
fn every_name_is_told_and_the_best_comes_first() {
    let jwt = format!(
        "Bearer {}.{}.c2ln",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#),
        URL_SAFE_NO_PAD.encode(r#"{"iss":"https://id","sub":"ana"}"#)
    );
    let (_, names) = read(
        &[
            (
                "Proxy-Authorization",
                &format!("Basic {}", STANDARD.encode("out:pw")),
            ),
            ("Cookie", "sid=5e55"),
            ("X-API-Key", "ghp_od7gNqWu5FkSCkGBAca9xQZw8Pozq5sTxkwQ"),
            ("Authorization", &jwt),
        ],
        Some("a=b"),
    );
    let told: Vec<_> = names
        .iter()
        .map(|name| (name.kind.as_str(), &*name.source, name.class))
        .collect();
    assert_eq!(
        told,
        [
            ("jwt", "header:authorization", None),
            ("api_key", "header:x-api-key", Some("github")),
            ("session", "cookie:sid", None),
            ("basic", "header:proxy-authorization", None),
        ]
    );
    assert_eq!(&*names[0].id, "ana");
    assert_eq!(&*names[3].id, "out");
    assert_eq!(Some(&names[1].id), names[1].fingerprint.as_ref());
    assert!(names.iter().all(|name| !name.verified));
}

#[test]
fn no_secret_is_in_what_is_told_or_remembered() {
    let secret = "s3cr3t-0f-4-c4ll3r";
    let fields = [
        (
            "Authorization",
            format!("Basic {}", STANDARD.encode(format!("ana:{secret}"))),
        ),
        ("Proxy-Authorization", format!("Bearer {secret}")),
        ("X-Api-Key", secret.to_owned()),
        ("Cookie", format!("sid={secret}")),
    ];
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| Header {
            name,
            value: value.as_bytes(),
        })
        .collect();
    let mut callers = callers();
    let names = callers
        .read(&fields, Some(&format!("api_key={secret}")))
        .identities;
    assert_eq!(names.len(), 5);
    let said = format!("{names:?}{callers:?}");
    assert!(!said.contains(secret) && !said.contains(&STANDARD.encode(secret)[..12]));
    assert!(said.contains("\"ana\""));
}

#[test]
fn a_flood_of_credentials_gives_few_names() {
    let value = "k".repeat(64 << 10);
    let names: Vec<String> = (0..30).map(|n| format!("x-{n}-api-key")).collect();
    let fields: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(read(&fields, None).1.len(), MOST);
}
