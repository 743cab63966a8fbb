//! The executable file mappings of a process, from `/proc/PID/maps`.
//!
//! In: the text. Out: one [`Mapping`] a file. It never opens what it names.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// A file as memory maps name it. On overlay filesystems this is the file of the layer, so that
/// containers of one image share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Major and minor number of the device.
    pub dev: (u32, u32),
    /// Inode number.
    pub inode: u64,
}

impl FileId {
    /// As `stat` tells it: on most file systems the same (not on btrfs and overlays, which tell
    /// `stat` another device).
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            dev: (libc::major(metadata.dev()), libc::minor(metadata.dev())),
            inode: metadata.ino(),
        }
    }
}

/// One file that a process has mapped executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) file: FileId,
    /// The address range as the kernel writes it: the name of the link in `/proc/PID/map_files`.
    pub(super) range: String,
    /// Path as the process sees it, without ` (deleted)`.
    pub(super) path: String,
}

impl Mapping {
    /// Last part of the path.
    pub(super) fn base_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// The files mapped executable, each once (by its first such mapping).
pub(super) fn executable_files(maps: &str) -> Vec<Mapping> {
    let mut seen = HashSet::new();
    maps.lines()
        .filter_map(mapping)
        .filter(|mapping| seen.insert(mapping.file))
        .collect()
}

/// `55594d00d000-55594d0ce000 r-xp 0002f000 fe:00 247003       /usr/bin/bash`
fn mapping(line: &str) -> Option<Mapping> {
    // Almost all lines are not executable: look at those four letters before anything else.
    let (range, rest) = line.split_once(' ')?;
    if rest.as_bytes().get(2) != Some(&b'x') {
        return None;
    }
    let mut fields = rest.splitn(5, ' ');
    let (_permissions, _offset) = (fields.next()?, fields.next()?);
    let (major, minor) = fields.next()?.split_once(':')?;
    let inode = fields.next()?.parse().ok().filter(|inode| *inode != 0)?;
    let path = fields.next()?.trim_start();
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    Some(Mapping {
        file: FileId {
            dev: (
                u32::from_str_radix(major, 16).ok()?,
                u32::from_str_radix(minor, 16).ok()?,
            ),
            inode,
        },
        range: range.to_owned(),
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
55594cfde000-55594d00d000 r--p 00000000 fe:00 247003                     /usr/bin/bash
55594d00d000-55594d0ce000 r-xp 0002f000 fe:00 247003                     /usr/bin/bash
7f1c2c021000-7f1c2c022000 r-xp 00000000 00:00 0 
7f1c30000000-7f1c30021000 r-xp 00004000 103:0a 99 /opt/my libs/libssl.so.1.1 (deleted)
7f1c30100000-7f1c30121000 r-xp 00005000 103:0a 99 /opt/my libs/libssl.so.1.1 (deleted)
7f1c40000000-7f1c40001000 rwxp 00000000 00:01 77                         /memfd:doublemapper (deleted)
7ffd2a5f8000-7ffd2a5fa000 r-xp 00000000 00:00 0                          [vdso]
";

    #[test]
    fn executable_files_are_listed_once() {
        let files = executable_files(MAPS);
        let names: Vec<_> = files.iter().map(Mapping::base_name).collect();
        assert_eq!(names, ["bash", "libssl.so.1.1", "memfd:doublemapper"]);
        assert_eq!(
            files[0].file,
            FileId {
                dev: (0xfe, 0),
                inode: 247_003
            }
        );
        assert_eq!(files[0].range, "55594d00d000-55594d0ce000");
        assert_eq!(files[1].path, "/opt/my libs/libssl.so.1.1");
        assert_eq!(files[1].file.dev, (0x103, 0x0a));
    }

    #[test]
    fn lines_of_another_shape_are_left_out() {
        assert!(
            executable_files("\n \n1-2 r-xp\n1-2 r-xp 0 zz:0 5 /a\n1-2 r-xp 0 0:0 x /a\nx")
                .is_empty()
        );
    }
}
