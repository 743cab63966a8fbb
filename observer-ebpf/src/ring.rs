//! Puts events in the rings: reserved in size classes, filled in place, wake-ups batched.
//!
//! A connection has one ring, so its events keep their order, and processors that work for other
//! connections seldom wait for the same ring's lock. The user half reads all rings as one, by time.

use core::{arch::asm, mem::offset_of, ptr};

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::bpf_ringbuf_query,
};
use observer_common::event::EventHeader;

use crate::maps::{CROWDED_BYTES, EventRing, RING_MASK, RINGS, WAKE_BYTES};

/// An event as it lies in the ring. Only `captured` bytes of the payload are initialised.
#[repr(C)]
pub struct Record<B, const N: usize> {
    header: EventHeader,
    body: B,
    payload: [u8; N],
}

impl<B, const N: usize> Record<B, N> {
    /// Where its parts are.
    ///
    /// # Safety
    /// `record` points to a record of the ring.
    #[inline(always)]
    pub unsafe fn parts(record: *mut Self) -> (*mut EventHeader, *mut B, *mut u8) {
        unsafe {
            (
                &raw mut (*record).header,
                &raw mut (*record).body,
                (&raw mut (*record).payload).cast(),
            )
        }
    }
}

/// The largest payload of one event: the largest BIG TCP packet the kernel makes (512 KiB,
/// `GSO_MAX_SIZE`, kernel `include/linux/netdevice.h`).
pub const LARGEST: u32 = 512 << 10;

/// What one event is captured of while the ring is crowded: the head of a message, and hardly its
/// body.
pub const HEAD: u32 = 1024;

/// Why an event was not sent.
pub enum Unsent {
    /// No room in the ring.
    Full,
    /// The payload could not be read.
    Unreadable,
    /// It lies in more pieces than are gathered.
    TooMany,
}

/// 2^64 divided by the golden ratio: the high bits of a product with it are spread well, however
/// alike the numbers are (Knuth, The Art of Computer Programming 3, 6.4).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The ring of a connection or TLS object, by its number; asks for that only if there are several.
#[inline(always)]
pub fn of(number: impl FnOnce() -> u64) -> Option<&'static EventRing> {
    let mask = RING_MASK.load();
    let index = if mask == 0 {
        0
    } else {
        (number().wrapping_mul(SPREAD) >> 32) as u32 & mask
    };
    RINGS.get(index)
}

/// Bytes that wait for the reader.
#[inline(always)]
fn waiting(ring: &EventRing) -> u64 {
    let ring = ptr::from_ref(ring).cast_mut().cast();
    unsafe { bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA)) }
}

/// The reader is behind: what room is left is for what matters most.
#[inline(always)]
pub fn crowded(number: impl FnOnce() -> u64) -> bool {
    of(number).is_some_and(|ring| waiting(ring) >= CROWDED_BYTES.load())
}

/// Records of this size and more are of a large body, most of which nobody needs: the reader is to
/// say so soon.
const LARGE: u64 = 16 << 10;
/// The mark for those.
const WAKE_LARGE_BYTES: u64 = 64 << 10;

/// Wakes the reader when the waiting bytes pass the mark, and leaves it to its poll otherwise:
/// a wake-up for each event costs more than the event (2 µs against 0.4 µs measured).
#[inline(always)]
pub fn wake(ring: &EventRing, record: u64) -> u64 {
    let waiting = waiting(ring);
    let mark = if record >= LARGE {
        WAKE_LARGE_BYTES
    } else {
        WAKE_BYTES.load()
    };
    if waiting >= mark && waiting < mark + 2 * record {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}

/// Sends an event without payload to the ring of its socket.
#[inline(always)]
pub fn send<B: 'static>(header: EventHeader, body: B) -> Result<(), Unsent> {
    send_filled(
        || header.cookie,
        |to, to_body: *mut B| unsafe {
            to.write(header);
            to_body.write(body);
        },
    )
}

/// Sends an event without payload that `fill` writes in place, header and body: nothing of it
/// waits on the stack for its room in the ring of `number`.
#[inline(always)]
pub fn send_filled<B: 'static>(
    number: impl FnOnce() -> u64,
    fill: impl FnOnce(*mut EventHeader, *mut B),
) -> Result<(), Unsent> {
    let Some(ring) = of(number) else {
        return Err(Unsent::Full);
    };
    let Some(mut entry) = ring.reserve_untyped::<Record<B, 0>>(0) else {
        return Err(Unsent::Full);
    };
    let record = entry.as_mut_ptr();
    unsafe { fill(&raw mut (*record).header, &raw mut (*record).body) };
    entry.submit(wake(ring, size_of::<Record<B, 0>>() as u64));
    Ok(())
}

/// Sends an event of exactly this size class. `fill` writes header and body in place, all but
/// `captured`; `read` puts `n` payload bytes at the pointer. `n` is 1 to `N`, a power of two.
#[inline(always)]
fn send_class<B: 'static, const N: usize>(
    ring: &EventRing,
    n: u32,
    fill: impl FnOnce(*mut EventHeader, *mut B),
    read: impl FnOnce(*mut u8, u32) -> bool,
) -> Result<(), Unsent> {
    let Some(mut entry) = ring.reserve_untyped::<Record<B, N>>(0) else {
        return Err(Unsent::Full);
    };
    let record = entry.as_mut_ptr();
    unsafe {
        fill(&raw mut (*record).header, &raw mut (*record).body);
        // The bound the verifier needs, right before its use and by instructions that LLVM cannot
        // fold into its caller's tests: N is a power of two, and the mask changes nothing as the
        // caller has chosen the class. 6.1 and older forget what a test of a copy has shown.
        let mut n = u64::from(n);
        asm!("{0} += -1", "{0} &= {1}", "{0} += 1", inout(reg) n, const N - 1);
        (*record).header.captured = n as u32;
        if !read((&raw mut (*record).payload).cast(), n as u32) {
            entry.discard(u64::from(BPF_RB_NO_WAKEUP));
            return Err(Unsent::Unreadable);
        }
    }
    entry.submit(wake(
        ring,
        offset_of!(Record<B, N>, payload) as u64 + N as u64,
    ));
    Ok(())
}

/// Sends an event with `n` payload bytes, at most [`LARGEST`], in the smallest class that holds it,
/// to the ring of `number`.
#[inline(always)]
pub fn send_payload<B: 'static>(
    number: impl FnOnce() -> u64,
    n: u32,
    fill: impl FnOnce(*mut EventHeader, *mut B),
    read: impl FnOnce(*mut u8, u32) -> bool,
) -> Result<(), Unsent> {
    let Some(ring) = of(number) else {
        return Err(Unsent::Full);
    };
    if n == 0 {
        Err(Unsent::Unreadable)
    } else if n <= 256 {
        send_class::<B, 256>(ring, n, fill, read)
    } else if n <= 1024 {
        send_class::<B, 1024>(ring, n, fill, read)
    } else if n <= 4096 {
        send_class::<B, 4096>(ring, n, fill, read)
    } else if n <= 16_384 {
        send_class::<B, 16_384>(ring, n, fill, read)
    } else if n <= 65_536 {
        send_class::<B, 65_536>(ring, n, fill, read)
    } else {
        send_class::<B, { LARGEST as usize }>(ring, n, fill, read)
    }
}
