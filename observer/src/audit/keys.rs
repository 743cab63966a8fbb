//! The signing keys: one epoch at a time, the private half of those before destroyed.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::SigningKey;

use super::durable::{read_small, replace, sync_folder};
use super::error::AuditError;
use super::note::Checkpoint;
use super::vkey::{Vkey, valid_name};

/// A key file has about 200 bytes.
const MOST: u64 = 4096;
/// First line of a key file.
const TITLE: &str = "observer audit key, keep secret";

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

    fn text(&self) -> String {
        let Self {
            epoch,
            created_ms,
            key,
            vkey,
        } = self;
        let seed = BASE64.encode(key.to_bytes());
        format!("{TITLE}\n{epoch}\n{created_ms}\n{vkey}\n{seed}\n")
    }

    fn read(path: &Path) -> Result<Option<Self>, AuditError> {
        let Some(bytes) = read_small(path, MOST)? else {
            return Ok(None);
        };
        let parsed = std::str::from_utf8(&bytes).ok().and_then(|text| {
            let mut lines = text.lines();
            if lines.next() != Some(TITLE) {
                return None;
            }
            let epoch = lines.next()?.parse().ok()?;
            let created_ms = lines.next()?.parse().ok()?;
            let vkey = Vkey::parse(lines.next()?).ok()?;
            let seed = BASE64.decode(lines.next()?).ok()?;
            let key = SigningKey::from_bytes(&seed.try_into().ok()?);
            (Vkey::new(vkey.name(), &key) == vkey).then_some(Self {
                epoch,
                created_ms,
                key,
                vkey,
            })
        });
        parsed
            .map(Some)
            .ok_or_else(|| AuditError::bad(path, "is damaged: the log cannot be signed any more; move its folder away to start a new one"))
    }
}

/// The key in force, and where it lies.
pub(super) struct Keys {
    dir: PathBuf,
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
    let next = || EpochKey::read(&next_path(dir)).ok().flatten();
    match EpochKey::read(&key_path(dir)) {
        Ok(Some(key)) => Some(Ok((key.epoch, key.vkey))),
        Ok(None) | Err(AuditError::Io { .. }) => None,
        Err(error) => Some(match next() {
            Some(key) => Ok((key.epoch, key.vkey)),
            None => Err(error),
        }),
    }
}

impl Keys {
    /// Reads the keys in `dir`, or makes them if there are none. `origin` names a new log.
    pub(super) fn open(dir: &Path, origin: &str, now_ms: u64) -> Result<Self, AuditError> {
        let (path, public) = (key_path(dir), vkey_path(dir));
        let first = first_vkey(dir)?;
        // While a key is replaced the old one may be gone already, and the new one not yet named.
        let next = EpochKey::read(&next_path(dir)).ok().flatten();
        let current = match (EpochKey::read(&path), first) {
            (Ok(Some(key)), Some(_)) => key,
            // It ended between making the key and telling its public half.
            (Ok(Some(key)), None) if key.epoch == 0 => {
                replace(&public, format!("{}\n", key.vkey).as_bytes(), 0o644)?;
                key
            }
            (Ok(None), None) => {
                if !valid_name(origin) {
                    return Err(AuditError::bad(dir, "cannot be named after this host"));
                }
                let key = EpochKey::generate(origin, 0, now_ms, &path)?;
                replace(&path, key.text().as_bytes(), 0o600)?;
                replace(&public, format!("{}\n", key.vkey).as_bytes(), 0o644)?;
                key
            }
            (Ok(Some(_)), None) => {
                return Err(AuditError::bad(&public, "is missing"));
            }
            (Ok(None) | Err(_), Some(_)) if next.is_some() => EpochKey::read(&next_path(dir))?
                .ok_or_else(|| AuditError::bad(&path, "is missing"))?,
            (Ok(None), Some(_)) => {
                return Err(AuditError::bad(
                    &path,
                    "is missing: the log cannot be signed any more; move its folder away to start a new one",
                ));
            }
            (Err(error), _) => return Err(error),
        };
        let next = next.filter(|next| next.vkey != current.vkey);
        Ok(Self {
            dir: dir.to_owned(),
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
        replace(&path, next.text().as_bytes(), 0o600)?;
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
        // Over the bytes of the old key, as far as the file system lets one.
        let length = self.current.text().len();
        OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut old| {
                old.write_all(&vec![b'0'; length])?;
                old.sync_data()
            })
            .map_err(AuditError::io("overwrite", &path))?;
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
