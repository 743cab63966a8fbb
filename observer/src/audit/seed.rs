//! Private keys that stay: a file with a name and the 32 bytes, mode 0600.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::SigningKey;

use super::durable::{read_small, replace};
use super::error::AuditError;

/// First line of such a file.
const TITLE: &str = "observer witness key, keep secret";
/// A file has about 100 bytes.
const MOST: u64 = 4096;

/// Makes a key for `name`.
pub(super) fn make(name: &str, path: &Path) -> Result<SigningKey, AuditError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| AuditError::bad(path, format!("cannot be made: {error}")))?;
    let key = SigningKey::from_bytes(&seed);
    let text = format!("{TITLE}\n{name}\n{}\n", BASE64.encode(seed));
    replace(path, text.as_bytes(), 0o600)?;
    Ok(key)
}

/// Reads the name and the key; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<(String, SigningKey)>, AuditError> {
    let Some(bytes) = read_small(path, MOST)? else {
        return Ok(None);
    };
    let parsed = std::str::from_utf8(&bytes).ok().and_then(|text| {
        let mut lines = text.lines();
        let title = lines.next()?;
        let name = lines.next()?.to_owned();
        let seed = BASE64.decode(lines.next()?).ok()?.try_into().ok()?;
        (title == TITLE).then(|| (name, SigningKey::from_bytes(&seed)))
    });
    parsed
        .map(Some)
        .ok_or_else(|| AuditError::bad(path, "is damaged: it holds no key"))
}
