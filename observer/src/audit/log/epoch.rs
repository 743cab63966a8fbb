//! Signing keys follow each other.

use super::{CLOCK_SLACK_MS, Log, millis};
use crate::audit::durable::{make_folder, replace};
use crate::audit::error::AuditError;
use crate::audit::own_event::OwnEvent;
use crate::audit::proof::{self, epoch_path};

impl Log {
    /// The key was in force for its time, or was made at a time that is yet to come: the clock was
    /// set back, and would keep it for longer than anybody asked for.
    pub(super) fn key_is_old(&self, now_ms: u64) -> bool {
        let created = self.keys.created_ms();
        now_ms.saturating_sub(created) >= millis(self.settings.key_epoch)
            || created > now_ms.saturating_add(CLOCK_SLACK_MS)
    }

    /// Ends the epoch of the key: names the next key in the log, signs that with the old key, and
    /// destroys it.
    ///
    /// # Errors
    /// If a file cannot be written; the old key then stays in force.
    pub fn rotate_key(&mut self, now_ms: u64) -> Result<(), AuditError> {
        self.clock(now_ms)?;
        self.seal(now_ms)?;
        let (epoch, vkey) = self.keys.prepare(now_ms)?;
        let event = OwnEvent::KeyEpoch { epoch, vkey };
        let (head, record) = event.record(self.next_index(), now_ms);
        let appended = self
            .append(&head, record.as_bytes())
            .and_then(|()| self.flush());
        if let Err(error) = appended {
            self.keys.abandon();
            return Err(error);
        }
        self.finish_epoch(record.as_bytes())
    }

    /// From the record that names the next key, which is the last of the log, to that key.
    pub(super) fn finish_epoch(&mut self, record: &[u8]) -> Result<(), AuditError> {
        self.checkpoint()?;
        self.sync()?;
        let size = self.edge.size();
        let note = self.keys.sign(size, self.edge.root());
        let path = epoch_path(&self.dir, self.keys.epoch().saturating_add(1));
        let dir = self.dir.clone();
        let proof = proof::make(&dir, &self.edge, size.saturating_sub(1), record, &note)?;
        make_folder(path.parent().unwrap_or(&self.dir))?;
        replace(&path, proof.as_bytes(), 0o644)?;
        self.keys.promote()
    }
}
