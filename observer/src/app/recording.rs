//! The file that a recording goes to.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use super::output::{self, Lines, Output};
use crate::config::RecordSettings;
use crate::record::Secrets;

/// Only its owner may read what was recorded.
const MODE: u32 = 0o600;

/// Why there is no recording.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordingError {
    #[error("{}: cannot record into it: {source}; give the name of a file that does not exist yet", file.display())]
    Create { file: PathBuf, source: io::Error },
    #[error("cannot start the thread that writes the recording: {0}")]
    Thread(io::Error),
}

/// Makes the file and starts the thread that writes it. An existing file is left as it is,
/// whatever it is or points to.
pub(super) fn start(
    settings: &RecordSettings,
) -> Result<((Secrets, Lines), Output), RecordingError> {
    let RecordSettings { file, secrets } = settings;
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(file)
        .map_err(|source| RecordingError::Create {
            file: file.clone(),
            source,
        })?;
    let (lines, output) = output::start_to("recording", created).map_err(RecordingError::Thread)?;
    Ok(((*secrets, lines), output))
}
