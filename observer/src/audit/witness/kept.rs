//! Cosigned checkpoints kept beside the log, the last of each witness, with the witness's key.

use std::fs;
use std::path::{Path, PathBuf};

use crate::audit::durable::{make_folder, read_small, replace};
use crate::audit::error::AuditError;
use crate::audit::note::Note;
use crate::audit::vkey::Vkey;

/// Witnesses whose checkpoints are read; more than anybody has.
const MOST: usize = 64;
/// A checkpoint with its signatures.
const MOST_NOTE: u64 = 64 << 10;
/// A key has about 100 bytes.
const MOST_VKEY: u64 = 4096;

/// The last checkpoint that a witness signed.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Kept {
    /// Key of the witness, as it stands beside the checkpoint.
    pub(in crate::audit) vkey: Vkey,
    pub(in crate::audit) note: Note,
}

fn folder(dir: &Path) -> PathBuf {
    dir.join("cosigned")
}

fn path(dir: &Path, vkey: &Vkey) -> PathBuf {
    folder(dir).join(format!("{:08x}", vkey.id()))
}

/// Keeps what a witness signed.
pub(in crate::audit) fn keep(dir: &Path, vkey: &Vkey, note: &Note) -> Result<(), AuditError> {
    make_folder(&folder(dir))?;
    replace(
        &path(dir, vkey),
        format!("{vkey}\n{note}").as_bytes(),
        0o644,
    )
}

/// Size of the last checkpoint that a witness signed, 0 if there is none.
pub(super) fn size(dir: &Path, vkey: &Vkey) -> u64 {
    let kept = read(&path(dir, vkey)).ok().flatten();
    kept.map_or(0, |kept| kept.note.checkpoint.size)
}

fn read(path: &Path) -> Result<Option<Kept>, AuditError> {
    let Some(bytes) = read_small(path, MOST_NOTE + MOST_VKEY)? else {
        return Ok(None);
    };
    let bad = |what: String| AuditError::bad(path, what);
    let at = bytes.iter().position(|byte| *byte == b'\n');
    let (vkey, note) = at
        .and_then(|at| bytes.split_at_checked(at + 1))
        .ok_or_else(|| bad("is no cosigned checkpoint".to_owned()))?;
    let text = String::from_utf8_lossy(vkey);
    let vkey = Vkey::parse_witness(&text).map_err(bad)?;
    // To the byte, so that every change shows.
    if format!("{vkey}\n") != text {
        return Err(bad("has a key that is not written as one".to_owned()));
    }
    let note = Note::parse(note).map_err(bad)?;
    Ok(Some(Kept { vkey, note }))
}

/// All of them, or what is wrong with one.
pub(in crate::audit) fn kept(dir: &Path) -> Vec<Result<Kept, AuditError>> {
    let Ok(entries) = fs::read_dir(folder(dir)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_none())
        .take(MOST)
        .collect();
    paths.sort();
    paths
        .iter()
        .filter_map(|path| read(path).transpose())
        .collect()
}
