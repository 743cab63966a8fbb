//! Seals records as they are written.

use std::path::{Path, PathBuf};

use chacha20poly1305::XChaCha20Poly1305;

use super::data_key;
use super::envelope;
use super::reader::ReaderKey;
use crate::audit::error::AuditError;
use crate::audit::own_event::OwnEvent;
use crate::audit::record_head::RecordHead;

/// After this time there is a new key, milliseconds: a day.
const KEY_AGE_MS: u64 = 86_400_000;

/// Seals records to readers.
pub(in crate::audit) struct Sealer {
    dir: PathBuf,
    readers: Vec<ReaderKey>,
    key: Option<Current>,
}

struct Current {
    id: String,
    cipher: XChaCha20Poly1305,
    /// Number of the next nonce. It never goes back, whatever becomes of the record.
    number: u64,
    made_ms: u64,
}

// Never the key.
impl std::fmt::Debug for Sealer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Sealer")
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}

impl Sealer {
    /// For these readers; `None` if there are none.
    pub(in crate::audit) fn new(dir: &Path, readers: &[ReaderKey]) -> Option<Self> {
        (!readers.is_empty()).then(|| Self {
            dir: dir.to_owned(),
            readers: readers.to_vec(),
            key: None,
        })
    }

    /// Makes a new key if it is time; the event that belongs in the log before what is sealed
    /// with it. Without a key nothing is written: it fails until there can be one.
    pub(in crate::audit) fn renew(&mut self, now_ms: u64) -> Result<Option<OwnEvent>, AuditError> {
        let old = |key: &Current| now_ms.saturating_sub(key.made_ms) >= KEY_AGE_MS;
        if self.key.as_ref().is_some_and(|key| !old(key)) {
            return Ok(None);
        }
        let (id, cipher) = data_key::make(&self.dir, &self.readers)?;
        let path = data_key::path_of(&self.dir, &id);
        let sha256 = data_key::file_hash(&path)?
            .ok_or_else(|| AuditError::bad(&path, "is gone as soon as it was made"))?;
        let event = OwnEvent::DataKey {
            id: id.clone(),
            sha256,
        };
        self.key = Some(Current {
            id,
            cipher,
            number: 0,
            made_ms: now_ms,
        });
        Ok(Some(event))
    }

    /// The record sealed; `None` if there is no key.
    pub(in crate::audit) fn seal(
        &mut self,
        head: &RecordHead,
        index: u64,
        record: &[u8],
    ) -> Option<String> {
        let Current {
            id, cipher, number, ..
        } = self.key.as_mut()?;
        let this = *number;
        *number += 1;
        envelope::seal(cipher, (id, this), head, index, record)
    }
}
