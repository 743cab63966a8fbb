//! The file that probes go on.

use std::fs::File;
use std::io;

use super::maps::FileId;

/// `OVERLAYFS_SUPER_MAGIC` (include/uapi/linux/magic.h).
const OVERLAY: i64 = 0x794c_7630;

/// A file as the kernel knows it when it puts probes on it. Each container sees the files of its
/// image through an overlay of its own, with a device of its own; the probes go on the one file
/// below. So hundred containers need no hundred probes on each place, of which every call would
/// run all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// By device and inode, as `stat` tells them.
    File(FileId),
    /// A file below an overlay, which shows its inode number and its times as they are, though not
    /// its device (Documentation/filesystems/overlayfs.rst, "Inode properties").
    Layer {
        /// Its inode number.
        inode: u64,
        /// What else tells it from others.
        stamp: Stamp,
    },
}

/// What tells that a file is no longer what it was when it was looked at: an inode number can be
/// given to a new file, and a file can be written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Bytes.
    size: u64,
    /// Last change, in seconds and nanoseconds.
    changed: (i64, i64),
}

impl Stamp {
    /// Of an open file.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = file.metadata()?;
        Ok(Self {
            size: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl Target {
    /// Of an open file, whose stamp is known.
    pub(super) fn of(file: &File, stamp: Stamp) -> io::Result<Self> {
        let id = FileId::of(&file.metadata()?);
        let system = rustix::fs::fstatfs(file)?;
        Ok(if system.f_type == OVERLAY {
            Self::Layer {
                inode: id.inode,
                stamp,
            }
        } else {
            Self::File(id)
        })
    }
}
