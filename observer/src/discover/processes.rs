//! Who processes are.
//!
//! In: a process id. Out: its [`Process`], remembered while it lives. It reads `/proc` and never
//! arguments or environments.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Process;
use super::cgroup::CgroupNames;
use super::container_names::container_name;
use crate::recent::Recent;

/// Processes remembered: the kernel's own limit is 32,768 ids on most hosts, of which those with
/// connections matter. About 300 bytes each.
const MAX_PROCESSES: usize = 16_384;
/// Bytes of a file below `/proc/PID` that are read: `stat` and `cgroup` take some hundreds.
const MAX_FILE_BYTES: u64 = 16 * 1024;
/// Longest path of an executable kept (`PATH_MAX`, include/uapi/linux/limits.h).
const MAX_PATH_BYTES: usize = 4096;

#[derive(Debug)]
struct Known {
    /// Clock ticks after boot; tells a process from a later one with the same id.
    start_time: u64,
    process: Arc<Process>,
}

/// See the module.
#[derive(Debug)]
pub struct Processes {
    proc: PathBuf,
    /// Where the files of container runtimes are.
    root: PathBuf,
    known: Recent<u32, Known>,
}

impl Processes {
    /// `proc` is where the process file system is mounted: `/proc`.
    pub fn new(proc: impl Into<PathBuf>) -> Self {
        Self {
            proc: proc.into(),
            root: PathBuf::from("/"),
            known: Recent::new(MAX_PROCESSES / 2),
        }
    }

    /// Who process `pid` is. Reads one small file if it is known and four if not, so ask once a
    /// connection and not once a call. A process that has ended is still known until another gets
    /// its id; of one that was never seen alive only the id is told.
    pub fn resolve(&mut self, pid: u32) -> Arc<Process> {
        let folder = self.proc.join(pid.to_string());
        let start_time = read(&folder.join("stat")).and_then(|stat| start_time(&stat));
        if let Some(known) = self.known.get(&pid)
            && start_time.is_none_or(|start_time| start_time == known.start_time)
        {
            return Arc::clone(&known.process);
        }
        let mut process = look(pid, &folder);
        let container = process.container.as_deref();
        process.container_name = container.and_then(|id| container_name(&self.root, id));
        let process = Arc::new(process);
        if let Some(start_time) = start_time {
            let process = Arc::clone(&process);
            self.known.insert(
                pid,
                Known {
                    start_time,
                    process,
                },
            );
        }
        process
    }

    /// Looks at process `pid` anew when it is asked for next: it has ended, or runs another
    /// program now.
    pub fn forget(&mut self, pid: u32) {
        self.known.remove(&pid);
    }
}

fn look(pid: u32, folder: &Path) -> Process {
    let CgroupNames { container, unit } = read(&folder.join("cgroup"))
        .map(|text| CgroupNames::parse(&text))
        .unwrap_or_default();
    let exe = fs::read_link(folder.join("exe")).ok().map(|path| {
        let path = path.to_string_lossy();
        let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
        path.chars().take(MAX_PATH_BYTES).collect()
    });
    let name = read(&folder.join("comm")).unwrap_or_default();
    Process {
        pid,
        name: name.trim_end_matches('\n').to_owned(),
        exe,
        container,
        container_name: None,
        unit,
    }
}

fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Field 22 of `/proc/PID/stat` (proc_pid_stat(5)). The second field is a name in parentheses that
/// may itself hold parentheses and spaces.
fn start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write_process(proc: &Path, pid: u32, start: u64, name: &str) {
        let folder = proc.join(pid.to_string());
        fs::create_dir_all(&folder).expect("folder");
        let stat =
            format!("{pid} (a) b) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {start} 99 1");
        fs::write(folder.join("stat"), stat).expect("stat");
        fs::write(folder.join("comm"), format!("{name}\n")).expect("comm");
        fs::write(folder.join("cgroup"), "0::/system.slice/nginx.service\n").expect("cgroup");
        let _ = fs::remove_file(folder.join("exe"));
        symlink("/usr/sbin/nginx (deleted)", folder.join("exe")).expect("exe");
    }

    #[test]
    fn a_process_is_told_by_name_executable_and_unit() {
        let proc = tempfile::tempdir().expect("folder");
        write_process(proc.path(), 7, 100, "nginx");
        let process = Processes::new(proc.path()).resolve(7);
        assert_eq!(
            *process,
            Process {
                pid: 7,
                name: "nginx".to_owned(),
                exe: Some("/usr/sbin/nginx".to_owned()),
                container: None,
                container_name: None,
                unit: Some("nginx.service".to_owned()),
            }
        );
    }

    #[test]
    fn a_process_is_remembered_after_its_end_until_its_id_is_used_again() {
        let proc = tempfile::tempdir().expect("folder");
        let mut processes = Processes::new(proc.path());
        write_process(proc.path(), 7, 100, "first");
        let first = processes.resolve(7);
        assert!(Arc::ptr_eq(&first, &processes.resolve(7)));
        fs::remove_dir_all(proc.path().join("7")).expect("removed");
        assert!(Arc::ptr_eq(&first, &processes.resolve(7)));
        write_process(proc.path(), 7, 200, "second");
        assert_eq!(processes.resolve(7).name, "second");
    }

    #[test]
    fn a_forgotten_process_is_looked_at_anew() {
        let proc = tempfile::tempdir().expect("folder");
        let mut processes = Processes::new(proc.path());
        write_process(proc.path(), 7, 100, "sh");
        processes.resolve(7);
        write_process(proc.path(), 7, 100, "curl");
        assert_eq!(processes.resolve(7).name, "sh");
        processes.forget(7);
        assert_eq!(processes.resolve(7).name, "curl");
    }

    #[test]
    fn an_unknown_process_has_only_its_id_and_is_not_remembered() {
        let proc = tempfile::tempdir().expect("folder");
        let mut processes = Processes::new(proc.path());
        assert_eq!(
            *processes.resolve(9),
            Process {
                pid: 9,
                ..Process::default()
            }
        );
        write_process(proc.path(), 9, 1, "late");
        assert_eq!(processes.resolve(9).name, "late");
    }

    #[test]
    fn this_very_process_is_found() {
        let process = Processes::new("/proc").resolve(std::process::id());
        assert_eq!(
            process.exe,
            std::env::current_exe()
                .ok()
                .map(|path| path.display().to_string())
        );
        assert!(!process.name.is_empty());
    }
}
