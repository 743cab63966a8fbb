//! What can be told of a log only when all of it was read.

use super::Walk;
use super::anchors::Anchored;
use crate::audit::edge::Edge;
use crate::audit::keys;
use crate::audit::note::Note;
use crate::audit::sealing::{file_hash, key_path_of};
use crate::audit::vkey::Vkey;

impl Walk<'_> {
    /// What can be told only at the end.
    pub(super) fn finish(&mut self, whole: bool) {
        let size = self.edge.size();
        self.report.size = size;
        self.report.unanchored = size - self.report.verified.min(size);
        self.report.unanchored_ms = self
            .unanchored_from_ms
            .map_or(0, |from| self.last_ms.saturating_sub(from));
        self.report.unwitnessed = size - self.report.anchored_size.min(size);
        self.report.unwitnessed_ms = self
            .anchored_from_ms
            .map_or(0, |from| self.last_ms.saturating_sub(from));
        if !whole {
            return;
        }
        if self.report.first > self.pruned_to {
            let what = format!(
                "records 0 to {} are missing, and no record says that they were removed",
                self.report.first - 1
            );
            self.report.fault(Some(0), what);
        }
        for (after, epoch) in std::mem::take(&mut self.epochs_without_proof) {
            if size > after {
                let what = format!("the proof of key epoch {epoch} is missing");
                self.report.fault(None, what);
            }
        }
        self.published_checkpoint(size);
        for Anchored { note, .. } in std::mem::take(&mut self.anchors) {
            let says = note.checkpoint.size;
            let what = if note.verify(&self.vkey) {
                format!("the log ends at {size}, but an anchor has seen {says} records")
            } else {
                format!(
                    "the log ends at {size}, but an anchor has seen {says} records (signed by a key that is not the last of this log)"
                )
            };
            self.report.fault(Some(size), what);
        }
        if let Some(current) = keys::current_vkey(self.dir) {
            let named = self.epoch_named.as_ref().map(|(_, vkey, _)| vkey);
            match current {
                Ok((_, vkey)) if vkey == self.vkey || Some(&vkey) == named => {}
                // Just named, not in force yet.
                Ok((epoch, _)) if epoch + 1 == self.report.epochs => {}
                Ok((epoch, _)) => {
                    let what = format!(
                        "the agent signs with a key of epoch {epoch} that the log does not name: the log was put back, or the key was"
                    );
                    self.report.fault(Some(size), what);
                }
                Err(error) => self.report.fault(None, error.to_string()),
            }
        }
    }

    fn published_checkpoint(&mut self, size: u64) {
        let Some(published) = self.published else {
            if self.report.checkpoints > 0 {
                self.report.fault(None, "the file `checkpoint` is missing");
            }
            return;
        };
        if self.published_seen {
            return;
        }
        match Note::parse(published) {
            // That of the start: no other was signed before a crash.
            Ok(note) if note.checkpoint.size == 0 && self.is_of_the_start(&note) => {}
            Ok(note) if note.checkpoint.size > size => {
                let what = format!(
                    "the log ends at {size}, but its last checkpoint is of {} records",
                    note.checkpoint.size
                );
                self.report.fault(Some(size), what);
            }
            Ok(note) => self.report.fault(
                Some(note.checkpoint.size),
                "the last checkpoint is not in the log",
            ),
            Err(what) => self
                .report
                .fault(None, format!("the file `checkpoint` {what}")),
        }
    }

    /// Whether the note is the first key's, over nothing.
    fn is_of_the_start(&self, note: &Note) -> bool {
        note.checkpoint.root == Edge::default().root()
            && Vkey::parse(&self.report.vkey).is_ok_and(|vkey| note.verify(&vkey))
    }

    /// The file of a data key is as it was made, or gone.
    pub(super) fn data_key(&mut self, at: u64, id: &str, sha256: &str) {
        let path = key_path_of(self.dir, id);
        match file_hash(&path) {
            Ok(Some(found)) if found == sha256 => {}
            Ok(None) => self.report.data_keys_gone += 1,
            Ok(Some(_)) => {
                let what = format!("{} is not the data key that was made here", path.display());
                self.report.fault(Some(at), what);
            }
            Err(error) => self.report.fault(Some(at), error.to_string()),
        }
    }
}
