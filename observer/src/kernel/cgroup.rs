//! Finds the root of cgroup2, wherever it is mounted.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::error::KernelError;

/// Where the agent mounts cgroup2 for itself if nobody has: in its own mount namespace, so that
/// nobody else sees it and it is gone with the agent.
const OWN_MOUNT: &str = "/sys/fs/cgroup";

/// The root folder of cgroup2.
#[derive(Debug)]
pub struct CgroupRoot {
    /// Where it is mounted.
    pub path: PathBuf,
    /// The agent mounted it itself.
    pub own_mount: bool,
}

impl CgroupRoot {
    /// Looks in `/proc/self/mountinfo`, and mounts cgroup2 privately if it is nowhere.
    pub fn find() -> Result<Self, KernelError> {
        let mounts =
            fs::read_to_string("/proc/self/mountinfo").map_err(|source| KernelError::System {
                call: "read /proc/self/mountinfo",
                source,
            })?;
        if let Some(path) = cgroup2_mount(&mounts) {
            return Ok(Self {
                path,
                own_mount: false,
            });
        }
        mount_privately(Path::new(OWN_MOUNT)).map_err(KernelError::Cgroup)?;
        Ok(Self {
            path: PathBuf::from(OWN_MOUNT),
            own_mount: true,
        })
    }

    /// Where cgroup2 is mounted now, if anywhere; mounts nothing.
    pub fn mounted() -> Option<PathBuf> {
        cgroup2_mount(&fs::read_to_string("/proc/self/mountinfo").ok()?)
    }

    /// Opens the folder to attach programs to it.
    pub fn open(&self) -> Result<File, KernelError> {
        File::open(&self.path).map_err(|source| KernelError::CgroupOpen {
            path: self.path.clone(),
            source,
        })
    }
}

/// The mount point of the widest cgroup2 mount: `id parent major:minor root mount-point options
/// [optional]... - type source super-options` (kernel `Documentation/filesystems/proc.rst` 3.5).
/// A mount whose root is not `/` shows a part of the tree only.
fn cgroup2_mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        if after.split(' ').next()? != "cgroup2" {
            return None;
        }
        let mut fields = before.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (root == "/").then(|| PathBuf::from(unescape(point)))
    })
}

/// Undoes the kernel's octal escapes of space, tab, newline and backslash.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let code = after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = &after[3..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn mount_privately(at: &Path) -> io::Result<()> {
    let target = std::ffi::CString::new(at.as_os_str().as_encoded_bytes())?;
    let check = |result: libc::c_int| {
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: unshare takes no pointers; it gives this thread (the only one this early) a mount
    // namespace of its own.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    // SAFETY: the strings are NUL-terminated and outlive the calls; null source and data are
    // allowed for these mounts. Slave propagation keeps the new mount out of the host's.
    check(unsafe {
        libc::mount(
            c"none".as_ptr(),
            c"/".as_ptr(),
            std::ptr::null(),
            libc::MS_REC | libc::MS_SLAVE,
            std::ptr::null(),
        )
    })?;
    // SAFETY: as above.
    check(unsafe {
        libc::mount(
            c"none".as_ptr(),
            target.as_ptr(),
            c"cgroup2".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC,
            std::ptr::null(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup2_is_found_in_a_hybrid_layout() {
        let mounts = "\
25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw
31 25 0:27 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
32 31 0:28 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu
33 31 0:29 / /sys/fs/cgroup/unified rw shared:10 master:2 - cgroup2 cgroup2 rw";
        assert_eq!(
            cgroup2_mount(mounts),
            Some(PathBuf::from("/sys/fs/cgroup/unified"))
        );
    }

    #[test]
    fn a_mount_of_a_part_of_the_tree_is_not_the_root() {
        let mounts = "\
40 25 0:29 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw
41 25 0:29 / /mnt/my\\040cgroup rw - cgroup2 cgroup rw";
        assert_eq!(cgroup2_mount(mounts), Some(PathBuf::from("/mnt/my cgroup")));
        assert_eq!(cgroup2_mount("nonsense\n- -\n"), None);
    }

    #[test]
    fn a_backslash_that_is_no_escape_stays() {
        assert_eq!(unescape("a\\b\\134c\\"), "a\\b\\c\\");
    }
}
