//! One record of the kernel about a process.
//!
//! In: the bytes of a record. Out: a [`ProcessEvent`], or nothing.

/// Longest path kept (`PATH_MAX`, include/uapi/linux/limits.h).
const MAX_PATH_BYTES: usize = 4096;

// include/uapi/linux/perf_event.h, Linux 5.10 and newer.
const RECORD_LOST: u32 = 2;
const RECORD_COMM: u32 = 3;
const RECORD_EXIT: u32 = 4;
const RECORD_FORK: u32 = 7;
const RECORD_MMAP2: u32 = 10;
const MISC_COMM_EXEC: u16 = 1 << 13;

/// Something a process did. Ids are of the agent's pid namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// A file was mapped executable: at exec, or by dlopen.
    Mapped {
        /// Process id.
        pid: u32,
        /// Device of the file, major and minor, as in `/proc/PID/maps`.
        dev: (u32, u32),
        /// Inode number of the file, as in `/proc/PID/maps`.
        inode: u64,
        /// Path as the process sees it.
        file: Vec<u8>,
    },
    /// It runs another program now. Its mappings follow, and may come first if it changed CPU.
    Exec {
        /// Process id.
        pid: u32,
    },
    /// It was forked: it has all mappings of its parent, for which no `Mapped` comes.
    Forked {
        /// Process id.
        pid: u32,
        /// Process id of its parent.
        parent: u32,
    },
    /// Its first thread ended; almost always the process did.
    Exited {
        /// Process id.
        pid: u32,
    },
    /// A ring was full: look at all processes anew.
    Lost {
        /// Records that are missing.
        count: u64,
    },
}

/// Bytes of a [`Header`].
pub(super) const HEADER_BYTES: usize = 8;

/// `struct perf_event_header`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kind: u32,
    pub(super) misc: u16,
    pub(super) size: u16,
}

impl Header {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            kind: u32_at(bytes, 0)?,
            misc: u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?),
            size: u16::from_ne_bytes(bytes.get(6..8)?.try_into().ok()?),
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(
        bytes.get(at..at.checked_add(8)?)?.try_into().ok()?,
    ))
}

/// What a record tells, from the bytes after its header. Layouts: perf_event_open(2), "MMAP layout".
pub(super) fn event(header: Header, body: &[u8]) -> Option<ProcessEvent> {
    let process = |at| u32_at(body, at).filter(|pid| is_visible(*pid));
    match header.kind {
        RECORD_MMAP2 => {
            let name = body.get(64..)?;
            let name = name.get(..memchr::memchr(0, name).unwrap_or(name.len()))?;
            let inode = u64_at(body, 40)?;
            // Memory without a file (`//anon`, `[vdso]`) has no inode.
            (inode != 0).then_some(())?;
            Some(ProcessEvent::Mapped {
                pid: process(0)?,
                dev: (u32_at(body, 32)?, u32_at(body, 36)?),
                inode,
                file: name.get(..MAX_PATH_BYTES).unwrap_or(name).to_vec(),
            })
        }
        RECORD_COMM if header.misc & MISC_COMM_EXEC != 0 => {
            Some(ProcessEvent::Exec { pid: process(0)? })
        }
        RECORD_FORK => {
            let (pid, parent) = (process(0)?, u32_at(body, 4)?);
            // A new thread is told with its own process as the parent.
            (pid != parent).then_some(ProcessEvent::Forked { pid, parent })
        }
        RECORD_EXIT => {
            let (pid, thread) = (process(0)?, u32_at(body, 8)?);
            (pid == thread).then_some(ProcessEvent::Exited { pid })
        }
        RECORD_LOST => Some(ProcessEvent::Lost {
            count: u64_at(body, 8)?,
        }),
        _ => None,
    }
}

/// The kernel writes 0 for a process of another pid namespace, and -1 for one that is just ending
/// (`perf_event_pid_type`, kernel/events/core.c).
fn is_visible(pid: u32) -> bool {
    pid != 0 && pid != u32::MAX
}
