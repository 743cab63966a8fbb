//! Checkpoints that were kept elsewhere, and what witnesses signed.

use super::{Trust, Walk};
use crate::audit::note::Note;
use crate::audit::report::Witnessed;
use crate::audit::vkey::Vkey;
use crate::audit::witness::{Kept, kept};

/// A checkpoint that the log must have had.
#[derive(Clone, Debug)]
pub(super) struct Anchored {
    pub(super) note: Note,
    /// It was kept elsewhere, or signed by a witness that is trusted. One that only lies beside
    /// the log shows nothing of a folder that was put back as a whole.
    counts: bool,
}

impl Walk<'_> {
    /// Takes the anchors that were given, and what witnesses signed.
    pub(super) fn take_anchors(&mut self, trust: &Trust) {
        for note in &trust.anchors {
            let note = note.clone();
            self.anchors.push(Anchored { note, counts: true });
        }
        let mut missing: Vec<&Vkey> = trust.witnesses.iter().collect();
        for found in kept(self.dir) {
            let Kept { vkey, note } = match found {
                Ok(kept) => kept,
                Err(error) => {
                    self.report.fault(None, error.to_string());
                    continue;
                }
            };
            let name = vkey.name().to_owned();
            let Some(time_s) = note.cosigned(&vkey) else {
                let what = format!("the checkpoint kept of the witness {name} is not signed by it");
                self.report.fault(None, what);
                continue;
            };
            let trusted = trust.witnesses.contains(&vkey);
            missing.retain(|key| **key != vkey);
            self.report.witnesses.push(Witnessed {
                name,
                size: note.checkpoint.size,
                time_s,
                trusted,
            });
            let counts = trusted;
            self.anchors.push(Anchored { note, counts });
        }
        for vkey in missing {
            let what = format!("the witness {} has signed nothing of this log", vkey.name());
            self.report.fault(None, what);
        }
        self.report.anchored = self.anchors.iter().any(|anchor| anchor.counts);
        self.anchors
            .sort_by_key(|anchor| anchor.note.checkpoint.size);
    }

    /// Anchors over records that are pruned cannot be compared any more.
    pub(super) fn skip_anchors(&mut self) {
        let first = self.report.first;
        let before = self.anchors.len();
        self.anchors
            .retain(|anchor| anchor.note.checkpoint.size >= first);
        self.report.anchors_pruned = before - self.anchors.len();
        self.anchor();
    }

    /// Compares the tree with the anchors of its size.
    pub(super) fn anchor(&mut self) {
        while let Some(anchor) = self.anchors.first()
            && anchor.note.checkpoint.size == self.edge.size()
        {
            let Anchored { note, counts } = self.anchors.remove(0);
            let size = note.checkpoint.size;
            if !note.verify(&self.vkey) {
                let what = format!("the anchor of size {size} is not signed by this log");
                self.report.fault(None, what);
            } else if note.checkpoint.root == self.edge.root() {
                self.anchor_fits = size;
                if counts {
                    self.report.anchored_size = size;
                    self.anchored_from_ms = None;
                }
            } else {
                let what = format!("the log is not the one of the anchor of size {size}");
                self.report.fault(Some(self.anchor_fits), what);
            }
        }
    }
}
