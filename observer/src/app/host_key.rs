//! The key of this host for fingerprints of credentials, in a file that only its owner reads.
//!
//! In: the state folder. Out: [`Fingerprints`]. A key is replaced at the first start after its
//! time; fingerprints under the one before are told too for a week, so that what was counted
//! under them can be carried over. Never: a key in a message.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use crate::call::{FingerprintKey, Fingerprints};

/// A key file has about 200 bytes.
const MOST: u64 = 4096;
/// First line of a key file.
const TITLE: &str = "observer fingerprint key, keep secret";
/// For so long the key before is used beside its successor.
const OVERLAP: Duration = Duration::from_secs(7 * 86_400);

type Key = Zeroizing<[u8; 32]>;

/// The keys in the file.
struct Kept {
    created_s: u64,
    current: Key,
    earlier: Option<Key>,
}

/// The fingerprints of this host. Without a folder that can be written, those of this run, and
/// that is said.
pub(super) fn fingerprints(state_dir: &Path, rotate: Duration) -> Fingerprints {
    let now_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    match open(state_dir, rotate, now_s) {
        Ok(fingerprints) => fingerprints,
        Err(error) => {
            tracing::warn!(
                %error,
                folder = %state_dir.display(),
                "no key for fingerprints can be kept: those of this run cannot be compared with others"
            );
            Fingerprints::of_this_run()
        }
    }
}

fn open(state_dir: &Path, rotate: Duration, now_s: u64) -> io::Result<Fingerprints> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state_dir)?;
    let path = state_dir.join("fingerprint.key");
    let mut kept = match read(&path)? {
        Some(Some(kept)) => kept,
        other => {
            if other.is_some() {
                let aside = path.with_extension("damaged");
                fs::rename(&path, &aside)?;
                tracing::warn!(
                    "{} is damaged and was set aside as {}; fingerprints change",
                    path.display(),
                    aside.display()
                );
            }
            let kept = Kept {
                created_s: now_s,
                current: random()?,
                earlier: None,
            };
            write(&path, &kept)?;
            kept
        }
    };
    let age = now_s.saturating_sub(kept.created_s);
    if age >= rotate.as_secs() {
        kept = Kept {
            created_s: now_s,
            current: random()?,
            earlier: Some(kept.current),
        };
        write(&path, &kept)?;
    } else if age >= OVERLAP.as_secs() && kept.earlier.take().is_some() {
        write(&path, &kept)?;
    }
    Ok(Fingerprints::new(
        FingerprintKey::new(&kept.current),
        kept.earlier.as_ref().map(|key| FingerprintKey::new(key)),
    ))
}

fn random() -> io::Result<Key> {
    let mut key = Key::default();
    getrandom::fill(&mut *key).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(key)
}

/// `None` if there is no file, `Some(None)` if it is damaged.
fn read(path: &Path) -> io::Result<Option<Option<Kept>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Zeroizing::new(Vec::new());
    file.take(MOST).read_to_end(&mut text)?;
    Ok(Some(parse(&text)))
}

fn parse(text: &[u8]) -> Option<Kept> {
    let mut lines = std::str::from_utf8(text).ok()?.lines();
    if lines.next() != Some(TITLE) {
        return None;
    }
    let created_s = lines.next()?.parse().ok()?;
    let key = |line: &str| -> Option<Key> {
        let bytes = Zeroizing::new(BASE64.decode(line).ok()?);
        let mut key = Key::default();
        if bytes.len() != key.len() {
            return None;
        }
        key.copy_from_slice(&bytes);
        Some(key)
    };
    let current = key(lines.next()?)?;
    let earlier = match lines.next() {
        Some(line) => Some(key(line)?),
        None => None,
    };
    Some(Kept {
        created_s,
        current,
        earlier,
    })
}

/// The file is the old one or the new one, whatever happens in between.
fn write(path: &Path, kept: &Kept) -> io::Result<()> {
    let Kept {
        created_s,
        current,
        earlier,
    } = kept;
    let mut text = Zeroizing::new(format!("{TITLE}\n{created_s}\n"));
    for key in [Some(current), earlier.as_ref()].into_iter().flatten() {
        BASE64.encode_string(**key, &mut text);
        text.push('\n');
    }
    let temporary = path.with_extension("tmp");
    // One left by a crash may have other permissions.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const DAY: u64 = 86_400;
    const QUARTER: Duration = Duration::from_secs(90 * DAY);

    /// The names of the keys.
    fn names(dir: &Path, now_s: u64) -> Vec<String> {
        let said = format!("{:?}", open(dir, QUARTER, now_s).unwrap());
        said.split("name: \"")
            .skip(1)
            .map(|rest| rest[..4].to_owned())
            .collect()
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_only_and_replaced_with_an_overlap() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let first = names(&state, 1000);
        assert_eq!(first.len(), 1);
        let path = state.join("fingerprint.key");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(names(&state, 1000 + 89 * DAY), first);
        let second = names(&state, 1000 + 90 * DAY);
        assert_eq!(second[1], first[0]);
        assert_eq!(names(&state, 1000 + 96 * DAY), second);
        assert_eq!(names(&state, 1000 + 97 * DAY), second[..1]);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3, "the old key is gone");
    }

    #[test]
    fn a_damaged_key_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let first = names(dir.path(), 0);
        let path = dir.path().join("fingerprint.key");
        fs::write(&path, "nonsense").unwrap();
        assert_ne!(names(dir.path(), 0), first);
        let aside = path.with_extension("damaged");
        assert_eq!(fs::read_to_string(aside).unwrap(), "nonsense");
    }
}
