//! The inventory in a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

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
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io("read")(error)),
        };
        let mut bytes = Vec::new();
        file.take(MOST)
            .read_to_end(&mut bytes)
            .map_err(self.io("read"))?;
        let damaged = |what| StoreError::Damaged {
            path: self.path.clone(),
            what,
        };
        let end = memchr::memchr(b'\n', &bytes).ok_or_else(|| damaged("it has no first line"))?;
        let (head, body) = bytes.split_at_checked(end).unwrap_or_default();
        let body = body.get(1..).unwrap_or_default();
        let sum = std::str::from_utf8(head)
            .ok()
            .and_then(|head| head.strip_prefix(TITLE))
            .and_then(|sum| u32::from_str_radix(sum.trim(), 16).ok())
            .ok_or_else(|| damaged("it is not of this form"))?;
        if crc32fast::hash(body) != sum {
            return Err(damaged("its checksum does not fit"));
        }
        serde_json::from_slice(body)
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
        let folder = self.path.parent().unwrap_or(&self.path);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(self.io("create the folder of"))?;
        let body = serde_json::to_vec(inventory)
            .map_err(|error| self.io("write")(io::Error::other(error)))?;
        let temporary = self.path.with_extension("tmp");
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(format!("{TITLE} {:08x}\n", crc32fast::hash(&body)).as_bytes())?;
            file.write_all(&body)?;
            file.sync_data()?;
            fs::rename(&temporary, &self.path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(self.io("write"))
    }

    fn io(&self, step: &'static str) -> impl Fn(io::Error) -> StoreError + '_ {
        move |source| StoreError::Io {
            step,
            path: self.path.clone(),
            source,
        }
    }
}
