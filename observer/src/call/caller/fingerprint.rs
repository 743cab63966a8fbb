//! Keyed fingerprints: the same secret gives the same text, and the text does not give the secret.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Bytes of a fingerprint that are kept: no two of 2^64 secrets share them by chance.
const KEPT: usize = 16;
/// Sets these fingerprints apart from any other use of the key.
const DOMAIN: &[u8] = b"observer credential\0";

/// A key ready for use: the states of HMAC-SHA-256 (RFC 2104) after the key itself, which is not
/// kept.
#[derive(Clone)]
pub struct FingerprintKey {
    /// Four hex digits that tell which key made a fingerprint.
    name: Arc<str>,
    start: Hmac<Sha256>,
}

// Never the key.
impl std::fmt::Debug for FingerprintKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("FingerprintKey")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl FingerprintKey {
    /// Takes 32 random bytes, which the caller wipes.
    pub fn new(key: &[u8; 32]) -> Self {
        let digest = Sha256::new()
            .chain_update(b"observer key name\0")
            .chain_update(key)
            .finalize();
        let [first, second, ..]: [u8; 32] = digest.into();
        // Any length of key is taken, so the other case does not come.
        let start = Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
        Self {
            name: format!("{first:02x}{second:02x}").into(),
            start: start.chain_update(DOMAIN),
        }
    }

    fn of(&self, kind: &str, secret: &[u8]) -> Arc<str> {
        let Self { name, start } = self;
        let code = start
            .clone()
            .chain_update(kind.as_bytes())
            .chain_update(b"\0")
            .chain_update(secret)
            .finalize()
            .into_bytes();
        let mut text = String::with_capacity(name.len() + 1 + KEPT * 4 / 3 + 1);
        text.push_str(name);
        text.push(':');
        URL_SAFE_NO_PAD.encode_string(code.get(..KEPT).unwrap_or_default(), &mut text);
        text.into()
    }
}

/// The key in force, and for some days after it was replaced the one before.
#[derive(Clone, Debug)]
pub struct Fingerprints {
    current: FingerprintKey,
    earlier: Option<FingerprintKey>,
}

impl Fingerprints {
    /// Fingerprints under `current`, and under `earlier` too if it is given.
    pub fn new(current: FingerprintKey, earlier: Option<FingerprintKey>) -> Self {
        Self { current, earlier }
    }

    /// Fingerprints under a key that nobody will know: two runs cannot be compared.
    pub fn of_this_run() -> Self {
        let mut key = Zeroizing::new([0; 32]);
        if getrandom::fill(&mut *key).is_err() {
            // No random bytes on this host: the hasher of the standard library has some.
            use std::hash::{BuildHasher as _, RandomState};
            for chunk in key.chunks_mut(8) {
                chunk.copy_from_slice(&RandomState::new().hash_one(0).to_ne_bytes());
            }
        }
        Self::new(FingerprintKey::new(&key), None)
    }

    /// The fingerprint of a secret of this kind under the key in force, and under the one before.
    pub(super) fn of(&self, kind: &str, secret: &[u8]) -> (Arc<str>, Option<Arc<str>>) {
        let Self { current, earlier } = self;
        (
            current.of(kind, secret),
            earlier.as_ref().map(|key| key.of(kind, secret)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_depends_on_key_kind_and_secret_and_names_its_key() {
        let key = |byte: u8| FingerprintKey::new(&[byte; 32]);
        let one = Fingerprints::new(key(1), None);
        let (text, earlier) = one.of("token", b"s3cr3t");
        assert_eq!(earlier, None);
        assert_eq!(text.len(), 4 + 1 + 22);
        assert_eq!(one.of("token", b"s3cr3t").0, text);
        assert_ne!(one.of("api_key", b"s3cr3t").0, text);
        assert_ne!(one.of("token", b"s3cr3T").0, text);
        let two = Fingerprints::new(key(2), Some(key(1)));
        assert_ne!(two.of("token", b"s3cr3t").0, text);
        assert_eq!(two.of("token", b"s3cr3t").1, Some(text));
        assert!(!format!("{two:?}").contains("start"));
    }

    #[test]
    fn the_code_is_hmac_sha_256() {
        // HMAC-SHA-256 of "observer credential\0token\0s3cr3t" with 32 bytes of 1, from Python's
        // hmac module.
        let key = FingerprintKey::new(&[1; 32]);
        let text = key.of("token", b"s3cr3t");
        assert_eq!(
            text.split_once(':').map(|(_, code)| code),
            Some("AUPuKxoFA3nvHL4b_DlHPw")
        );
    }
}
