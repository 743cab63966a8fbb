//! A TLS library that a process has mapped, or could map next.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::maps::{FileId, Mapping};
use super::placement::{FoundBy, LibraryPlan};
use super::target::Target;

/// A TLS library, or an executable with one inside, that a process has mapped or could map next.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The file as memory maps name it.
    pub file: FileId,
    /// The file that probes go on: they are attached once for each.
    pub target: Target,
    /// Path as the process sees it.
    pub path: String,
    /// What to do with it.
    pub finding: Finding,
    place: Place,
}

/// What became of looking at a TLS library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Probes can go here.
    Plan(Arc<LibraryPlan>),
    /// A TLS library that is not probed.
    Refused(Arc<Refusal>),
}

impl Finding {
    /// The same, with the functions found in this way.
    pub(super) fn by(mut self, found_by: FoundBy) -> Self {
        if let Self::Plan(plan) = &mut self {
            Arc::make_mut(plan).found_by = found_by;
        }
        self
    }
}

/// A TLS library that is not probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Library, and its version as far as known.
    pub library: String,
    /// Why, and what would help.
    pub reason: String,
}

/// How to get at the file again.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Through a process that has it mapped.
    Mapped {
        /// `/proc/PID`.
        process: PathBuf,
        range: String,
        path: String,
        file: FileId,
    },
    /// Where it lies, as the agent sees it.
    Installed { path: PathBuf, file: FileId },
}

impl Place {
    pub(super) fn mapped(process: &Path, mapping: &Mapping) -> Self {
        Self::Mapped {
            process: process.to_owned(),
            range: mapping.range.clone(),
            path: mapping.path.clone(),
            file: mapping.file,
        }
    }

    /// Opens the mapped file itself, whatever its path means now and in this mount namespace.
    pub(super) fn open(&self) -> io::Result<File> {
        let (process, range, path, file) = match self {
            Self::Installed { path, file } => {
                return open_if(path, |metadata| FileId::of(metadata) == *file);
            }
            Self::Mapped {
                process,
                range,
                path,
                file,
            } => (process, range, path, file),
        };
        // The device may differ (btrfs and overlay tell stat another one than the memory map); the
        // link leads to what is mapped, so only a mapping made anew since then could lie.
        let mapped = process.join("map_files").join(range);
        if let Ok(opened) = open_if(&mapped, |metadata| metadata.ino() == file.inode) {
            return Ok(opened);
        }
        // Without CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE: by path, and only if it is that file.
        let path = process.join("root").join(path.trim_start_matches('/'));
        open_if(&path, |metadata| FileId::of(metadata) == *file)
    }
}

/// Opens a regular file that is the one expected. Nothing else is opened, not even for a moment: a
/// path in a container can lead to a pipe that blocks or a device that acts on being opened.
pub(super) fn open_if(path: &Path, expected: impl Fn(&Metadata) -> bool) -> io::Result<File> {
    let handle = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)?;
    let metadata = handle.metadata()?;
    if !metadata.is_file() || !expected(&metadata) {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the mapped file is gone and something else has its place",
        ));
    }
    File::open(format!("/proc/self/fd/{}", handle.as_raw_fd()))
}

impl Candidate {
    pub(super) fn new(
        file: FileId,
        target: Target,
        path: String,
        place: Place,
        finding: Finding,
    ) -> Self {
        Self {
            file,
            target,
            path,
            finding,
            place,
        }
    }

    /// Opens the library file, through the process that has it mapped if one has. Attach to
    /// `/proc/self/fd/N` of the result: that works across mount namespaces, and for a file that
    /// was replaced or deleted since.
    ///
    /// # Errors
    /// If the process or its mapping is gone, or the agent may not follow `/proc/PID/map_files`; or
    /// if another file lies now where this one was installed.
    pub fn open(&self) -> io::Result<File> {
        self.place.open()
    }
}
