//! The memory that a message moved: where a `struct iov_iter` stands after the call, and the bytes
//! before that place.
//!
//! The kernel steps the iterator forward by exactly what it moved (kernel `lib/iov_iter.c`), so at
//! the end of a send or receive function the bytes are those right before its place: no entry probe
//! and no state between the two are needed. Iterators over kernel pages (sendfile, splice,
//! registered buffers) hold no user memory and are told as such.

use core::{arch::asm, mem::MaybeUninit};

use aya_ebpf::{
    Global,
    bindings::BPF_RB_NO_WAKEUP,
    helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user},
};
use observer_common::event::EventHeader;

use crate::{
    maps::EventRing,
    ring::{self, Record, Unsent},
};

/// Not in this kernel.
const ABSENT: u32 = u32::MAX;
/// Bytes of `struct iov_iter` that are read; all of it on every kernel known.
const ITER: u32 = 40;
/// Bytes of `struct iovec`.
const PIECE: u64 = 16;
/// `UIO_MAXIOV` of kernel `include/uapi/linux/uio.h`.
const MOST_PIECES: u32 = 1024;
/// Pieces that usual programs use: a head and a few buffers.
const FEW_PIECES: u32 = 16;

/// Byte offset of `msg_iter` in `struct msghdr`.
#[unsafe(no_mangle)]
pub static MSG_ITER: Global<u32> = Global::new(ABSENT);
/// Byte offset of the kind in `struct iov_iter`.
#[unsafe(no_mangle)]
pub static ITER_KIND: Global<u32> = Global::new(ABSENT);
/// Bits of the byte there that tell the kind.
#[unsafe(no_mangle)]
pub static ITER_KIND_MASK: Global<u64> = Global::new(0xff);
/// Byte offset of `iov_offset`.
#[unsafe(no_mangle)]
pub static ITER_OFFSET: Global<u32> = Global::new(ABSENT);
/// Byte offset of the pointer to pieces, or to the one buffer.
#[unsafe(no_mangle)]
pub static ITER_BASE: Global<u32> = Global::new(ABSENT);
/// The kind `ITER_IOVEC`.
#[unsafe(no_mangle)]
pub static KIND_IOVEC: Global<u32> = Global::new(ABSENT);
/// The kind `ITER_UBUF`; 5.10 has none.
#[unsafe(no_mangle)]
pub static KIND_UBUF: Global<u32> = Global::new(ABSENT);

/// A value in a kernel structure.
#[inline(always)]
pub fn kernel<T>(structure: *const u8, offset: u32) -> Option<T> {
    if offset == ABSENT {
        return None;
    }
    let mut value = MaybeUninit::<T>::uninit();
    let from = unsafe { structure.add(offset as usize) };
    let result = unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            from.cast(),
        )
    };
    (result == 0).then(|| unsafe { value.assume_init() })
}

/// Where the bytes are that a call moved.
pub struct Memory {
    /// Address of all of them, if they lie in one piece; else 0.
    pub address: u64,
    /// The piece behind the last byte, or with it.
    pub pieces: u64,
    /// Bytes at the end of that piece that do not belong to it.
    pub over: u64,
}

/// Looks for the last `moved` bytes; `None` if they are not in the memory of a program.
#[inline(always)]
pub fn memory(msg: *const u8, moved: u64) -> Option<Memory> {
    let iter: [u8; ITER as usize] = kernel(msg, MSG_ITER.load())?;
    let (kind_at, offset_at, base_at) = (ITER_KIND.load(), ITER_OFFSET.load(), ITER_BASE.load());
    if kind_at > ITER - 1 || offset_at > ITER - 8 || base_at > ITER - 8 {
        return None;
    }
    let (kind, offset, base) = unsafe {
        let at = iter.as_ptr();
        (
            at.add(kind_at as usize).read_volatile(),
            at.add(offset_at as usize).cast::<u64>().read_volatile(),
            at.add(base_at as usize).cast::<u64>().read_volatile(),
        )
    };
    let kind = (u64::from(kind) & ITER_KIND_MASK.load()) as u32;
    if kind == KIND_UBUF.load() {
        return Some(Memory {
            address: base.wrapping_add(offset).wrapping_sub(moved),
            pieces: 0,
            over: 0,
        });
    }
    if kind != KIND_IOVEC.load() {
        return None;
    }
    // At the beginning of a piece the bytes are in the one before.
    let back = if offset == 0 { PIECE } else { 0 };
    let pieces = base.wrapping_sub(back);
    let piece: [u64; 2] = kernel(pieces as *const u8, 0)?;
    let used = if offset == 0 { piece[1] } else { offset };
    let address = if used >= moved {
        piece[0].wrapping_add(used).wrapping_sub(moved)
    } else {
        0
    };
    Some(Memory {
        address,
        pieces,
        over: piece[1].wrapping_sub(used),
    })
}

/// Sends an event to the ring of `number` with the first `most` bytes of what was moved, or all, if
/// all lies in one piece. `look` sees them before they go and may refuse.
#[inline(always)]
pub fn send<B: 'static>(
    number: impl FnOnce() -> u64,
    address: u64,
    moved: u32,
    most: u32,
    fill: impl Fn(*mut EventHeader, *mut B),
    look: impl Fn(*const u8, u32) -> bool,
) -> Result<(), Unsent> {
    let n = if moved > most { most } else { moved };
    ring::send_payload(number, n, fill, |to, n| {
        let result = unsafe { bpf_probe_read_user(to.cast(), n, address as *const _) };
        result == 0 && look(to, n)
    })
}

/// The same for what lies in several pieces: the last one is at `pieces`, and its last
/// `over` bytes were not moved.
#[inline(always)]
pub fn send_pieces<B: 'static>(
    number: impl FnOnce() -> u64,
    pieces: u64,
    over: u64,
    moved: u32,
    fill: impl Fn(*mut EventHeader, *mut B),
    look: impl Fn(*const u8, u32) -> bool,
) -> Result<(), Unsent> {
    let Some(ring) = ring::of(number) else {
        return Err(Unsent::Full);
    };
    if moved < 4096 {
        match gather::<B, 4096, 8192, FEW_PIECES>(ring, pieces, over, moved, &fill, &look) {
            Err(Unsent::TooMany) => {}
            result => return result,
        }
    }
    if moved < 65_536 {
        return gather::<B, 65_536, 131_072, MOST_PIECES>(ring, pieces, over, moved, &fill, &look);
    }
    gather::<B, 524_288, 1_048_576, MOST_PIECES>(ring, pieces, over, moved, &fill, &look)
}

/// What the gathering has come to. It lies in the record, behind the place of the payload: what is
/// loaded from there the verifier knows nothing of, so that one round is to it as the next, whatever
/// was found.
#[repr(C)]
struct Progress {
    /// Bytes before the pieces gathered.
    end: u64,
    /// Address of the next piece.
    at: u64,
    /// Bytes at its end that were not moved.
    over: u64,
    /// Not 0: something could not be read.
    failed: u64,
}

/// The lesser of two numbers below 2^63, without a branch: each would double the ways through the
/// rounds that the verifier walks.
#[inline(always)]
fn less(a: u64, b: u64) -> u64 {
    let mut mask = a.wrapping_sub(b);
    // Through `asm`, or LLVM makes a branch of it.
    unsafe { asm!("{0} s>>= 63", inout(reg) mask) };
    b ^ ((a ^ b) & mask)
}

/// `end`, or 0 if there are failures; without a branch.
#[inline(always)]
fn rest(end: u64, failures: u64) -> u64 {
    let mut mask = failures | failures.wrapping_neg();
    unsafe { asm!("{0} s>>= 63", inout(reg) mask) };
    end & !mask
}

/// Gathers pieces from the last to the first. The record has twice the room it needs: the verifier
/// knows the place and the length of a piece each, not their sum.
#[inline(always)]
fn gather<B: 'static, const N: usize, const ROOM: usize, const MOST: u32>(
    ring: &EventRing,
    pieces: u64,
    over: u64,
    moved: u32,
    fill: &impl Fn(*mut EventHeader, *mut B),
    look: &impl Fn(*const u8, u32) -> bool,
) -> Result<(), Unsent> {
    let Some(mut entry) = ring.reserve_untyped::<Record<B, ROOM>>(0) else {
        return Err(Unsent::Full);
    };
    let (header, body, payload) = unsafe { Record::parts(entry.as_mut_ptr()) };
    fill(header, body);
    let limit = N as u64 - 1;
    let captured = if u64::from(moved) > limit {
        limit as u32
    } else {
        moved
    };
    unsafe { (*header).captured = captured };
    let progress: *mut Progress = unsafe { payload.add(ROOM - size_of::<Progress>()).cast() };
    let (end, at, left, failed) = unsafe {
        (
            &raw mut (*progress).end,
            &raw mut (*progress).at,
            &raw mut (*progress).over,
            &raw mut (*progress).failed,
        )
    };
    unsafe {
        end.write_volatile(u64::from(moved));
        at.write_volatile(pieces);
        left.write_volatile(over);
        failed.write_volatile(0);
    }
    for _ in 0..MOST {
        unsafe {
            let here = at.read_volatile();
            at.write_volatile(here.wrapping_sub(PIECE));
            let mut piece = MaybeUninit::<[u64; 2]>::uninit();
            let mut result =
                bpf_probe_read_kernel(piece.as_mut_ptr().cast(), PIECE as u32, here as *const _);
            let [base, length] = piece.assume_init();
            let whole = length.wrapping_sub(left.read_volatile());
            left.write_volatile(0);
            let before = end.read_volatile();
            let n = less(whole, before);
            let mut place = before - n;
            end.write_volatile(place);
            let mut n = less(n, limit - less(place, limit));
            // As in `ring`: the bounds the verifier needs, where LLVM cannot remove them.
            asm!("{0} &= {1}", inout(reg) place, const N - 1);
            asm!("{0} &= {1}", inout(reg) n, const N - 1);
            let from = base.wrapping_add(whole - less(whole, before));
            let to = payload.add(place as usize);
            result |= bpf_probe_read_user(to.cast(), n as u32, from as *const _);
            let failures = failed.read_volatile() | result as u64;
            failed.write_volatile(failures);
            if rest(end.read_volatile(), failures) == 0 {
                break;
            }
        }
    }
    let refused = unsafe {
        if failed.read_volatile() != 0 {
            Some(Unsent::Unreadable)
        } else if end.read_volatile() != 0 {
            Some(Unsent::TooMany)
        } else if !look(payload, captured) {
            Some(Unsent::Unreadable)
        } else {
            None
        }
    };
    if let Some(refused) = refused {
        entry.discard(u64::from(BPF_RB_NO_WAKEUP));
        return Err(refused);
    }
    entry.submit(ring::wake(ring, size_of::<Record<B, ROOM>>() as u64));
    Ok(())
}
