//! Which TLS libraries a process has mapped, and which it could map next.
//!
//! In: a process id. Out: a [`Candidate`] for each TLS library in it, with the places for probes or
//! the reason why there are none; the same for what is installed. Files are looked at once and remembered by device and inode, so
//! that a scan of all processes reads little more than their memory maps. It attaches nothing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::candidate::{Candidate, Finding, Place, Refusal, open_if};
use super::elf_image::{ElfError, ElfImage};
use super::installed::{Installed, InstalledFiles, names_tls_library};
use super::maps::{FileId, Mapping, executable_files};
use super::placement::{self, PlacementError};
use super::target::{Stamp, Target};
use super::{debug_names, foreign, go, named, nss, rustls, signature, version_text};
use crate::recent::Recent;

/// Files remembered, TLS library or not. A host has some thousands of distinct executables and
/// shared objects; a hostile one can map others without end. About 100 bytes each.
const MAX_KNOWN_FILES: usize = 32_768;
/// Bytes of one process's memory map that are read: 65,530 mappings, the kernel's own default
/// limit, take about 8 MiB.
const MAX_MAPS_BYTES: u64 = 16 << 20;
/// Bytes of constant data searched for a version: 1 MiB in libcrypto, 40 MiB in Node.
const MAX_VERSION_SEARCH: u64 = 64 << 20;

#[derive(Debug)]
struct Known {
    stamp: Stamp,
    finding: Option<Finding>,
}

/// See the module.
#[derive(Debug)]
pub struct TlsLibraries {
    proc: PathBuf,
    known: Recent<FileId, Known>,
    installed: InstalledFiles,
    maps_cut_short: u64,
    unreadable: u64,
}

impl TlsLibraries {
    /// `proc` is where the process file system is mounted: `/proc`.
    pub fn new(proc: impl Into<PathBuf>) -> Self {
        Self {
            proc: proc.into(),
            known: Recent::new(MAX_KNOWN_FILES / 2),
            installed: InstalledFiles::new(),
            maps_cut_short: 0,
            unreadable: 0,
        }
    }

    /// Memory maps longer than the agent reads; what lies behind was not looked at.
    pub fn maps_cut_short(&self) -> u64 {
        self.maps_cut_short
    }

    /// Mapped files that could not be opened or read, so that it is not known what they are.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Ids of all processes there are.
    ///
    /// # Errors
    /// If the process file system cannot be listed.
    pub fn processes(&self) -> io::Result<Vec<u32>> {
        let entries = fs::read_dir(&self.proc)?;
        Ok(entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect())
    }

    /// The TLS libraries that process `pid` has mapped now; none if it is gone, a kernel thread, or
    /// the agent itself.
    pub fn scan_process(&mut self, pid: u32) -> Vec<Candidate> {
        if pid == std::process::id() {
            return Vec::new();
        }
        let process = self.proc.join(pid.to_string());
        let Some(maps) = self.read_maps(&process) else {
            return Vec::new();
        };
        let mappings = executable_files(&maps);
        let executable = fs::read_link(process.join("exe")).ok();
        let executable = executable
            .as_deref()
            .and_then(Path::to_str)
            .unwrap_or_default();
        let executable = executable.strip_suffix(" (deleted)").unwrap_or(executable);
        let mut candidates = Vec::new();
        for mapping in &mappings {
            let place = Place::mapped(&process, mapping);
            let is_executable = mapping.path == executable;
            let (file, path) = (mapping.file, mapping.path.clone());
            let found = self.find(file, mapping.base_name(), &place, is_executable, || {
                version_beside(&process, &mappings, mapping)
            });
            candidates.extend(
                found.map(|(target, finding)| Candidate::new(file, target, path, place, finding)),
            );
        }
        candidates
    }

    /// The TLS libraries that lie where the processes `pids` would take them from: the first process
    /// that maps one may be over before it is looked at. Those that probes cannot go on are left
    /// out.
    pub fn installed(&mut self, pids: &[u32]) -> Vec<Candidate> {
        let files = self.installed.list(&self.proc, pids);
        files
            .iter()
            .filter_map(|installed| self.look_at(installed))
            .collect()
    }

    fn look_at(&mut self, installed: &Installed) -> Option<Candidate> {
        let path = installed.seen();
        let file = FileId::of(&fs::symlink_metadata(&path).ok()?);
        let place = Place::Installed {
            path: path.clone(),
            file,
        };
        let base_name = installed.base_name();
        let (target, finding) = self.find(file, base_name, &place, false, || {
            // Of the same version: `libcrypto.so.3` beside `libssl.so.3`.
            let name = base_name.strip_prefix("libssl")?;
            let crypto = path.with_file_name(format!("libcrypto{name}"));
            let file = open_if(&crypto, |_| true).ok()?;
            own_version(&ElfImage::open(&file).ok()?)
        })?;
        let path = format!("/{}", installed.path);
        matches!(finding, Finding::Plan(_))
            .then(|| Candidate::new(file, target, path, place, finding))
    }

    fn read_maps(&mut self, process: &Path) -> Option<String> {
        let file = File::open(process.join("maps")).ok()?;
        let mut bytes = Vec::new();
        // An error in the middle is the process going away: what was read is still true of it.
        let _ = file.take(MAX_MAPS_BYTES).read_to_end(&mut bytes);
        if bytes.len() as u64 >= MAX_MAPS_BYTES {
            self.maps_cut_short += 1;
        }
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What file `id` is, and what is in it.
    fn find(
        &mut self,
        id: FileId,
        base_name: &str,
        place: &Place,
        is_executable: bool,
        version: impl FnOnce() -> Option<String>,
    ) -> Option<(Target, Finding)> {
        let likely = is_executable || names_tls_library(base_name);
        let known = self.known.get(&id);
        // Most files are no TLS library and their name does not suggest it: believe that.
        if let Some(Known { finding: None, .. }) = known
            && !likely
        {
            return None;
        }
        let opened = place.open().and_then(|file| Ok((Stamp::of(&file)?, file)));
        let Ok((stamp, file)) = opened else {
            self.unreadable += 1;
            return None;
        };
        let with_target = |finding: Option<Finding>| {
            let finding = finding?;
            Some((Target::of(&file, stamp).ok()?, finding))
        };
        if let Some(known) = known
            && known.stamp == stamp
        {
            return with_target(known.finding.clone());
        }
        let finding = examine(&file, base_name, is_executable, version);
        self.known.insert(
            id,
            Known {
                stamp,
                finding: finding.clone(),
            },
        );
        with_target(finding)
    }
}

/// Looks at one file, as the scan of a process that has it mapped does; the file may lie in every
/// way. `base_name` is the last part of its path.
pub fn examine_file(file: &File, base_name: &str, is_executable: bool) -> Option<Finding> {
    examine(file, base_name, is_executable, || None)
}

fn examine(
    file: &File,
    base_name: &str,
    is_executable: bool,
    version: impl FnOnce() -> Option<String>,
) -> Option<Finding> {
    if let Some(refusal) = foreign::by_name(base_name) {
        return Some(Finding::Refused(Arc::new(refusal)));
    }
    let known = foreign::is_libssl(base_name) || nss::is_nss(base_name);
    let image = match ElfImage::open(file) {
        Ok(image) => image,
        Err(error) if known => return Some(refused(base_name, &error)),
        Err(_) => return None,
    };
    if nss::is_nss(base_name) {
        return Some(nss::find(&image));
    }
    match by_functions(&image, base_name, version) {
        Looked::Found(finding) => return Some(finding),
        Looked::Nothing(version) => {
            if is_executable && let Some(finding) = go::find(&image) {
                return Some(finding);
            }
            // The same file, with names that stripping took out of it.
            if let Some((names, found_by)) = debug_names::find(&image, is_executable)
                && let Ok(image) = ElfImage::open(file)
                && let Looked::Found(finding) =
                    by_functions(&image.with_names(names), base_name, version)
            {
                return Some(finding.by(found_by));
            }
        }
    }
    if let Some(finding) = signature::find(&image).or_else(|| rustls::find(&image)) {
        return Some(finding);
    }
    let found = foreign::inside(&image, base_name, is_executable)?;
    Some(Finding::Refused(Arc::new(found)))
}

/// What became of looking for functions by name.
enum Looked<V> {
    Found(Finding),
    /// What would tell the version was not used.
    Nothing(V),
}

/// Looks for the functions of libraries whose names are known.
fn by_functions<V: FnOnce() -> Option<String>>(
    image: &ElfImage<'_>,
    base_name: &str,
    version: V,
) -> Looked<V> {
    if let Some(finding) = named::find(image, base_name) {
        return Looked::Found(finding);
    }
    let refused = |error: &dyn std::fmt::Display| Looked::Found(refused(base_name, error));
    let defines_both = image
        .functions(&["SSL_read", "SSL_write"])
        .map(|functions| functions.iter().all(Option::is_some));
    match defines_both {
        Ok(true) => {}
        Ok(false) if foreign::is_libssl(base_name) => {
            return refused(&PlacementError::NoFunction("SSL_read and SSL_write"));
        }
        Err(error @ ElfError::TooLarge(_)) if foreign::is_libssl(base_name) => {
            return refused(&error);
        }
        Ok(false) | Err(_) => return Looked::Nothing(version),
    }
    let library = own_version(image)
        .or_else(version)
        .unwrap_or_else(|| format!("openssl ({base_name})"));
    match placement::plan(image, library) {
        Ok(plan) => Looked::Found(Finding::Plan(Arc::new(plan))),
        Err(error) => refused(&error),
    }
}

fn refused(base_name: &str, error: &dyn std::fmt::Display) -> Finding {
    let library = format!("openssl ({base_name})");
    Finding::Refused(Arc::new(Refusal {
        library,
        reason: format!("{error}; not probed"),
    }))
}

fn own_version(image: &ElfImage<'_>) -> Option<String> {
    image.search(
        ".rodata",
        MAX_VERSION_SEARCH,
        version_text::OVERLAP,
        version_text::find,
    )
}

/// The version that the libcrypto beside `library` tells: the one in its own folder, else the only
/// one in the process.
fn version_beside(process: &Path, mappings: &[Mapping], library: &Mapping) -> Option<String> {
    let folder = |mapping: &Mapping| {
        mapping
            .path
            .rsplit_once('/')
            .map(|(folder, _)| folder.to_owned())
    };
    let all: Vec<_> = mappings
        .iter()
        .filter(|mapping| mapping.base_name().starts_with("libcrypto"))
        .collect();
    let crypto = match all
        .iter()
        .find(|mapping| folder(mapping) == folder(library))
    {
        Some(beside) => beside,
        None if all.len() == 1 => all.first()?,
        None => return None,
    };
    let file = Place::mapped(process, crypto).open().ok()?;
    own_version(&ElfImage::open(&file).ok()?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::process::{Child, ChildStdout, Command, Stdio};

    use super::*;
    use crate::discover::placement::Site;

    /// A process that ends with the test.
    struct Running(
        Child,
        #[expect(dead_code, reason = "open, so that the child can write")] ChildStdout,
    );

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Starts `program`, and waits until it has written a line.
    fn start(program: &str, arguments: &[&str]) -> Option<Running> {
        let child = Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .stdin(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            println!("skipped: {program} is not there");
            return None;
        };
        let mut output = child.stdout.take()?;
        let read = output.read(&mut [0]);
        let running = Running(child, output);
        if !matches!(read, Ok(1)) {
            println!("skipped: {program} did not start");
            return None;
        }
        Some(running)
    }

    fn plans(candidates: &[Candidate]) -> Vec<&Candidate> {
        candidates
            .iter()
            .filter(|candidate| matches!(candidate.finding, Finding::Plan(_)))
            .collect()
    }

    #[test]
    fn a_library_loaded_by_a_running_process_is_found_with_its_version() {
        let wait = "import ssl,sys; print(ssl.OPENSSL_VERSION, flush=True); sys.stdin.read()";
        let Some(python) = start("python3", &["-c", wait]) else {
            return;
        };
        let mut libraries = TlsLibraries::new("/proc");
        let candidates = libraries.scan_process(python.0.id());
        let found = plans(&candidates);
        let Some(found) = found.first() else {
            println!("skipped: this python has no OpenSSL of its own: {candidates:?}");
            return;
        };
        let Finding::Plan(plan) = &found.finding else {
            return;
        };
        println!("{}: {}", found.path, plan.library);
        assert!(plan.library.starts_with("openssl "), "{}", plan.library);
        assert!(plan.points.iter().any(|point| point.site == Site::Entry));
        let file = found.open().expect("the library opens through the process");
        assert_eq!(file.metadata().expect("metadata").ino(), found.file.inode);

        // The second process is answered from memory, with the same plan.
        let Some(other) = start("python3", &["-c", wait]) else {
            return;
        };
        let again = libraries.scan_process(other.0.id());
        let Some(Candidate {
            finding: Finding::Plan(same),
            ..
        }) = plans(&again).first().copied()
        else {
            panic!("not found again: {again:?}");
        };
        assert!(Arc::ptr_eq(plan, same));
    }

    #[test]
    fn a_library_replaced_while_it_is_mapped_is_still_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let Some(original) = [
            "/usr/lib/x86_64-linux-gnu/libssl.so.3",
            "/usr/lib64/libssl.so.3",
        ]
        .iter()
        .find(|path| Path::new(path).exists()) else {
            println!("skipped: no libssl.so.3 on this machine");
            return;
        };
        let copy = folder.path().join("libssl-8bd944e8.so.3");
        fs::copy(original, &copy).expect("copied");
        let wait = format!(
            "import ctypes,sys; ctypes.CDLL('{}'); print(1, flush=True); sys.stdin.read()",
            copy.display()
        );
        let Some(python) = start("python3", &["-c", &wait]) else {
            return;
        };
        fs::remove_file(&copy).expect("removed");
        fs::write(&copy, b"another file").expect("written");
        let candidates = TlsLibraries::new("/proc").scan_process(python.0.id());
        let name = copy.to_str().expect("a name");
        let found = candidates.iter().find(|candidate| candidate.path == name);
        let Some(found) = found else {
            println!("skipped: /proc/PID/map_files cannot be followed without CAP_SYS_ADMIN");
            return;
        };
        assert!(
            matches!(found.finding, Finding::Plan(_)),
            "{:?}",
            found.finding
        );
        assert!(
            found
                .open()
                .expect("opens")
                .metadata()
                .expect("metadata")
                .len()
                > 100_000
        );
    }

    #[test]
    fn node_with_openssl_inside_is_found() {
        let Some(node) = start("node", &["-e", "console.log(1); process.stdin.resume()"]) else {
            return;
        };
        let candidates = TlsLibraries::new("/proc").scan_process(node.0.id());
        let found = plans(&candidates);
        assert_eq!(found.len(), 1, "{candidates:?}");
        let Finding::Plan(plan) = &found[0].finding else {
            return;
        };
        println!("{}: {}", found[0].path, plan.library);
        assert!(plan.library.starts_with("openssl 3."), "{}", plan.library);
    }

    #[test]
    fn a_process_without_tls_and_one_that_is_gone_have_none() {
        let Some(sleep) = start("sh", &["-c", "echo; read x"]) else {
            return;
        };
        let mut libraries = TlsLibraries::new("/proc");
        assert!(libraries.scan_process(sleep.0.id()).is_empty());
        assert!(libraries.scan_process(u32::MAX).is_empty());
    }
}
