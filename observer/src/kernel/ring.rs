//! Reads the ring: polled every few milliseconds, woken earlier when it fills.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use aya::maps::{Map, MapData, RingBuf};

use super::error::KernelError;
use super::raw_event::{Malformed, RawEvent};

/// The consumer's end of the ring.
#[derive(Debug)]
pub struct Ring {
    ring: RingBufDebug,
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
        Ok(Self {
            ring: RingBufDebug(ring),
        })
    }

    /// Waits until the kernel half wakes the reader, at most `timeout`. Events may be there
    /// without a wake-up: drain after every wait.
    pub fn wait(&self, timeout: Duration) -> Result<(), KernelError> {
        let mut poll = libc::pollfd {
            fd: self.ring.0.as_fd().as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let timeout = libc::c_int::try_from(timeout.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: one valid pollfd, which outlives the call.
        let result = unsafe { libc::poll(&raw mut poll, 1, timeout) };
        if result >= 0 {
            return Ok(());
        }
        let source = io::Error::last_os_error();
        if source.kind() == io::ErrorKind::Interrupted {
            return Ok(());
        }
        Err(KernelError::System {
            call: "poll",
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
