//! Opens sealed records for a reader.

use std::collections::HashMap;
use std::path::Path;

use chacha20poly1305::XChaCha20Poly1305;

use super::data_key::{self, folder};
use super::envelope;
use super::reader::ReaderSecret;
use crate::audit::error::AuditError;

/// Keys read at most: one a run and a day, for a century.
const MOST_KEYS: usize = 65_536;

/// The data keys that a reader can open.
pub struct Keyring(HashMap<String, XChaCha20Poly1305>);

// Never the keys.
impl std::fmt::Debug for Keyring {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Keyring")
            .field("keys", &self.0.len())
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// Those of the log in `dir` that are sealed to the reader.
    ///
    /// # Errors
    /// If a file cannot be read, or if none of the keys is for this reader though there are some.
    pub fn open(dir: &Path, secret: &ReaderSecret) -> Result<Self, AuditError> {
        let folder = folder(dir);
        let mut keys = HashMap::new();
        let mut files = 0;
        let entries = std::fs::read_dir(&folder).into_iter().flatten();
        for entry in entries.filter_map(Result::ok).take(MOST_KEYS) {
            let name = entry.file_name();
            let Some(id) = name.to_str().filter(|id| data_key::is_id(id)) else {
                continue;
            };
            files += 1;
            if let Some(cipher) = data_key::open(dir, id, secret)? {
                keys.insert(id.to_owned(), cipher);
            }
        }
        if keys.is_empty() && files > 0 {
            return Err(AuditError::bad(
                &folder,
                "holds no data key for this reader",
            ));
        }
        Ok(Self(keys))
    }

    /// The record inside a sealed one; `None` if it is not sealed, or not to this reader.
    pub fn unseal(&self, record: &[u8]) -> Option<Vec<u8>> {
        envelope::open(record, |id| self.0.get(id))
    }
}
