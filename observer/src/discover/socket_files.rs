//! Which process has which socket open, and which network namespaces there are.
//!
//! In: `/proc`. Out: processes by the number of the socket's file, and a file for each namespace.
//! Names of open files are read, never the files.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use hashbrown::{HashMap, HashSet};

/// Open sockets looked at in all; a host has some thousands.
const MOST_FILES: usize = 1 << 20;
/// Namespaces looked into: one for each container or pod of a large host.
const MOST_NAMESPACES: usize = 4096;

/// The process that has each open socket, by the number of the socket's file. Of several that
/// share one, the one with the lowest id: the parent of a pool of workers.
pub fn socket_processes(proc: &Path) -> HashMap<u64, u32> {
    let mut found = HashMap::new();
    for pid in pids(proc) {
        let Ok(files) = fs::read_dir(proc.join(pid.to_string()).join("fd")) else {
            // It has ended.
            continue;
        };
        for file in files.flatten() {
            if found.len() >= MOST_FILES {
                return found;
            }
            if let Ok(link) = fs::read_link(file.path())
                && let Some(inode) = link.to_str().and_then(socket_inode)
            {
                let process = found.entry(inode).or_insert(pid);
                *process = pid.min(*process);
            }
        }
    }
    found
}

/// Each network namespace that a process is in, once.
pub fn network_namespaces(proc: &Path) -> Vec<File> {
    let mut known = HashSet::new();
    let mut found = Vec::new();
    for pid in pids(proc) {
        let Ok(file) = File::open(proc.join(pid.to_string()).join("ns/net")) else {
            continue;
        };
        let Ok(metadata) = file.metadata() else {
            continue;
        };
        if known.insert((metadata.dev(), metadata.ino())) {
            found.push(file);
        }
        if found.len() >= MOST_NAMESPACES {
            break;
        }
    }
    found
}

fn pids(proc: &Path) -> impl Iterator<Item = u32> {
    fs::read_dir(proc)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The name that a socket has among open files: `socket:[N]` (proc_pid_fd(5)).
fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_process_of_an_open_socket_is_found() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("socket");
        let link = format!("/proc/self/fd/{}", socket.as_raw_fd());
        let inode = fs::metadata(link).expect("own file").ino();
        let found = socket_processes(Path::new("/proc"));
        assert_eq!(found.get(&inode), Some(&std::process::id()));
    }

    #[test]
    fn of_several_processes_with_one_socket_the_first_is_told_and_other_files_are_none() {
        let proc = tempfile::tempdir().expect("folder");
        for (pid, target) in [
            (70, "socket:[5]"),
            (8, "socket:[5]"),
            (9, "socket:[x]"),
            (10, "pipe:[6]"),
            (11, "/socket:[7]"),
        ] {
            let folder = proc.path().join(pid.to_string()).join("fd");
            fs::create_dir_all(&folder).expect("folder");
            symlink(target, folder.join("3")).expect("link");
        }
        let found = socket_processes(proc.path());
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [(5, 8)]);
    }

    #[test]
    fn own_namespace_is_among_those_of_the_host_once() {
        let own = fs::metadata("/proc/self/ns/net").expect("namespace").ino();
        let same = network_namespaces(Path::new("/proc"))
            .iter()
            .filter(|file| file.metadata().is_ok_and(|found| found.ino() == own))
            .count();
        assert_eq!(same, 1);
    }
}
