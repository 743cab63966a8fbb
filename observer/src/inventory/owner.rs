//! Which package an executable is from (dpkg).

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

/// Executables whose package is remembered; past this they are looked up anew.
const REMEMBERED: usize = 1024;
/// Largest list of files of a package that is read; kernels have some 2 MiB.
const LARGEST: u64 = 16 << 20;

/// Looks up packages in dpkg's lists of files.
#[derive(Debug)]
pub struct Owners {
    lists: PathBuf,
    known: HashMap<String, Option<String>>,
}

impl Default for Owners {
    fn default() -> Self {
        Self::new("/var/lib/dpkg/info")
    }
}

impl Owners {
    /// `lists` is the folder with a file `NAME.list` a package.
    pub fn new(lists: impl Into<PathBuf>) -> Self {
        Self {
            lists: lists.into(),
            known: HashMap::new(),
        }
    }

    /// The package that has this file. Takes some milliseconds the first time.
    pub fn package(&mut self, exe: &str) -> Option<String> {
        if let Some(known) = self.known.get(exe) {
            return known.clone();
        }
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let found = self.search(exe);
        self.known.insert(exe.to_owned(), found.clone());
        found
    }

    fn search(&self, exe: &str) -> Option<String> {
        // `/bin` and `/lib` are links into `/usr`; lists may have either.
        let other = match exe.strip_prefix("/usr") {
            Some(rest) => rest.to_owned(),
            None => format!("/usr{exe}"),
        };
        for entry in fs::read_dir(&self.lists).ok()?.flatten() {
            let name = entry.file_name();
            let Some(package) = name.to_str().and_then(|name| name.strip_suffix(".list")) else {
                continue;
            };
            if entry.metadata().map_or(true, |data| data.len() > LARGEST) {
                continue;
            }
            let Ok(list) = fs::read(entry.path()) else {
                continue;
            };
            let has = |path: &str| {
                memchr::memmem::find_iter(&list, path.as_bytes()).any(|at| {
                    let end = at + path.len();
                    (at == 0 || list.get(at - 1) == Some(&b'\n'))
                        && matches!(list.get(end), None | Some(b'\n'))
                })
            };
            if has(exe) || has(&other) {
                // `libc6:amd64`: the architecture is not part of the name.
                return package.split(':').next().map(str::to_owned);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Owners;
    use std::fs;

    #[test]
    fn the_package_of_an_executable_is_found_by_its_whole_path() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("nginx.list"), "/.\n/usr/sbin/nginx\n").unwrap();
        fs::write(
            dir.path().join("bash:amd64.list"),
            "/bin/bash\n/bin/bashbug",
        )
        .unwrap();
        let mut owners = Owners::new(dir.path());
        assert_eq!(owners.package("/usr/sbin/nginx").as_deref(), Some("nginx"));
        assert_eq!(owners.package("/usr/bin/bash").as_deref(), Some("bash"));
        assert_eq!(owners.package("/bin/bashbug").as_deref(), Some("bash"));
        assert_eq!(owners.package("/usr/sbin/ngin"), None);
        assert_eq!(owners.package("/opt/app"), None);
    }
}
