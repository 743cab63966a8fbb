//! Puts events in the ring: reserved in size classes, filled in place, wake-ups batched.

use core::{arch::asm, mem::offset_of, ptr};

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::bpf_ringbuf_query,
};
use observer_common::event::EventHeader;

use crate::maps::{EVENTS, WAKE_BYTES};

/// An event as it lies in the ring. Only `captured` bytes of the payload are initialised.
#[repr(C)]
pub struct Record<B, const N: usize> {
    header: EventHeader,
    body: B,
    payload: [u8; N],
}

/// The largest payload of one event: the largest BIG TCP packet the kernel makes (512 KiB,
/// `GSO_MAX_SIZE`, kernel `include/linux/netdevice.h`).
pub const LARGEST: u32 = 512 << 10;

/// Why an event was not sent.
pub enum Unsent {
    /// No room in the ring.
    Full,
    /// The payload could not be read.
    Unreadable,
}

/// Wakes the reader when the waiting bytes pass the mark, and leaves it to its poll otherwise:
/// a wake-up for each event costs more than the event (2 µs against 0.4 µs measured).
#[inline(always)]
fn wake(record: u64) -> u64 {
    let waiting = unsafe { bpf_ringbuf_query(EVENTS_PTR(), u64::from(BPF_RB_AVAIL_DATA)) };
    let mark = WAKE_BYTES.load();
    if waiting >= mark && waiting < mark + 2 * record {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}

#[expect(non_snake_case, reason = "reads as the map it stands for")]
#[inline(always)]
fn EVENTS_PTR() -> *mut core::ffi::c_void {
    ptr::from_ref(&EVENTS).cast_mut().cast()
}

/// Sends an event without payload.
#[inline(always)]
pub fn send<B: 'static>(header: EventHeader, body: B) -> Result<(), Unsent> {
    let Some(mut entry) = EVENTS.reserve::<Record<B, 0>>(0) else {
        return Err(Unsent::Full);
    };
    let record = entry.as_mut_ptr();
    unsafe {
        (&raw mut (*record).header).write(header);
        (&raw mut (*record).body).write(body);
    }
    entry.submit(wake(size_of::<Record<B, 0>>() as u64));
    Ok(())
}

/// Sends an event of exactly this size class; `read` fills in `n` payload bytes at the pointer.
#[inline(always)]
fn send_class<B: 'static, const N: usize>(
    mut header: EventHeader,
    body: B,
    n: u32,
    read: impl FnOnce(*mut u8, u32) -> bool,
) -> Result<(), Unsent> {
    let Some(mut entry) = EVENTS.reserve::<Record<B, N>>(0) else {
        return Err(Unsent::Full);
    };
    let record = entry.as_mut_ptr();
    // A real instruction, so that LLVM cannot fold the bound into its caller's and drop the
    // check the verifier needs.
    let mut n = n as u64;
    unsafe { asm!("{0} &= 0xfffff", inout(reg) n) };
    if n == 0 || n > N as u64 {
        entry.discard(u64::from(BPF_RB_NO_WAKEUP));
        return Err(Unsent::Unreadable);
    }
    header.captured = n as u32;
    unsafe {
        (&raw mut (*record).header).write(header);
        (&raw mut (*record).body).write(body);
        if !read((&raw mut (*record).payload).cast(), n as u32) {
            entry.discard(u64::from(BPF_RB_NO_WAKEUP));
            return Err(Unsent::Unreadable);
        }
    }
    entry.submit(wake(offset_of!(Record<B, N>, payload) as u64 + N as u64));
    Ok(())
}

/// Sends an event with `n` payload bytes, at most [`LARGEST`], in the smallest class that holds it.
#[inline(always)]
pub fn send_payload<B: Copy + 'static>(
    header: EventHeader,
    body: B,
    n: u32,
    read: impl FnOnce(*mut u8, u32) -> bool,
) -> Result<(), Unsent> {
    if n <= 256 {
        send_class::<B, 256>(header, body, n, read)
    } else if n <= 1024 {
        send_class::<B, 1024>(header, body, n, read)
    } else if n <= 4096 {
        send_class::<B, 4096>(header, body, n, read)
    } else if n <= 16_384 {
        send_class::<B, 16_384>(header, body, n, read)
    } else if n <= 65_536 {
        send_class::<B, 65_536>(header, body, n, read)
    } else {
        send_class::<B, { LARGEST as usize }>(header, body, n, read)
    }
}
