//! The inventory in a file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::checked_file::{self, Fault};
use super::state::Inventory;

/// First words of the file: what it is, and the version of its form.
const TITLE: &str = "observer-inventory 1";
/// Larger files are no inventory: the largest has some 60 MiB.
const MOST: u64 = 256 << 20;

/// Why the inventory cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system says no.
    #[error("cannot {step} {path}: {source}")]
    Io {
        /// What was tried.
        step: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is no inventory, or was changed.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

/// A file that is replaced whole: a reader sees the old one or the new one, after a crash too.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
}

impl Store {
    /// The inventory under a state folder.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join("inventory"),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it; `None` if there is none yet.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn load(&self) -> Result<Option<Inventory>, StoreError> {
        let damaged = |what| StoreError::Damaged {
            path: self.path.clone(),
            what,
        };
        let body = match checked_file::read(&self.path, TITLE, MOST) {
            Ok(Some(body)) => body,
            Ok(None) => return Ok(None),
            Err(Fault::Damaged(what)) => return Err(damaged(what)),
            Err(Fault::Io(error)) => return Err(self.io("read")(error)),
        };
        serde_json::from_slice(&body)
            .map(Some)
            .map_err(|_| damaged("its content is not of this form"))
    }

    /// Reads it, or starts anew: a damaged file is set aside, and that is said.
    pub fn open(&self) -> Inventory {
        match self.load() {
            Ok(inventory) => inventory.unwrap_or_default(),
            Err(error) => {
                let aside = self.path.with_extension("damaged");
                match fs::rename(&self.path, &aside) {
                    Ok(()) => tracing::warn!(
                        %error,
                        "the inventory was set aside as {} and starts anew",
                        aside.display()
                    ),
                    Err(_) => tracing::warn!(%error, "the inventory starts anew"),
                }
                Inventory::default()
            }
        }
    }

    /// Replaces it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn save(&self, inventory: &Inventory) -> Result<(), StoreError> {
        let body = serde_json::to_vec(inventory)
            .map_err(|error| self.io("write")(io::Error::other(error)))?;
        checked_file::replace(&self.path, TITLE, &body).map_err(self.io("write"))
    }

    fn io(&self, step: &'static str) -> impl Fn(io::Error) -> StoreError + '_ {
        move |source| StoreError::Io {
            step,
            path: self.path.clone(),
            source,
        }
    }
}
