//! DPoP proofs (RFC 9449): the thumbprint of the client's public key (RFC 7638).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::jwt::BASE64URL;

/// Longest header of a proof: that of a 4096-bit RSA key has 800 bytes.
const LONGEST: usize = 4096;

#[derive(Deserialize)]
struct Head {
    jwk: Jwk,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
    n: String,
    e: String,
}

/// The thumbprint of the key in a proof, `jkt`.
pub(super) fn thumbprint(proof: &[u8]) -> Option<String> {
    let head = proof.split(|byte| *byte == b'.').next()?;
    if head.len() > LONGEST {
        return None;
    }
    let head = BASE64URL.decode(head).ok()?;
    let Head { jwk } = serde_json::from_slice(&head).ok()?;
    let Jwk {
        kty,
        crv,
        x,
        y,
        n,
        e,
    } = &jwk;
    // The members that each kind requires, in the order of their names (RFC 7638 §3.2).
    let members: &[(&str, &String)] = match kty.as_str() {
        "EC" => &[("crv", crv), ("kty", kty), ("x", x), ("y", y)],
        "OKP" => &[("crv", crv), ("kty", kty), ("x", x)],
        "RSA" => &[("e", e), ("kty", kty), ("n", n)],
        _ => return None,
    };
    let mut hash = Sha256::new();
    for (at, (name, value)) in members.iter().enumerate() {
        // Nothing in them has to be escaped.
        if value.is_empty()
            || !value
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return None;
        }
        let open = if at == 0 { "{" } else { "," };
        hash.update(format!("{open}\"{name}\":\"{value}\""));
    }
    hash.update("}");
    Some(URL_SAFE_NO_PAD.encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        // RFC 7638 §3.1.
        let head = r#"{"typ":"dpop+jwt","alg":"RS256","jwk":{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}}"#;
        let proof = format!("{}.e30.c2ln", BASE64URL.encode(head));
        assert_eq!(
            thumbprint(proof.as_bytes()).as_deref(),
            Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
        );
        for other in ["", "e30.e30.x", "eyJqd2siOnt9fQ.e30.x"] {
            assert_eq!(thumbprint(other.as_bytes()), None);
        }
    }
}
