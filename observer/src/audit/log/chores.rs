//! What a commit brings with it and no record waits for.

use super::{Log, RETENTION_MS, checkpoint_path};
use crate::audit::durable::replace_unhurried;
use crate::audit::error::AuditError;

impl Log {
    /// Does one thing that is due: the checkpoint beside the log, hash tiles, a new segment, a new
    /// key, removal of what is too old. `false` if nothing was.
    ///
    /// # Errors
    /// If the disk refuses: it is still due.
    pub(in crate::audit) fn chore(&mut self, now_ms: u64) -> Result<bool, AuditError> {
        if self.unpublished.is_some() && !self.unsynced {
            self.publish()?;
        } else if self.tiles.is_behind() {
            self.tiles.write()?;
        } else if self.length >= self.segment_bytes && self.edge.size() > self.first {
            self.seal(now_ms)?;
            self.next_segment()?;
        } else if self.key_is_old(now_ms) {
            self.rotate_key(now_ms)?;
        } else if now_ms.saturating_sub(self.retention_ms) >= RETENTION_MS {
            self.retention_ms = now_ms;
            self.retain(now_ms)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Tells the last checkpoint beside the log. What it covers is synced, so that it is never
    /// ahead; that it can fall back by a second when the power goes takes nothing from anybody.
    pub(super) fn publish(&mut self) -> Result<(), AuditError> {
        if let Some(signed) = &self.unpublished {
            let path = checkpoint_path(&self.dir);
            replace_unhurried(&path, signed.note.as_bytes(), 0o644)?;
            // With the tiles there, whoever reads it can prove what is under it.
            self.tiles.write()?;
            self.anchor.put(signed.clone());
            self.unpublished = None;
        }
        Ok(())
    }
}
