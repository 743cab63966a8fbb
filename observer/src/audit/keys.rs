//! The signing keys: one epoch at a time, the private half of those before destroyed.
//!
//! A file holds a key, mode 0600; sealed if the service manager gave a credential for it.

mod wrapping;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use super::durable::{read_small, replace, sync_folder};
use super::error::AuditError;
use super::note::Checkpoint;
use super::vkey::{Vkey, valid_name};
use wrapping::Wrapping;

/// A key file has about 200 bytes.
const MOST: u64 = 4096;
/// First line of a key file.
const TITLE: &str = "observer audit key, keep secret";
/// The same of one that is sealed.
const TITLE_SEALED: &str = "observer audit key, sealed with the credential audit.key";
const DAMAGED: &str =
    "is damaged: the log cannot be signed any more; move its folder away to start a new one";

/// What a key file says in clear.
struct Clear {
    sealed: bool,
    epoch: u32,
    created_ms: u64,
    vkey: Vkey,
}

impl Clear {
    fn text(&self) -> String {
        let Self {
            sealed,
            epoch,
            created_ms,
            vkey,
        } = self;
        let title = if *sealed { TITLE_SEALED } else { TITLE };
        format!("{title}\n{epoch}\n{created_ms}\n{vkey}\n")
    }

    /// With the line of the key itself.
    fn parse(text: &str) -> Option<(Self, &str)> {
        let mut lines = text.lines();
        let sealed = match lines.next()? {
            TITLE => false,
            TITLE_SEALED => true,
            _ => return None,
        };
        let clear = Self {
            sealed,
            epoch: lines.next()?.parse().ok()?,
            created_ms: lines.next()?.parse().ok()?,
            vkey: Vkey::parse(lines.next()?).ok()?,
        };
        Some((clear, lines.next()?))
    }
}

/// The key of one epoch.
struct EpochKey {
    epoch: u32,
    created_ms: u64,
    key: SigningKey,
    vkey: Vkey,
}

impl EpochKey {
    fn generate(origin: &str, epoch: u32, now_ms: u64, path: &Path) -> Result<Self, AuditError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)
            .map_err(|error| AuditError::bad(path, format!("cannot be made: {error}")))?;
        let key = SigningKey::from_bytes(&seed);
        Ok(Self {
            epoch,
            created_ms: now_ms,
            vkey: Vkey::new(origin, &key),
            key,
        })
    }

    /// Writes it to its file.
    fn write(&self, path: &Path, wrapping: Option<&Wrapping>) -> Result<(), AuditError> {
        let Self {
            epoch,
            created_ms,
            key,
            vkey,
        } = self;
        let clear = Clear {
            sealed: wrapping.is_some(),
            epoch: *epoch,
            created_ms: *created_ms,
            vkey: vkey.clone(),
        };
        let clear = clear.text();
        let seed = Zeroizing::new(key.to_bytes());
        let line = match wrapping {
            Some(wrapping) => wrapping.seal(path, &clear, &seed)?,
            None => BASE64.encode(*seed),
        };
        let text = Zeroizing::new(format!("{clear}{line}\n"));
        replace(path, text.as_bytes(), 0o600)
    }

    /// Reads it back, and whether its file must be written anew because it is not sealed as it
    /// should be.
    fn read(path: &Path, wrapping: Option<&Wrapping>) -> Result<Option<(Self, bool)>, AuditError> {
        let Some(bytes) = read_small(path, MOST)?.map(Zeroizing::new) else {
            return Ok(None);
        };
        let damaged = || AuditError::bad(path, DAMAGED);
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
        let (clear, line) = Clear::parse(text).ok_or_else(damaged)?;
        let (seed, outdated) = if clear.sealed {
            let Some(wrapping) = wrapping else {
                return Err(AuditError::bad(
                    path,
                    "is sealed: start the agent as the unit that has the credential audit.key (LoadCredentialEncrypted=)",
                ));
            };
            let opened = wrapping.open(&clear.text(), line).ok_or_else(|| {
                AuditError::bad(
                    path,
                    "is sealed with another credential than audit.key: give that one too, as audit.key.old",
                )
            })?;
            (opened.seed, opened.outdated)
        } else {
            let seed = BASE64.decode(line).map(Zeroizing::new);
            let seed = seed.map_err(|_| damaged())?;
            let seed = seed.as_slice().try_into().map_err(|_| damaged())?;
            (Zeroizing::new(seed), wrapping.is_some())
        };
        let Clear {
            sealed: _,
            epoch,
            created_ms,
            vkey,
        } = clear;
        let key = SigningKey::from_bytes(&seed);
        if Vkey::new(vkey.name(), &key) != vkey {
            return Err(damaged());
        }
        let key = Self {
            epoch,
            created_ms,
            key,
            vkey,
        };
        Ok(Some((key, outdated)))
    }
}

/// What a key file tells without its key.
fn read_clear(path: &Path) -> Result<Option<(u32, Vkey)>, AuditError> {
    let Some(bytes) = read_small(path, MOST)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    match Clear::parse(text) {
        Some((clear, _)) if clear.sealed => Ok(Some((clear.epoch, clear.vkey))),
        // Of one that is not sealed it can be seen whether both halves fit.
        _ => Ok(EpochKey::read(path, None)?.map(|(key, _)| (key.epoch, key.vkey))),
    }
}

/// Opens a file whose bytes are to be overwritten.
fn open_old(path: &Path) -> Result<File, AuditError> {
    let open = OpenOptions::new().write(true).open(path);
    open.map_err(AuditError::io("overwrite", path))
}

/// Overwrites the bytes of a key file, as far as the file system lets one.
fn overwrite(mut old: &File, path: &Path) -> Result<(), AuditError> {
    old.metadata()
        .and_then(|meta| {
            let length = usize::try_from(meta.len().min(MOST)).unwrap_or(0);
            old.write_all(&vec![b'0'; length])?;
            old.sync_data()
        })
        .map_err(AuditError::io("overwrite", path))
}

/// The key in force, and where it lies.
pub(super) struct Keys {
    dir: PathBuf,
    wrapping: Option<Wrapping>,
    current: EpochKey,
    next: Option<EpochKey>,
}

// Never the keys.
impl std::fmt::Debug for Keys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Keys")
            .field("epoch", &self.current.epoch)
            .field("vkey", &self.current.vkey)
            .finish_non_exhaustive()
    }
}

/// Path of the public key of the first epoch.
pub(super) fn vkey_path(dir: &Path) -> PathBuf {
    dir.join("vkey")
}

/// Path of the private key in force.
pub(super) fn key_path(dir: &Path) -> PathBuf {
    dir.join("key")
}

fn next_path(dir: &Path) -> PathBuf {
    dir.join("key.next")
}

/// The public key of the first epoch.
pub(super) fn first_vkey(dir: &Path) -> Result<Option<Vkey>, AuditError> {
    let path = vkey_path(dir);
    let Some(bytes) = read_small(&path, MOST)? else {
        return Ok(None);
    };
    std::str::from_utf8(&bytes)
        .map_err(|_| "is not text".to_owned())
        .and_then(|text| {
            // To the byte, so that every change shows.
            Vkey::parse(text).and_then(|vkey| {
                if format!("{vkey}\n") == text {
                    Ok(vkey)
                } else {
                    Err("is not written as a verifier key is".to_owned())
                }
            })
        })
        .map(Some)
        .map_err(|what| AuditError::bad(&path, what))
}

/// Public half of the private key in force, if it can be read. A writer that was killed while it
/// replaced the key has destroyed the old one and not yet renamed the new one: that one counts.
pub(super) fn current_vkey(dir: &Path) -> Option<Result<(u32, Vkey), AuditError>> {
    match read_clear(&key_path(dir)) {
        Ok(Some(key)) => Some(Ok(key)),
        Ok(None) | Err(AuditError::Io { .. }) => None,
        Err(error) => Some(match read_clear(&next_path(dir)) {
            Ok(Some(key)) => Ok(key),
            _ => Err(error),
        }),
    }
}

impl Keys {
    /// Reads the keys in `dir`, or makes them if there are none. `origin` names a new log.
    pub(super) fn open(dir: &Path, origin: &str, now_ms: u64) -> Result<Self, AuditError> {
        let (path, public) = (key_path(dir), vkey_path(dir));
        let first = first_vkey(dir)?;
        let wrapping = Wrapping::given()?;
        let read = |path: &Path| EpochKey::read(path, wrapping.as_ref());
        // While a key is replaced the old one may be gone already, and the new one not yet named.
        let next = read(&next_path(dir)).ok().flatten().map(|(key, _)| key);
        let (current, outdated) = match (read(&path), first) {
            (Ok(Some(key)), Some(_)) => key,
            // It ended between making the key and telling its public half.
            (Ok(Some((key, outdated))), None) if key.epoch == 0 => {
                replace(&public, format!("{}\n", key.vkey).as_bytes(), 0o644)?;
                (key, outdated)
            }
            (Ok(None), None) => {
                if !valid_name(origin) {
                    return Err(AuditError::bad(dir, "cannot be named after this host"));
                }
                let key = EpochKey::generate(origin, 0, now_ms, &path)?;
                key.write(&path, wrapping.as_ref())?;
                replace(&public, format!("{}\n", key.vkey).as_bytes(), 0o644)?;
                (key, false)
            }
            (Ok(Some(_)), None) => {
                return Err(AuditError::bad(&public, "is missing"));
            }
            (Ok(None) | Err(_), Some(_)) if next.is_some() => {
                read(&next_path(dir))?.ok_or_else(|| AuditError::bad(&path, "is missing"))?
            }
            (Ok(None), Some(_)) => {
                return Err(AuditError::bad(
                    &path,
                    "is missing: the log cannot be signed any more; move its folder away to start a new one",
                ));
            }
            (Err(error), _) => return Err(error),
        };
        let next = next.filter(|next| next.vkey != current.vkey);
        if outdated && path.exists() {
            // The bytes of the old file go when the sealed one is in its place.
            let old = open_old(&path)?;
            current.write(&path, wrapping.as_ref())?;
            overwrite(&old, &path)?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            wrapping,
            current,
            next,
        })
    }

    /// Public half of the key in force.
    pub(super) const fn vkey(&self) -> &Vkey {
        &self.current.vkey
    }

    /// Number of the epoch in force.
    pub(super) const fn epoch(&self) -> u32 {
        self.current.epoch
    }

    /// Unix time in milliseconds at which the key in force was made.
    pub(super) const fn created_ms(&self) -> u64 {
        self.current.created_ms
    }

    /// Signs a checkpoint with the key in force.
    pub(super) fn sign(&self, size: u64, root: [u8; 32]) -> String {
        let origin = self.current.vkey.name().to_owned();
        Checkpoint { origin, size, root }.sign(&self.current.key)
    }

    /// Makes the key of the next epoch and keeps it beside the one in force. Its epoch and public
    /// half.
    pub(super) fn prepare(&mut self, now_ms: u64) -> Result<(u32, String), AuditError> {
        let path = next_path(&self.dir);
        let epoch = self.current.epoch.saturating_add(1);
        let next = EpochKey::generate(self.current.vkey.name(), epoch, now_ms, &path)?;
        next.write(&path, self.wrapping.as_ref())?;
        let vkey = next.vkey.to_string();
        self.next = Some(next);
        Ok((epoch, vkey))
    }

    /// The public half of a key that was prepared.
    pub(super) fn prepared(&self) -> Option<&Vkey> {
        self.next.as_ref().map(|next| &next.vkey)
    }

    /// Destroys the key in force and puts the prepared one in its place. The log must name it.
    pub(super) fn promote(&mut self) -> Result<(), AuditError> {
        let Some(next) = self.next.take() else {
            return Ok(());
        };
        let path = key_path(&self.dir);
        overwrite(&open_old(&path)?, &path)?;
        fs::rename(next_path(&self.dir), &path).map_err(AuditError::io("replace", &path))?;
        sync_folder(&path)?;
        self.current = next;
        Ok(())
    }

    /// Forgets a key that was prepared and that the log does not name.
    pub(super) fn abandon(&mut self) {
        self.next = None;
        // If it stays, the next start tries again.
        let _ = fs::remove_file(next_path(&self.dir));
    }
}
