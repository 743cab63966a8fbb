//! Public keys as C2SP writes them (signed-note, verifier keys; Ed25519).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::merkle::Hash;

/// Signature types of Ed25519 in a signed note: of a log, and of a witness (tlog-cosignature).
const ED25519: u8 = 1;
const COSIGNATURE: u8 = 4;

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Checkpoints of its log.
    Log,
    /// That it saw the checkpoint of a log.
    Witness,
}

impl Purpose {
    const fn byte(self) -> u8 {
        match self {
            Self::Log => ED25519,
            Self::Witness => COSIGNATURE,
        }
    }
}

/// A public key with the name it signs under, written as `name+id+key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vkey {
    name: String,
    key: VerifyingKey,
    purpose: Purpose,
}

impl Vkey {
    /// The public half of `key` under `name`.
    pub fn new(name: &str, key: &SigningKey) -> Self {
        Self {
            name: name.to_owned(),
            key: key.verifying_key(),
            purpose: Purpose::Log,
        }
    }

    /// The same of the witness `name`.
    pub(super) fn of_witness(name: &str, key: &SigningKey) -> Self {
        Self {
            purpose: Purpose::Witness,
            ..Self::new(name, key)
        }
    }

    /// Reads `name+id+key`, the key of a log.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text, Purpose::Log)
    }

    /// Reads the key of a witness.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse_witness(text: &str) -> Result<Self, String> {
        Self::read(text, Purpose::Witness)
    }

    fn read(text: &str, purpose: Purpose) -> Result<Self, String> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("is no verifier key: it has the form NAME+ID+KEY".to_owned());
        };
        let bytes = BASE64
            .decode(key)
            .map_err(|_| "has a key that is not base64".to_owned())?;
        let key = match (bytes.split_first(), purpose) {
            (Some((&first, key)), _) if first == purpose.byte() => key,
            (Some((&COSIGNATURE, _)), Purpose::Log) => {
                return Err("is the key of a witness, not of a log".to_owned());
            }
            (Some((&ED25519, _)), Purpose::Witness) => {
                return Err("is the key of a log, not of a witness".to_owned());
            }
            _ => return Err("has a key that is not Ed25519".to_owned()),
        };
        let key: [u8; 32] = key
            .try_into()
            .map_err(|_| "has a key of the wrong length".to_owned())?;
        let key = VerifyingKey::from_bytes(&key)
            .map_err(|_| "has a key that is no point of the curve".to_owned())?;
        let vkey = Self {
            name: name.to_owned(),
            key,
            purpose,
        };
        if !valid_name(name) || format!("{:08x}", vkey.id()) != id {
            return Err("has an id that does not fit its name and key".to_owned());
        }
        Ok(vkey)
    }

    /// The name, which is the origin of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub(super) const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Whether it signed `message`.
    pub(super) fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        self.key.verify_strict(message, signature).is_ok()
    }

    pub(super) fn id(&self) -> u32 {
        let mut hasher = Sha256::new();
        hasher.update(self.name.as_bytes());
        hasher.update([b'\n', self.purpose.byte()]);
        hasher.update(self.key.as_bytes());
        let hash: Hash = hasher.finalize().into();
        hash.first_chunk().map_or(0, |id| u32::from_be_bytes(*id))
    }
}

impl std::fmt::Display for Vkey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut key = vec![self.purpose.byte()];
        key.extend_from_slice(self.key.as_bytes());
        write!(
            out,
            "{}+{:08x}+{}",
            self.name,
            self.id(),
            BASE64.encode(key)
        )
    }
}

/// A name that a signed note can carry: no white space, no plus, not empty.
pub(super) fn valid_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}
