//! The keys that seal records, each sealed to the readers in a file of its own.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::{
    Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _, single_shot_open,
    single_shot_seal,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::reader::{Agreement, ReaderKey, ReaderSecret};
use crate::audit::durable::{make_folder, read_small, replace};
use crate::audit::error::AuditError;

/// First line of a file.
const TITLE: &str = "observer audit data key";
/// What the sealing is for (HPKE `info`).
const INFO: &[u8] = b"observer audit data key v1";
/// A file has a line of 110 bytes for each reader.
const MOST: u64 = 64 << 10;

/// Folder of the files.
pub(super) fn folder(dir: &Path) -> PathBuf {
    dir.join("sealed-keys")
}

/// File of a key.
pub(in crate::audit) fn path_of(dir: &Path, id: &str) -> PathBuf {
    folder(dir).join(id)
}

/// SHA-256 of the file of a key, hexadecimal; `None` if it is gone.
pub(in crate::audit) fn file_hash(path: &Path) -> Result<Option<String>, AuditError> {
    Ok(read_small(path, MOST)?.map(|bytes| {
        let hash = Sha256::digest(bytes);
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }))
}

/// Whether this can be the name of a key: 16 hexadecimal digits.
pub(in crate::audit) fn is_id(id: &str) -> bool {
    id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Makes a key and its file. Its name, and the cipher.
pub(super) fn make(
    dir: &Path,
    readers: &[ReaderKey],
) -> Result<(String, XChaCha20Poly1305), AuditError> {
    let folder = folder(dir);
    let failed = |what: String| AuditError::bad(&folder, format!("gets no key: {what}"));
    let mut id = [0; 8];
    let mut key = Zeroizing::new([0_u8; 32]);
    getrandom::fill(&mut id)
        .and_then(|()| getrandom::fill(&mut *key))
        .map_err(|error| failed(error.to_string()))?;
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut text = format!("{TITLE}\n");
    for reader in readers {
        let (shared, sealed) = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Agreement>(
            &OpModeS::Base,
            reader.key(),
            INFO,
            &*key,
            id.as_bytes(),
        )
        .map_err(|error| failed(error.to_string()))?;
        let shared = BASE64.encode(shared.to_bytes());
        text.push_str(&format!("{shared} {}\n", BASE64.encode(sealed)));
    }
    make_folder(&folder)?;
    replace(&path_of(dir, &id), text.as_bytes(), 0o600)?;
    let cipher =
        XChaCha20Poly1305::new_from_slice(&*key).map_err(|error| failed(error.to_string()))?;
    Ok((id, cipher))
}

/// Opens a key with the private key of a reader; `None` if it is not sealed to them.
pub(super) fn open(
    dir: &Path,
    id: &str,
    secret: &ReaderSecret,
) -> Result<Option<XChaCha20Poly1305>, AuditError> {
    let path = path_of(dir, id);
    let Some(bytes) = read_small(&path, MOST)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) {
        return Err(AuditError::bad(&path, "is no data key"));
    }
    for line in lines {
        let Some((shared, sealed)) = line.split_once(' ') else {
            continue;
        };
        let (Ok(shared), Ok(sealed)) = (BASE64.decode(shared), BASE64.decode(sealed)) else {
            continue;
        };
        let Ok(shared) = <Agreement as Kem>::EncappedKey::from_bytes(&shared) else {
            continue;
        };
        let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, Agreement>(
            &OpModeR::Base,
            secret.key(),
            &shared,
            INFO,
            &sealed,
            id.as_bytes(),
        );
        if let Ok(key) = opened {
            let key = Zeroizing::new(key);
            return Ok(XChaCha20Poly1305::new_from_slice(&key).ok());
        }
    }
    Ok(None)
}
