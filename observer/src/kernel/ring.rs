//! Reads the rings as if they were one: polled every few milliseconds, woken earlier when one fills.
//!
//! In: records that the kernel half has put into the rings. Out: events, each after every event that
//! it may be a consequence of. Never: an event that is still being written.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::Duration;

use aya::maps::{ArrayOfMaps, Map, MapData, RingBuf};
use observer_common::event::MOST_RINGS;

use super::error::KernelError;
use super::raw_event::{Malformed, RawEvent};

/// One ring for so many processors: what two probes on two of them wait for each other is little
/// beside what they do.
const PROCESSORS_A_RING: u32 = 4;

/// A ring is not made smaller than this by having several: the largest record takes 1 MiB.
const LEAST_BYTES: u32 = 2 << 20;

/// How many rings a host of so many processors gets, of so many bytes in all: a power of two.
pub(super) fn number_of_rings(processors: u32, bytes: u32) -> u32 {
    let wanted = processors.div_ceil(PROCESSORS_A_RING).min(MOST_RINGS);
    let room = (bytes / LEAST_BYTES).max(1);
    wanted.next_power_of_two().min(room)
}

/// The consumer's end of the rings.
#[derive(Debug)]
pub struct Rings {
    rings: Vec<Head>,
    /// An epoll descriptor that reports each wake-up of a ring once.
    wakes: OwnedFd,
}

/// A ring, and the time of its first event if that was looked at.
struct Head {
    ring: RingBuf<MapData>,
    time_ns: Option<u64>,
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Head")
            .field("time_ns", &self.time_ns)
            .finish_non_exhaustive()
    }
}

impl Head {
    /// Looks at the first event if that was not done; whether it is a new one.
    fn look(&mut self) -> bool {
        if self.time_ns.is_some() {
            return false;
        }
        // Not dropped, which would free its place: it stays where it is.
        let Some(item) = self.ring.next().map(ManuallyDrop::new) else {
            return false;
        };
        // One that is malformed is told at once.
        self.time_ns = Some(RawEvent::time_ns(&item).unwrap_or(0));
        true
    }
}

impl Rings {
    /// Makes `count` rings of `bytes` each for the kernel half.
    pub(super) fn new(map: &mut Map, count: u32, bytes: u32) -> Result<Self, KernelError> {
        let failed = |source| KernelError::MapAccess {
            name: "RINGS",
            source,
        };
        let mut array =
            ArrayOfMaps::<&mut MapData, RingBuf<MapData>>::try_from(map).map_err(failed)?;
        let wakes = epoll()?;
        let mut rings = Vec::new();
        for index in 0..count {
            let ring = RingBuf::create(bytes, 0).map_err(failed)?;
            array.set(index, &ring, 0).map_err(failed)?;
            add(&wakes, ring.as_fd())?;
            rings.push(Head {
                ring,
                time_ns: None,
            });
        }
        Ok(Self { rings, wakes })
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
    /// rings are empty.
    pub fn drain(
        &mut self,
        most: usize,
        out: &mut impl FnMut(Result<RawEvent<'_>, Malformed>),
    ) -> usize {
        for taken in 0..most {
            let Some(first) = self.first() else {
                return taken;
            };
            first.time_ns = None;
            let Some(item) = first.ring.next() else {
                return taken;
            };
            out(RawEvent::decode(&item));
        }
        most
    }

    /// The ring whose first event is the oldest of all.
    ///
    /// A program has put an event into its ring before its thread or packet goes on, so what an
    /// event is a consequence of was there before it. A ring that was looked at before an event
    /// elsewhere was found may have got an earlier one meanwhile: rings without an event are looked
    /// at until none shows a new one, and then the oldest is told.
    fn first(&mut self) -> Option<&mut Head> {
        if self.rings.len() == 1 {
            return self.rings.first_mut();
        }
        let mut new = true;
        while new {
            new = false;
            for ring in &mut self.rings {
                new |= ring.look();
            }
        }
        let known = self.rings.iter_mut();
        let known = known.filter(|ring| ring.time_ns.is_some());
        known.min_by_key(|ring| ring.time_ns)
    }
}

/// An epoll descriptor.
fn epoll() -> Result<OwnedFd, KernelError> {
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if fd < 0 {
        return Err(failed("epoll_create1"));
    }
    // SAFETY: `fd` was just opened and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Edge-triggered, so that only a wake-up ends a wait: a plain poll returns at once while anything
/// is in the ring, and the reader would take events one by one under load.
fn add(epoll: &OwnedFd, ring: BorrowedFd<'_>) -> Result<(), KernelError> {
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
    Ok(())
}

fn failed(call: &'static str) -> KernelError {
    KernelError::System {
        call,
        source: io::Error::last_os_error(),
    }
}

#[cfg(test)]
mod tests {
    use super::number_of_rings;

    #[test]
    fn a_ring_for_every_four_processors() {
        let rings = |processors| number_of_rings(processors, 64 << 20);
        assert_eq!(
            [1, 2, 4, 5, 8, 9, 64, 500].map(rings),
            [1, 1, 1, 2, 2, 4, 16, 16]
        );
    }

    #[test]
    fn no_ring_is_too_small_for_a_large_record() {
        let rings = |bytes| number_of_rings(64, bytes);
        assert_eq!(
            [4096, 1 << 20, 2 << 20, 4 << 20, 16 << 20].map(rings),
            [1, 1, 1, 2, 8]
        );
    }
}
