//! Keys of those who read sealed records.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, Serializable as _};

use crate::audit::durable::read_small;
use crate::audit::error::AuditError;

/// The key agreement of this ciphersuite.
pub(super) type Agreement = X25519HkdfSha256;
/// Before a public key, and before a private one.
const PUBLIC: &str = "observer-reader+";
const SECRET: &str = "observer-reader-secret+";
/// A file has two lines.
const MOST: u64 = 4096;

/// Public key of a reader, written as `observer-reader+KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderKey(<Agreement as Kem>::PublicKey);

impl ReaderKey {
    /// Reads a key.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form =
            "is no key of a reader: it has the form observer-reader+KEY (`observer audit keygen`)";
        let key = text.trim().strip_prefix(PUBLIC).ok_or(form)?;
        let bytes = BASE64.decode(key).map_err(|_| form)?;
        <Agreement as Kem>::PublicKey::from_bytes(&bytes)
            .map(Self)
            .map_err(|_| form.to_owned())
    }

    pub(super) const fn key(&self) -> &<Agreement as Kem>::PublicKey {
        &self.0
    }
}

impl std::fmt::Display for ReaderKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{PUBLIC}{}", BASE64.encode(self.0.to_bytes()))
    }
}

/// Private key of a reader.
pub struct ReaderSecret(<Agreement as Kem>::PrivateKey);

// Never the key.
impl std::fmt::Debug for ReaderSecret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ReaderSecret")
    }
}

impl ReaderSecret {
    /// Makes a key.
    pub fn generate() -> Self {
        Self(Agreement::gen_keypair().0)
    }

    /// The public half.
    pub fn public(&self) -> ReaderKey {
        ReaderKey(Agreement::sk_to_pk(&self.0))
    }

    /// The text of a file for [`ReaderSecret::read`]. Keep it secret.
    pub fn to_file(&self) -> String {
        format!(
            "# {}\n{SECRET}{}\n",
            self.public(),
            BASE64.encode(self.0.to_bytes())
        )
    }

    /// Reads the key in a file.
    ///
    /// # Errors
    /// If it cannot be read or holds none.
    pub fn read(path: &Path) -> Result<Self, AuditError> {
        let bytes = read_small(path, MOST)?.ok_or_else(|| AuditError::bad(path, "is missing"))?;
        std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.lines().find_map(|line| line.strip_prefix(SECRET)))
            .and_then(|key| BASE64.decode(key.trim()).ok())
            .and_then(|bytes| <Agreement as Kem>::PrivateKey::from_bytes(&bytes).ok())
            .map(Self)
            .ok_or_else(|| {
                AuditError::bad(
                    path,
                    "holds no private key of a reader (`observer audit keygen`)",
                )
            })
    }

    pub(super) const fn key(&self) -> &<Agreement as Kem>::PrivateKey {
        &self.0
    }
}
