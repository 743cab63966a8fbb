//! Reads the ring: polled every few milliseconds, woken earlier when it fills.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::Duration;

use aya::maps::{Map, MapData, RingBuf};

use super::error::KernelError;
use super::raw_event::{Malformed, RawEvent};

/// The consumer's end of the ring.
#[derive(Debug)]
pub struct Ring {
    ring: RingBufDebug,
    /// An epoll descriptor that reports each wake-up of the ring once.
    wakes: OwnedFd,
}

struct RingBufDebug(RingBuf<MapData>);

impl std::fmt::Debug for RingBufDebug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RingBuf")
    }
}

impl Ring {
    pub(super) fn new(map: Map) -> Result<Self, KernelError> {
        let ring = RingBuf::try_from(map).map_err(|source| KernelError::MapAccess {
            name: "EVENTS",
            source,
        })?;
        let wakes = edge_triggered(ring.as_fd())?;
        Ok(Self {
            ring: RingBufDebug(ring),
            wakes,
        })
    }

    /// Waits until the kernel half wakes the reader, at most `timeout`. Events may be there
    /// without a wake-up: drain after every wait.
    pub fn wait(&self, timeout: Duration) -> Result<(), KernelError> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        let timeout = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: room for one event, which outlives the call.
        let result =
            unsafe { libc::epoll_wait(self.wakes.as_raw_fd(), &raw mut event, 1, timeout) };
        if result >= 0 {
            return Ok(());
        }
        let source = io::Error::last_os_error();
        if source.kind() == io::ErrorKind::Interrupted {
            return Ok(());
        }
        Err(KernelError::System {
            call: "epoll_wait",
            source,
        })
    }

    /// Hands over at most `most` events; gives their number, so that less than `most` says the
    /// ring is empty.
    pub fn drain(
        &mut self,
        most: usize,
        out: &mut impl FnMut(Result<RawEvent<'_>, Malformed>),
    ) -> usize {
        for taken in 0..most {
            let Some(item) = self.ring.0.next() else {
                return taken;
            };
            out(RawEvent::decode(&item));
        }
        most
    }
}

/// Edge-triggered, so that only a wake-up ends a wait: a plain poll returns at once while anything
/// is in the ring, and the reader would take events one by one under load.
fn edge_triggered(ring: BorrowedFd<'_>) -> Result<OwnedFd, KernelError> {
    let failed = |call| KernelError::System {
        call,
        source: io::Error::last_os_error(),
    };
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if fd < 0 {
        return Err(failed("epoll_create1"));
    }
    // SAFETY: `fd` was just opened and nobody else owns it.
    let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut event = libc::epoll_event {
        events: (libc::EPOLLIN | libc::EPOLLET) as u32,
        u64: 0,
    };
    // SAFETY: both descriptors are open and `event` outlives the call.
    let result = unsafe {
        libc::epoll_ctl(
            epoll.as_raw_fd(),
            libc::EPOLL_CTL_ADD,
            ring.as_raw_fd(),
            &raw mut event,
        )
    };
    if result < 0 {
        return Err(failed("epoll_ctl"));
    }
    Ok(epoll)
}
