//! TLS libraries where a process would take them from: the folders of the dynamic linker.
//!
//! In: the processes there are, each of which may see other folders (containers). Out: paths of
//! files. Whatever is over within a few milliseconds is over before its memory map can be read, so
//! what it will map is looked for before. It lists folders and opens no file in them.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use hashbrown::HashSet;

use super::{foreign, named, nss};
use crate::recent::Recent;

/// Where libraries lie: the linkers of glibc and musl, and what distributions and `make install` add.
const LIBRARY_FOLDERS: [&str; 9] = [
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib64",
    "lib64",
    "usr/lib",
    "lib",
    "usr/local/lib",
    "usr/local/lib64",
    "usr/local/lib/x86_64-linux-gnu",
];
/// Views of the file system that are looked at; a large host has some hundred containers.
const MAX_ROOTS: usize = 256;
/// Folders remembered, so that one that has not changed is not read again.
const MAX_FOLDERS: usize = 4096;
/// Entries of one folder that are read: distributions have up to some ten thousand.
const MAX_ENTRIES: usize = 65_536;
/// Files taken from one folder: all versions of all libraries.
const MAX_FILES: usize = 64;

/// What identifies a file in this mount namespace: device and inode number.
type Identity = (u64, u64);

/// What a folder held when it was read.
#[derive(Debug)]
struct Folder {
    changed: (i64, i64),
    names: Vec<String>,
}

/// A file that a process could map next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installed {
    /// The root that it is seen from, such as `/proc/1/root`.
    pub(super) root: PathBuf,
    /// Path below that root.
    pub(super) path: String,
}

impl Installed {
    /// Last part of the path.
    pub(super) fn base_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Its path as the agent sees it.
    pub(super) fn seen(&self) -> PathBuf {
        self.root.join(&self.path)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct InstalledFiles {
    folders: Recent<Identity, Folder>,
}

impl InstalledFiles {
    pub(super) fn new() -> Self {
        Self {
            folders: Recent::new(MAX_FOLDERS / 2),
        }
    }

    /// The files that the processes `pids` would take a TLS library from; `proc` is where the
    /// process file system is mounted.
    pub(super) fn list(&mut self, proc: &Path, pids: &[u32]) -> Vec<Installed> {
        let mut found = Vec::new();
        for root in roots(proc, pids) {
            let mut seen = HashSet::new();
            for folder in LIBRARY_FOLDERS {
                let Ok(metadata) = fs::metadata(root.join(folder)) else {
                    continue;
                };
                // `/lib` leads to `/usr/lib` nearly everywhere.
                if !seen.insert(identity(&metadata)) {
                    continue;
                }
                let names = self.names(&root.join(folder), &metadata);
                found.extend(names.iter().map(|name| Installed {
                    root: root.clone(),
                    path: format!("{folder}/{name}"),
                }));
            }
        }
        found
    }

    fn names(&mut self, path: &Path, metadata: &Metadata) -> &[String] {
        let identity = identity(metadata);
        let changed = (metadata.mtime(), metadata.mtime_nsec());
        let known = self.folders.get(&identity);
        if known.is_none_or(|known| known.changed != changed) {
            let names = read(path);
            self.folders.insert(identity, Folder { changed, names });
        }
        self.folders
            .get(&identity)
            .map(|folder| folder.names.as_slice())
            .unwrap_or_default()
    }
}

/// Does the name of a shared object say that it is a TLS library?
pub(super) fn names_tls_library(base_name: &str) -> bool {
    foreign::is_libssl(base_name) || named::is_known(base_name) || nss::is_nss(base_name)
}

/// Each view of the file system that a process has, once: as `/proc/PID/root` of the first with it.
fn roots(proc: &Path, pids: &[u32]) -> Vec<PathBuf> {
    let mut pids = pids.to_vec();
    // The oldest live longest.
    pids.sort_unstable();
    let mut seen = HashSet::new();
    let mut roots = Vec::new();
    for pid in pids {
        let process = proc.join(pid.to_string());
        // In a mount namespace of its own a process may see other files at the same paths.
        let (root, space) = (process.join("root"), process.join("ns/mnt"));
        let (Ok(at), Ok(space)) = (fs::metadata(&root), fs::metadata(space)) else {
            continue;
        };
        if roots.len() < MAX_ROOTS && seen.insert((identity(&at), space.ino())) {
            roots.push(root);
        }
    }
    roots
}

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// Names of the TLS libraries in a folder. A link is not followed: what it leads to
/// has a name of its own, nearly always in the same folder.
fn read(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .take(MAX_ENTRIES)
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.contains(".so") && names_tls_library(name))
        .take(MAX_FILES)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A process file system with one process that sees `root`.
    fn process(proc: &Path, pid: u32, root: &Path) {
        let folder = proc.join(pid.to_string());
        fs::create_dir_all(folder.join("ns")).expect("a folder");
        symlink(root, folder.join("root")).expect("a root");
        fs::write(folder.join("ns/mnt"), "").expect("a namespace");
    }

    fn paths(files: &mut InstalledFiles, proc: &Path, pids: &[u32]) -> Vec<String> {
        let mut paths: Vec<String> = files
            .list(proc, pids)
            .into_iter()
            .map(|file| file.path)
            .collect();
        paths.sort();
        paths
    }

    #[test]
    fn libraries_are_listed_by_name_once_for_each_root() {
        let (proc, root) = (
            tempfile::tempdir().expect("a folder"),
            tempfile::tempdir().expect("a folder"),
        );
        let libraries = root.path().join("usr/lib");
        fs::create_dir_all(&libraries).expect("a folder");
        symlink("usr/lib", root.path().join("lib")).expect("a link");
        for name in [
            "libssl.so.3",
            "libgnutls.so.30.34.3",
            "libgnutls-openssl.a",
            "libc.so.6",
        ] {
            fs::write(libraries.join(name), "").expect("a file");
        }
        symlink("libgnutls.so.30.34.3", libraries.join("libgnutls.so.30")).expect("a link");
        process(proc.path(), 7, root.path());
        process(proc.path(), 8, root.path());
        // The same namespace: process 8 sees what process 7 does.
        fs::remove_file(proc.path().join("8/ns/mnt")).expect("removed");
        fs::hard_link(proc.path().join("7/ns/mnt"), proc.path().join("8/ns/mnt")).expect("a link");
        let mut files = InstalledFiles::new();
        assert_eq!(
            paths(&mut files, proc.path(), &[8, 7]),
            ["usr/lib/libgnutls.so.30.34.3", "usr/lib/libssl.so.3",]
        );
        // What is installed after that is found too, and what is removed is not told any more.
        fs::write(libraries.join("libmbedtls.so.14"), "").expect("a file");
        fs::remove_file(libraries.join("libssl.so.3")).expect("removed");
        let again = paths(&mut files, proc.path(), &[7]);
        assert!(
            again.contains(&"usr/lib/libmbedtls.so.14".to_owned()),
            "{again:?}"
        );
        assert!(
            !again.contains(&"usr/lib/libssl.so.3".to_owned()),
            "{again:?}"
        );
    }

    #[test]
    fn a_process_that_is_gone_has_no_files() {
        let proc = tempfile::tempdir().expect("a folder");
        assert!(InstalledFiles::new().list(proc.path(), &[1, 2]).is_empty());
    }
}
