//! Keeps private keys sealed with a credential of the service manager (systemd.exec(5),
//! `LoadCredentialEncrypted=`): who takes the disk, or a copy of it, takes no key.
//!
//! The credential `audit.key` is a secret that stays, of 32 random bytes at least; it signs nothing.
//! The signing keys are random and follow each other as they do without it, and each is destroyed
//! with its file. To replace the credential, the one before is given as `audit.key.old` for one
//! start.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::audit::durable::read_small;
use crate::audit::error::AuditError;

/// Name of the credential.
const NAME: &str = "audit.key";
/// Name of the one before.
const NAME_BEFORE: &str = "audit.key.old";
/// Where the service manager puts credentials.
const FOLDER: &str = "CREDENTIALS_DIRECTORY";
/// Shortest secret, bytes: what nobody can try out.
const LEAST: usize = 32;
/// Longest secret, bytes.
const MOST: u64 = 4096;
/// Sets this use of the secret apart from any other.
const DOMAIN: &[u8] = b"observer audit key\0";
/// Bytes of a nonce.
const NONCE: usize = 24;

/// The credential, ready for use.
pub(in crate::audit) struct Wrapping {
    cipher: XChaCha20Poly1305,
    before: Option<XChaCha20Poly1305>,
}

/// A key that was read.
pub(super) struct Unsealed {
    pub(super) seed: Zeroizing<[u8; 32]>,
    /// It is sealed with the credential before.
    pub(super) outdated: bool,
}

impl Wrapping {
    /// The credential that the service manager gave this process; `None` if it gave none.
    ///
    /// # Errors
    /// If it cannot be read, or is too short to be a secret.
    pub(in crate::audit) fn given() -> Result<Option<Self>, AuditError> {
        let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
            return Ok(None);
        };
        let before = read(&folder.join(NAME_BEFORE))?;
        Ok(read(&folder.join(NAME))?.map(|cipher| Self { cipher, before }))
    }

    /// `seed` sealed, as text. `clear` is what stands beside it and must not be changed.
    pub(super) fn seal(
        &self,
        path: &Path,
        clear: &str,
        seed: &[u8; 32],
    ) -> Result<String, AuditError> {
        let failed = || AuditError::bad(path, "cannot be sealed with the credential audit.key");
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| failed())?;
        let payload = Payload {
            msg: seed,
            aad: clear.as_bytes(),
        };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&sealed.map_err(|_| failed())?);
        Ok(BASE64.encode(bytes))
    }

    /// Opens it; `None` if it was sealed with another credential, or changed.
    pub(super) fn open(&self, clear: &str, sealed: &str) -> Option<Unsealed> {
        let bytes = BASE64.decode(sealed).ok()?;
        let (nonce, msg) = bytes.split_first_chunk::<NONCE>()?;
        let aad = clear.as_bytes();
        let ciphers = std::iter::once(&self.cipher).chain(&self.before);
        ciphers.enumerate().find_map(|(at, cipher)| {
            let opened = cipher.decrypt(&XNonce::from(*nonce), Payload { msg, aad });
            let opened = Zeroizing::new(opened.ok()?);
            Some(Unsealed {
                seed: Zeroizing::new(opened.as_slice().try_into().ok()?),
                outdated: at > 0,
            })
        })
    }
}

fn read(path: &Path) -> Result<Option<XChaCha20Poly1305>, AuditError> {
    let Some(secret) = read_small(path, MOST)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    if secret.len() < LEAST {
        let what = format!(
            "is too short for a credential: {LEAST} random bytes at least, such as of `head -c 32 /dev/urandom`"
        );
        return Err(AuditError::bad(path, what));
    }
    let key: Zeroizing<[u8; 32]> = Zeroizing::new(
        Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(&*secret)
            .finalize()
            .into(),
    );
    Ok(Some(XChaCha20Poly1305::new((&*key).into())))
}
