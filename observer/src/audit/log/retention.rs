//! What is too old or too much is removed, in whole segments from the first on.

use std::fs;

use super::{Log, millis};
use crate::audit::error::AuditError;
use crate::audit::own_event::OwnEvent;
use crate::audit::{search, segment, tiles};

impl Log {
    /// Removes the oldest segments that are too old or too many, and says so in the log first.
    pub(super) fn retain(&mut self, now_ms: u64) -> Result<(), AuditError> {
        let segments = segment::list(&self.dir)?;
        let sizes: Vec<(u64, u64)> = segments
            .iter()
            .map(|(_, path)| {
                let meta = fs::metadata(path).ok();
                let modified = meta
                    .as_ref()
                    .and_then(|meta| meta.modified().ok())
                    .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
                    .map_or(now_ms, millis);
                (meta.map_or(0, |meta| meta.len()), modified)
            })
            .collect();
        let mut total: u64 = sizes.iter().map(|(bytes, _)| bytes).sum();
        let oldest = now_ms.saturating_sub(millis(self.settings.max_age));
        let mut remove = 0;
        // The last one is being written.
        for (bytes, modified) in sizes.iter().take(sizes.len().saturating_sub(1)) {
            if total <= self.settings.max_bytes && *modified >= oldest {
                break;
            }
            total = total.saturating_sub(*bytes);
            remove += 1;
        }
        let (Some((first, _)), true) = (segments.get(remove), remove > 0) else {
            return Ok(());
        };
        self.append_own(&OwnEvent::Retention { first: *first }, now_ms)?;
        self.seal(now_ms)?;
        self.tiles.write()?;
        for (first, path) in segments.iter().take(remove) {
            fs::remove_file(path).map_err(AuditError::io("remove", path))?;
            search::remove_index(&self.dir, *first);
        }
        tiles::prune(&self.dir, *first);
        Ok(())
    }
}
