//! A witness of its own: signs which checkpoint of each log it saw last, and never two that do not
//! follow each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use sha2::{Digest as _, Sha256};

use super::submission::Submission;
use crate::audit::consistency::is_consistent;
use crate::audit::durable::{make_folder, read_small, replace};
use crate::audit::error::AuditError;
use crate::audit::merkle::Frontier;
use crate::audit::note::Note;
use crate::audit::seed;
use crate::audit::vkey::{Vkey, valid_name};

/// A checkpoint with its signatures.
const MOST_NOTE: u64 = 64 << 10;

/// What is answered to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Answer {
    fn plain(status: u16, body: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: format!("{body}\n"),
        }
    }

    fn conflict(size: u64) -> Self {
        Self {
            status: 409,
            content_type: "text/x.tlog.size",
            body: format!("{size}\n"),
        }
    }
}

/// A log that the witness knows.
#[derive(Debug)]
struct Known {
    vkeys: Vec<Vkey>,
    path: PathBuf,
    /// The last checkpoint that was signed.
    last: Option<Note>,
}

/// A witness: its key, and the logs that it knows.
pub struct Witness {
    name: String,
    key: SigningKey,
    logs: BTreeMap<String, Known>,
}

// Never the key.
impl std::fmt::Debug for Witness {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Witness")
            .field("name", &self.name)
            .field("logs", &self.logs)
            .finish_non_exhaustive()
    }
}

impl Witness {
    /// Opens the witness in `dir`, or makes one with this name. `logs` are the keys of the logs
    /// it signs for.
    ///
    /// # Errors
    /// If a file cannot be read or written, or is damaged: a witness that forgot what it saw must
    /// not go on.
    pub fn open(dir: &Path, name: &str, logs: &[Vkey]) -> Result<Self, AuditError> {
        make_folder(&dir.join("logs"))?;
        let path = dir.join("key");
        let (name, key) = match seed::read(&path)? {
            Some(found) => found,
            None if valid_name(name) => (name.to_owned(), seed::make(name, &path)?),
            None => {
                return Err(AuditError::bad(
                    dir,
                    "cannot be named like this: no spaces, no plus",
                ));
            }
        };
        let mut known = BTreeMap::<String, Known>::new();
        for vkey in logs {
            let origin = vkey.name();
            if let Some(log) = known.get_mut(origin) {
                log.vkeys.push(vkey.clone());
                continue;
            }
            let hash = Sha256::digest(origin.as_bytes());
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            let path = dir.join("logs").join(format!("{hash}.checkpoint"));
            let last = read_small(&path, MOST_NOTE)?
                .map(|bytes| Note::parse(&bytes).map_err(|what| AuditError::bad(&path, what)))
                .transpose()?;
            let log = Known {
                vkeys: vec![vkey.clone()],
                path,
                last,
            };
            known.insert(origin.to_owned(), log);
        }
        let witness = Self {
            name,
            key,
            logs: known,
        };
        let vkey = format!("{}\n", witness.vkey());
        replace(&dir.join("vkey"), vkey.as_bytes(), 0o644)?;
        Ok(witness)
    }

    /// Public key of the witness.
    pub fn vkey(&self) -> Vkey {
        Vkey::of_witness(&self.name, &self.key)
    }

    /// Origin of each log, and where its last checkpoint is kept: an anchor for verifications.
    pub fn logs(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.logs
            .iter()
            .map(|(origin, log)| (origin.as_str(), log.path.as_path()))
    }

    /// Answers `add-checkpoint` at Unix time `now_s`. What is signed is on the disk before.
    pub fn add_checkpoint(&mut self, body: &[u8], now_s: u64) -> Answer {
        let submission = match Submission::parse(body) {
            Ok(submission) => submission,
            Err(what) => return Answer::plain(400, &format!("the request {what}")),
        };
        let Submission { old, proof, note } = submission;
        let checkpoint = &note.checkpoint;
        let Some(log) = self.logs.get_mut(&checkpoint.origin) else {
            return Answer::plain(404, "the log is not known here");
        };
        if !log.vkeys.iter().any(|vkey| note.verify(vkey)) {
            return Answer::plain(403, "the checkpoint is not signed by a key of the log");
        }
        if old > checkpoint.size {
            return Answer::plain(400, "the old size is larger than the checkpoint's");
        }
        let (size, root) = log.last.as_ref().map_or_else(
            || (0, Frontier::default().root()),
            |last| (last.checkpoint.size, last.checkpoint.root),
        );
        if old != size {
            return Answer::conflict(size);
        }
        if old == checkpoint.size && old > 0 && root != checkpoint.root {
            return Answer::conflict(size);
        }
        if !is_consistent((old, &root), (checkpoint.size, &checkpoint.root), &proof) {
            return Answer::plain(422, "the checkpoint does not continue the last one");
        }
        let line = note.cosignature(&self.name, &self.key, now_s);
        let text = format!("{note}{line}");
        if let Err(error) = replace(&log.path, text.as_bytes(), 0o644) {
            tracing::error!(%error, "a checkpoint cannot be kept, and is not signed");
            return Answer::plain(500, "the checkpoint cannot be kept");
        }
        log.last = Some(note);
        Answer::plain(200, line.trim_end())
    }
}
