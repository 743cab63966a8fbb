//! Files that are there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::error::AuditError;

/// Writes `bytes` under a temporary name, syncs, and renames: after a crash the file is the old
/// one or the new one. `mode` are its permissions.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AuditError> {
    replace_unhurried(path, bytes, mode)?;
    sync_folder(path)
}

/// The same, but for some seconds a crash of the machine can bring the old file back.
pub(super) fn replace_unhurried(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AuditError> {
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&temporary)
        .map_err(AuditError::io("write", &temporary))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_data())
        .map_err(AuditError::io("write", &temporary))?;
    fs::rename(&temporary, path).map_err(AuditError::io("write", path))
}

/// The same without syncing: for what can be made anew from the segments.
pub(super) fn replace_derived(path: &Path, bytes: &[u8]) -> Result<(), AuditError> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, bytes).map_err(AuditError::io("write", &temporary))?;
    fs::rename(&temporary, path).map_err(AuditError::io("write", path))
}

/// Makes names in the folder of `path` durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), AuditError> {
    let folder = path.parent().unwrap_or(path);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(AuditError::io("sync", folder))
}

/// Makes a folder and those above it.
pub(super) fn make_folder(path: &Path) -> Result<(), AuditError> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(AuditError::io("create", path))
}

/// A small file; `None` if there is none. More than `most` bytes are an error.
pub(super) fn read_small(path: &Path, most: u64) -> Result<Option<Vec<u8>>, AuditError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(AuditError::io("read", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(AuditError::io("read", path))?;
    if bytes.len() as u64 > most {
        return Err(AuditError::bad(path, "is longer than such a file can be"));
    }
    Ok(Some(bytes))
}
