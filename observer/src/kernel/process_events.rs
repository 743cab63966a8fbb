//! Notices when processes start, run another program, map a library or end.
//!
//! In: the kernel's own records of these, which it writes to a ring for each CPU. Out:
//! [`ProcessEvent`]s. No probe and no tracepoint is attached: a perf event that counts nothing is
//! opened on each CPU only for the records that come with it (perf_event_open(2): `mmap2`, `comm`,
//! `task`), so system calls cost no more than before, and forks, execs and executable mappings only
//! the record.

mod record;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

pub use record::ProcessEvent;

use record::{HEADER_BYTES, Header, event};

/// Data pages of a ring; must be a power of two. 64 KiB hold 400 to 800 records, more than a CPU
/// makes between two rounds of the reader.
const DATA_PAGES: usize = 16;
/// Bytes waiting in a ring that wake the reader: any record does. A process that lives for some
/// milliseconds is looked at within them or not at all.
const WAKEUP_BYTES: u32 = 1;
/// CPUs that rings are opened for: `NR_CPUS` of distribution kernels (CONFIG_MAXSMP).
const MAX_CPUS: u32 = 8192;

// include/uapi/linux/perf_event.h, Linux 5.10 and newer.
const PERF_TYPE_SOFTWARE: u32 = 1;
const PERF_COUNT_SW_DUMMY: u64 = 9;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const ATTR_MMAP: u64 = 1 << 8;
const ATTR_COMM: u64 = 1 << 9;
const ATTR_TASK: u64 = 1 << 13;
const ATTR_WATERMARK: u64 = 1 << 14;
const ATTR_MMAP2: u64 = 1 << 23;
const ATTR_COMM_EXEC: u64 = 1 << 24;
/// Places of `data_head` and `data_tail` in `struct perf_event_mmap_page`.
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;

/// `struct perf_event_attr` as of its second version (72 bytes), which has all that is needed here.
#[repr(C)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_watermark: u32,
    breakpoint_type: u32,
    config1: u64,
    config2: u64,
}

/// Why processes cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum ProcessEventsError {
    /// The agent may not.
    #[error(
        "the kernel does not let the agent watch processes ({source}): it needs CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), or kernel.perf_event_paranoid at 0 or below, which is {paranoid} now; run it as root, or `setcap cap_perfmon+ep` its file"
    )]
    NotPermitted {
        /// Value of the setting, `unknown` if it cannot be read.
        paranoid: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Opening or mapping failed for another reason.
    #[error("processes cannot be watched on CPU {cpu}: {step}: {source}")]
    Failed {
        /// The CPU.
        cpu: u32,
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The list of CPUs cannot be read.
    #[error("/sys/devices/system/cpu/online cannot be read or understood: {0}")]
    Cpus(String),
}

/// The rings of all CPUs that were online when it was opened.
#[derive(Debug)]
pub struct ProcessEvents {
    rings: Vec<Ring>,
    scratch: Vec<u8>,
}

impl ProcessEvents {
    /// Starts watching.
    ///
    /// # Errors
    /// [`ProcessEventsError`] with what is missing.
    pub fn open() -> Result<Self, ProcessEventsError> {
        let online = fs::read_to_string("/sys/devices/system/cpu/online")
            .map_err(|error| ProcessEventsError::Cpus(error.to_string()))?;
        let cpus = cpu_list(&online).ok_or(ProcessEventsError::Cpus(online))?;
        let rings = cpus.into_iter().map(Ring::open).collect::<Result<_, _>>()?;
        Ok(Self {
            rings,
            scratch: Vec::with_capacity(usize::from(u16::MAX)),
        })
    }

    /// Readable when a record waits.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.rings.iter().map(|ring| ring.fd.as_fd())
    }

    /// Gives all that waits in the rings to `take`. Order holds within a CPU only.
    pub fn drain(&mut self, take: &mut impl FnMut(ProcessEvent)) {
        let Self { rings, scratch } = self;
        for ring in rings {
            ring.drain(scratch, take);
        }
    }
}

/// The ring of one CPU.
#[derive(Debug)]
struct Ring {
    fd: OwnedFd,
    /// One page of positions, then `size` bytes of data.
    base: NonNull<u8>,
    page: usize,
    size: usize,
}

// SAFETY: a ring owns its mapping; it is moved to another thread whole and never shared.
unsafe impl Send for Ring {}

impl Ring {
    fn open(cpu: u32) -> Result<Self, ProcessEventsError> {
        let attributes = Attributes {
            kind: PERF_TYPE_SOFTWARE,
            size: u32::try_from(size_of::<Attributes>()).unwrap_or_default(),
            config: PERF_COUNT_SW_DUMMY,
            sample_period: 0,
            sample_type: 0,
            read_format: 0,
            flags: ATTR_MMAP | ATTR_MMAP2 | ATTR_COMM | ATTR_COMM_EXEC | ATTR_TASK | ATTR_WATERMARK,
            wakeup_watermark: WAKEUP_BYTES,
            breakpoint_type: 0,
            config1: 0,
            config2: 0,
        };
        let (any_process, no_group) = (-1, -1);
        // SAFETY: `attributes` is a live struct of the size it tells, all others are plain numbers.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                ptr::from_ref(&attributes),
                any_process,
                libc::c_int::try_from(cpu).unwrap_or(libc::c_int::MAX),
                no_group,
                PERF_FLAG_FD_CLOEXEC,
            )
        };
        let failed = |step| {
            let source = io::Error::last_os_error();
            match source.raw_os_error() {
                Some(libc::EACCES | libc::EPERM) => ProcessEventsError::NotPermitted {
                    paranoid: fs::read_to_string("/proc/sys/kernel/perf_event_paranoid")
                        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned()),
                    source,
                },
                _ => ProcessEventsError::Failed { cpu, step, source },
            }
        };
        let Some(fd) = libc::c_int::try_from(fd).ok().filter(|fd| *fd >= 0) else {
            return Err(failed("perf_event_open"));
        };
        // SAFETY: the kernel has just given this descriptor to us alone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: asks for a number and touches no memory.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page = usize::try_from(page).unwrap_or(4096);
        let size = DATA_PAGES * page;
        // SAFETY: a new mapping at a place of the kernel's choice; nothing of ours is replaced.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                page + size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(failed("mapping its ring"));
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| failed("mapping its ring"))?;
        Ok(Self {
            fd,
            base,
            page,
            size,
        })
    }

    fn position(&self, place: usize) -> &AtomicU64 {
        // SAFETY: both places are 8-byte aligned, inside the first page of the mapping, which lives
        // as long as `self`, and the kernel accesses them as whole 64-bit words.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(place).cast()) }
    }

    fn drain(&mut self, scratch: &mut Vec<u8>, take: &mut impl FnMut(ProcessEvent)) {
        // Acquire: the data of every record before this head is written.
        let head = self.position(DATA_HEAD).load(Ordering::Acquire);
        // Only we write the tail.
        let mut tail = self.position(DATA_TAIL).load(Ordering::Relaxed);
        while tail < head {
            let left = head - tail;
            self.copy(tail, HEADER_BYTES, scratch);
            let Some(header) = Header::read(scratch).filter(|header| {
                usize::from(header.size) >= HEADER_BYTES && u64::from(header.size) <= left
            }) else {
                // Not what the kernel writes; without a size there is no next record to find.
                take(ProcessEvent::Lost { count: 1 });
                tail = head;
                break;
            };
            self.copy(tail, usize::from(header.size), scratch);
            tail += u64::from(header.size);
            // Release: our reads of the record are done before the kernel may write over it.
            self.position(DATA_TAIL).store(tail, Ordering::Release);
            if let Some(event) = event(header, scratch.get(HEADER_BYTES..).unwrap_or_default()) {
                take(event);
            }
        }
        self.position(DATA_TAIL).store(tail, Ordering::Release);
    }

    /// Copies `length` bytes from position `from` of the endless stream that the ring is a window
    /// of. `length` is at most a record's, 65,535, and never more than the ring.
    fn copy(&self, from: u64, length: usize, into: &mut Vec<u8>) {
        into.clear();
        let length = length.min(self.size);
        // The size is a power of two that fits usize, so the remainder does too.
        let start = usize::try_from(from % self.size as u64).unwrap_or_default();
        let first = length.min(self.size - start);
        for (start, length) in [(start, first), (0, length - first)] {
            // SAFETY: `start + length` is at most `size`, so the source is inside the data pages.
            // The kernel does not write between tail and head, which is where callers read. The
            // target has room for `length` more bytes, is not the ring, and is as long as written.
            unsafe {
                into.reserve(length);
                let source = self.base.as_ptr().add(self.page + start);
                let target = into.as_mut_ptr().add(into.len());
                ptr::copy_nonoverlapping(source, target, length);
                into.set_len(into.len() + length);
            }
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped in `open`, and no reference into it outlives `self`.
        unsafe {
            libc::munmap(self.base.as_ptr().cast(), self.page + self.size);
        }
    }
}

/// `0-3,8,10-11`: at most [`MAX_CPUS`] numbers; `None` if it is something else.
fn cpu_list(text: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && last < MAX_CPUS).then_some(())?;
        cpus.extend(first..=last);
    }
    Some(cpus)
}
