//! What was learned of the routes of each service, in a file of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::checked_file::{self, Fault};

/// First words of a file: what it is, and the version of its form.
const TITLE: &str = "observer-routes 1";
/// Larger files are none of these: the largest has some 2 MiB.
const MOST: u64 = 32 << 20;
/// Files read at a start: as many as services can have a name.
const MOST_FILES: usize = 10_000;
/// What nobody called for so long is removed: a year and a day.
const MAX_AGE: Duration = Duration::from_secs(366 * 86_400);
const EXTENSION: &str = "routes";

/// A folder with a file for each service.
#[derive(Clone, Debug)]
pub struct RouteStore {
    folder: PathBuf,
}

impl RouteStore {
    /// The routes under a state folder.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            folder: state_dir.join("routes"),
        }
    }

    /// Hands out service and record of each file, those written last first. A damaged file is set
    /// aside, and one that `take` refuses too; both are said.
    pub fn load(&self, mut take: impl FnMut(&str, &str) -> bool) {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, "the routes in {} cannot be read", self.folder.display());
                }
                return;
            }
        };
        let now = SystemTime::now();
        let mut files: Vec<(SystemTime, PathBuf)> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|is| is == EXTENSION))
            .filter_map(|path| {
                let time = fs::metadata(&path).and_then(|data| data.modified()).ok()?;
                Some((time, path))
            })
            .collect();
        files.sort_by(|a, b| b.cmp(a));
        for (at, (time, path)) in files.into_iter().enumerate() {
            if at >= MOST_FILES || now.duration_since(time).is_ok_and(|age| age > MAX_AGE) {
                // What cannot be removed stays; it is tried again at the next start.
                let _ = fs::remove_file(&path);
                continue;
            }
            let what = match checked_file::read(&path, TITLE, MOST) {
                Ok(None) => continue,
                Ok(Some(body)) => {
                    let taken = std::str::from_utf8(&body)
                        .ok()
                        .and_then(|text| text.split_once('\n'))
                        .is_some_and(|(service, record)| take(service, record));
                    if taken {
                        continue;
                    }
                    "its content is not of this form".to_owned()
                }
                Err(Fault::Damaged(what)) => what.to_owned(),
                Err(Fault::Io(error)) => {
                    tracing::warn!(%error, "{} cannot be read", path.display());
                    continue;
                }
            };
            let aside = path.with_extension("damaged");
            let moved = fs::rename(&path, &aside);
            tracing::warn!(
                "{} is damaged ({what}): {}; the routes of its service are learned anew",
                path.display(),
                match moved {
                    Ok(()) => format!("it was set aside as {}", aside.display()),
                    Err(error) => format!("it cannot be set aside ({error})"),
                }
            );
        }
    }

    /// Replaces what is known of a service.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, service: &str, record: &str) -> io::Result<()> {
        // A name may hold anything but a line end; that of a file may not.
        let name: String = Sha256::digest(service)
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let path = self.folder.join(name).with_extension(EXTENSION);
        checked_file::replace(&path, TITLE, format!("{service}\n{record}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_damaged_ones_are_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let store = RouteStore::new(dir.path());
        let load = |store: &RouteStore, accept: bool| {
            let mut found = Vec::new();
            store.load(|service, record| {
                found.push((service.to_owned(), record.to_owned()));
                accept
            });
            found.sort();
            found
        };
        assert_eq!(load(&store, true), []);
        store.save("shop", "one\ntwo\n").unwrap();
        store.save("a/../b {x}", "first").unwrap();
        store.save("a/../b {x}", "second").unwrap();
        let expected = [("a/../b {x}", "second"), ("shop", "one\ntwo\n")]
            .map(|(service, record)| (service.to_owned(), record.to_owned()));
        assert_eq!(load(&store, true), expected);

        let files = || -> Vec<PathBuf> {
            let entries = fs::read_dir(dir.path().join("routes")).unwrap();
            entries.map(|entry| entry.unwrap().path()).collect()
        };
        let victim = files().remove(0);
        let mut bytes = fs::read(&victim).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&victim, bytes).unwrap();
        assert_eq!(load(&store, true).len(), 1);
        assert!(victim.with_extension("damaged").is_file());
        // What nobody can use is not tried for ever.
        assert_eq!(load(&store, false).len(), 1);
        assert_eq!(load(&store, true), []);
        assert_eq!(files().len(), 2);
    }
}
