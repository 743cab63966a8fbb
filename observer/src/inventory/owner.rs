//! Which package an executable is from: dpkg's lists of files, else what `rpm` says.
//!
//! dpkg's lists are text. The database of rpm has had three formats (Berkeley DB, ndb, SQLite) and
//! is read by nothing but `rpm` itself, so that is asked: by its whole path, with no environment,
//! once for each executable.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Executables whose package is remembered; past this they are looked up anew.
const REMEMBERED: usize = 1024;
/// Largest list of files of a package that is read; kernels have some 2 MiB.
const LARGEST: u64 = 16 << 20;

/// How long `rpm` may take; it answers in some milliseconds unless its database is locked.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(5);
/// Longest name of a package that is told.
const LONGEST_NAME: usize = 200;

/// Looks up packages.
#[derive(Debug)]
pub struct Owners {
    lists: PathBuf,
    rpm: PathBuf,
    known: HashMap<String, Option<String>>,
}

impl Default for Owners {
    fn default() -> Self {
        Self::new("/var/lib/dpkg/info", "/usr/bin/rpm")
    }
}

impl Owners {
    /// `lists` is dpkg's folder with a file `NAME.list` a package; `rpm` the program.
    pub fn new(lists: impl Into<PathBuf>, rpm: impl Into<PathBuf>) -> Self {
        Self {
            lists: lists.into(),
            rpm: rpm.into(),
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
        let found = self.search(exe).or_else(|| self.ask_rpm(exe));
        self.known.insert(exe.to_owned(), found.clone());
        found
    }

    /// `None`: it is of no package, there is no `rpm`, or it does not answer in time.
    fn ask_rpm(&self, exe: &str) -> Option<String> {
        if !exe.starts_with('/') || !self.rpm.is_file() {
            return None;
        }
        let mut asked = Command::new(&self.rpm)
            .args(["-qf", "--queryformat", "%{NAME}\\n", "--", exe])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let asked_at = Instant::now();
        let status = loop {
            match asked.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if asked_at.elapsed() < PATIENCE => thread::sleep(LOOK),
                _ => break None,
            }
        };
        if status.is_none() {
            tracing::warn!("rpm does not answer: packages of executables are not told");
            // It may have ended meanwhile; either way it is gone.
            let _ = asked.kill();
            let _ = asked.wait();
        }
        if !status?.success() {
            return None;
        }
        let mut said = Vec::new();
        let said_by = asked.stdout.take()?;
        said_by
            .take(LONGEST_NAME as u64)
            .read_to_end(&mut said)
            .ok()?;
        // A file may be of several packages, a line each.
        let name = String::from_utf8(said).ok()?.lines().next()?.to_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-._~".contains(c);
        (!name.is_empty() && name.chars().all(plain)).then_some(name)
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
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::{Duration, Instant};

    #[test]
    fn the_package_of_an_executable_is_found_by_its_whole_path() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("nginx.list"), "/.\n/usr/sbin/nginx\n").unwrap();
        fs::write(
            dir.path().join("bash:amd64.list"),
            "/bin/bash\n/bin/bashbug",
        )
        .unwrap();
        let mut owners = Owners::new(dir.path(), "/none");
        assert_eq!(owners.package("/usr/sbin/nginx").as_deref(), Some("nginx"));
        assert_eq!(owners.package("/usr/bin/bash").as_deref(), Some("bash"));
        assert_eq!(owners.package("/bin/bashbug").as_deref(), Some("bash"));
        assert_eq!(owners.package("/usr/sbin/ngin"), None);
        assert_eq!(owners.package("/opt/app"), None);
    }

    /// A stand-in for `rpm`, which would need a database of installed packages: it answers as
    /// `rpm -qf` does (rpm(8)).
    fn rpm(script: &str) -> (tempfile::TempDir, Owners) {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("rpm");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let owners = Owners::new(dir.path().join("none"), program);
        (dir, owners)
    }

    #[test]
    fn rpm_is_asked_where_dpkg_has_no_answer() {
        let (_dir, mut owners) = rpm(
            "[ \"$#,$1,$4,$5\" = '5,-qf,--,/usr/sbin/httpd' ] && [ -z \"$HOME\" ] && exec echo httpd-core; \
             echo 'file is not owned by any package'; exit 1",
        );
        assert_eq!(
            owners.package("/usr/sbin/httpd").as_deref(),
            Some("httpd-core")
        );
        assert_eq!(owners.package("/opt/app"), None);
        assert_eq!(owners.package("relative"), None);
    }

    #[test]
    fn what_is_no_name_and_what_never_answers_is_no_package() {
        let (_dir, mut owners) = rpm("printf 'a b\\033[2J\\n'");
        assert_eq!(owners.package("/usr/sbin/httpd"), None);
        let (_dir, mut owners) = rpm("exec sleep 60");
        let asked = Instant::now();
        assert_eq!(owners.package("/usr/sbin/httpd"), None);
        assert!(asked.elapsed() < Duration::from_secs(30));
    }
}
