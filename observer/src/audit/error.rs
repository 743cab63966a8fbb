//! What can go wrong with a log on disk.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An error of the audit log: what, which file, and what to do.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The system refused to read or write.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another agent writes this log.
    #[error("{} is in use by another agent: stop it, or give this one another `state_dir`", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds no log.
    #[error("{} holds no audit log: give the folder that holds `vkey` and `segments`", path.display())]
    NoLog {
        /// The folder.
        path: PathBuf,
    },
    /// A file of the log is not what it should be.
    #[error("{} {what}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl AuditError {
    /// For `map_err`: an error of the system with what was tried on which file.
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn bad(path: &Path, what: impl Into<String>) -> Self {
        Self::Bad {
            path: path.to_owned(),
            what: what.into(),
        }
    }
}
