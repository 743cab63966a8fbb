//! The chain of keys: each epoch is signed by the one before.

use super::Walk;
use crate::audit::own_event::OwnEvent;
use crate::audit::proof::{Proof, epoch_path};
use crate::audit::vkey::Vkey;

impl Walk<'_> {
    /// The keys of epochs whose records are pruned, from their proofs.
    pub(super) fn earlier_epochs(&mut self) {
        for epoch in 1..u32::MAX {
            let path = epoch_path(self.dir, epoch);
            if !path.exists() {
                break;
            }
            let next = Proof::read(&path)
                .map_err(|error| error.to_string())
                .and_then(|proof| {
                    if proof.index >= self.report.first {
                        return Ok(None);
                    }
                    proof.check(&self.vkey)?;
                    match OwnEvent::parse(&proof.record) {
                        Some(OwnEvent::KeyEpoch { epoch: its, vkey }) if its == epoch => {
                            Vkey::parse(&vkey).map(Some)
                        }
                        _ => Err("names no key".to_owned()),
                    }
                });
            match next {
                Ok(Some(vkey)) => {
                    self.vkey = vkey;
                    self.report.epochs += 1;
                }
                Ok(None) => break,
                Err(what) => {
                    let what = format!("proof of key epoch {epoch}: {what}");
                    self.report.fault(None, what);
                    break;
                }
            }
        }
    }

    /// Compares the proof of an epoch that began here with the record that names its key.
    pub(super) fn new_epoch(&mut self, size: u64, epoch: u32, record: &[u8]) {
        let path = epoch_path(self.dir, epoch);
        if !path.exists() {
            self.epochs_without_proof.push((size, epoch));
            return;
        }
        let fits = Proof::read(&path)
            .map_err(|error| error.to_string())
            .and_then(|proof| {
                proof.check(&self.vkey)?;
                if proof.record == record && proof.index + 1 == size {
                    Ok(())
                } else {
                    Err("is of another record".to_owned())
                }
            });
        if let Err(what) = fits {
            let what = format!("proof of key epoch {epoch}: {what}");
            self.report.fault(None, what);
        }
    }
}
