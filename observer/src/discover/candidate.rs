//! A TLS library that a process has mapped.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::maps::{FileId, Mapping};
use super::placement::LibraryPlan;

/// A TLS library, or an executable with one inside, that a process has mapped.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The process in which it was found.
    pub pid: u32,
    /// The file: probes are attached once for each.
    pub file: FileId,
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
pub(super) struct Place {
    /// `/proc/PID`.
    process: PathBuf,
    range: String,
    path: String,
    file: FileId,
}

impl Place {
    pub(super) fn new(process: &Path, mapping: &Mapping) -> Self {
        Self {
            process: process.to_owned(),
            range: mapping.range.clone(),
            path: mapping.path.clone(),
            file: mapping.file,
        }
    }

    /// Opens the mapped file itself, whatever its path means now and in this mount namespace.
    pub(super) fn open(&self) -> io::Result<File> {
        // The device may differ (btrfs and overlay tell stat another one than the memory map); the
        // link leads to what is mapped, so only a mapping made anew since then could lie.
        let mapped = self.process.join("map_files").join(&self.range);
        if let Ok(file) = open_if(&mapped, |metadata| metadata.ino() == self.file.inode) {
            return Ok(file);
        }
        // Without CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE: by path, and only if it is that file.
        let path = self
            .process
            .join("root")
            .join(self.path.trim_start_matches('/'));
        open_if(&path, |metadata| {
            let device = (libc::major(metadata.dev()), libc::minor(metadata.dev()));
            metadata.ino() == self.file.inode && device == self.file.dev
        })
    }
}

/// Opens a regular file that is the one expected. Nothing else is opened, not even for a moment: a
/// path in a container can lead to a pipe that blocks or a device that acts on being opened.
fn open_if(path: &Path, expected: impl Fn(&Metadata) -> bool) -> io::Result<File> {
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
    pub(super) fn new(pid: u32, mapping: &Mapping, place: Place, finding: Finding) -> Self {
        Self {
            pid,
            file: mapping.file,
            path: mapping.path.clone(),
            finding,
            place,
        }
    }

    /// Opens the library file through the process that has it mapped. Attach to
    /// `/proc/self/fd/N` of the result: that works across mount namespaces, and for a file that
    /// was replaced or deleted since.
    ///
    /// # Errors
    /// If the process or its mapping is gone, or the agent may not follow `/proc/PID/map_files`.
    pub fn open(&self) -> io::Result<File> {
        self.place.open()
    }
}
