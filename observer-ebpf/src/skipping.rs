//! Leaves out the part of a body that nobody needs, from the head of its message on.
//!
//! In: where what a call or packet moved begins and how long it is, and a way to read it. Out: which
//! of it is delivered. The part left out ends where the body does, so what follows is read as if
//! all had been delivered; the user half is told with the head, and decides the same.

use core::arch::asm;

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use observer_common::conn::{REQUEST_BODY, REQUEST_HEAD, REQUEST_WHOLE};

use crate::{
    heads::{MOST_HEAD, OPENING_NONE, OPENING_RESPONSE, head_says, opening_says},
    maps::HEADS,
    ring::LARGEST,
};

/// Nothing of it is delivered.
pub const NOTHING: u64 = 0;
/// Bit: the user half is told that the rest of the body is left out.
const SKIPS: u64 = 1 << 62;
/// Bit: the part that is left out ends here.
const PASSED: u64 = 1 << 63;

/// A message of which so much comes in one packet may have a long body: more than a body of 1 KiB
/// with its head, and less than a full packet of most networks.
pub const LOOK_FROM_PACKET: u32 = 1360;
/// The same of one call, which costs more than the look: many servers read a head with a buffer of
/// 1 KiB.
pub const LOOK_FROM_CALL: u32 = 1024;
/// Shortest head that is worth a look.
const SHORTEST: u32 = 32;

/// What is delivered of what was moved, as [`part`] says it.
#[derive(Clone, Copy)]
pub struct Part(pub u64);

impl Part {
    /// Bytes at the front that are left out.
    #[inline(always)]
    pub fn cut(self) -> u32 {
        (self.0 >> 32) as u32 & 0x3fff_ffff
    }

    /// Bytes delivered at most, after those.
    #[inline(always)]
    pub fn most(self) -> u32 {
        self.0 as u32
    }

    /// 1: the user half is told that the rest of the body is left out.
    #[inline(always)]
    pub fn skips(self) -> u64 {
        self.0 >> 62 & 1
    }

    /// 1: the part left out ends here.
    #[inline(always)]
    pub fn passed(self) -> u64 {
        self.0 >> 63
    }

    /// The part left out, if it goes on.
    #[inline(always)]
    pub fn span_after(self, span: u64) -> u64 {
        let mut passed = self.0;
        // No branch, after which the verifier would walk two ways.
        unsafe { asm!("{0} s>>= 63", inout(reg) passed) };
        span & !passed
    }
}

/// Where a direction stands.
pub struct Way {
    /// The part left out, kept with the connection.
    pub span: *mut u64,
    /// One of the `REQUEST_` constants, kept with the connection.
    pub request: *mut u8,
    /// Place of the first byte moved.
    pub at: u32,
    /// Bytes moved.
    pub len: u32,
    /// 1: no more follow.
    pub last: u32,
    /// A message of at least so many bytes is looked at.
    pub look_from: u32,
}

/// What is delivered, and the span that this was decided by. `read` puts `n` bytes from an offset at a pointer.
#[inline(always)]
pub fn part(way: &Way, read: impl Fn(u32, *mut u8, u32) -> bool) -> (Part, u64) {
    let Way {
        span,
        request,
        at,
        len,
        last,
        look_from: _,
    } = *way;
    let mut begins = 0_u64;
    if len >= 8 && !read(0, (&raw mut begins).cast(), 8) {
        begins = 0;
    }
    let opening = opening_says(begins);
    if opening != OPENING_NONE {
        let active = unsafe { span.read_volatile() };
        if active != 0 {
            // A response where the body should begin: there was none, as its request was a HEAD.
            let left = (active as u32).wrapping_sub(at).cast_signed();
            if opening == OPENING_RESPONSE && left >= 0 {
                unsafe { span.write_volatile(0) };
            }
        } else {
            message(way, opening, unsafe { *request }, &read);
        }
    }
    let active = unsafe { span.read_volatile() };
    let part = Part(part_says(active, at, len, last));
    unsafe { span.write_volatile(part.span_after(active)) };
    (part, active)
}

/// A message begins here.
#[inline(always)]
fn message(way: &Way, opening: u32, request: u8, read: &impl Fn(u32, *mut u8, u32) -> bool) {
    if request == REQUEST_WHOLE {
        return;
    }
    if opening != OPENING_RESPONSE {
        unsafe { *way.request = opening as u8 };
        if opening != u32::from(REQUEST_BODY) {
            return;
        }
    } else if request == REQUEST_HEAD {
        return;
    }
    if way.len < SHORTEST {
        return;
    }
    if way.len < way.look_from {
        // A head alone: its body follows.
        let mut end = 0_u32;
        if !read(way.len - 4, (&raw mut end).cast(), 4) || end != u32::from_le_bytes(*b"\r\n\r\n") {
            return;
        }
    }
    let Some(head) = HEADS.get_ptr_mut(0) else {
        return;
    };
    let stamp = unsafe { bpf_ktime_get_ns() };
    let mut n = u64::from(if way.len > MOST_HEAD as u32 {
        MOST_HEAD as u32
    } else {
        way.len
    });
    // As in `ring`: the bound the verifier needs.
    unsafe {
        (&raw mut (*head).stamp).write_volatile(stamp);
        asm!("{0} += -1", "{0} &= {1}", "{0} += 1", inout(reg) n, const MOST_HEAD - 1);
        if read(0, (&raw mut (*head).bytes).cast(), n as u32) {
            way.span
                .write_volatile(head_says(stamp, n as u32, way.at, u32::from(request)));
        }
    }
}

/// What is delivered of `len` bytes at the place `at`: bits 0 to 31 at most so many, bits 32 to 61
/// after so many at the front, and [`SKIPS`] and [`PASSED`].
///
/// Global, as [`opening_says`].
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn part_says(span: u64, at: u32, len: u32, last: u32) -> u64 {
    let all = u64::from(LARGEST);
    if span == 0 {
        return all;
    }
    let len = i64::from(len);
    let from = i64::from((span as u32).wrapping_sub(at).cast_signed());
    let until = i64::from(((span >> 32) as u32).wrapping_sub(at).cast_signed());
    if until <= 0 {
        return PASSED | all;
    }
    if from > len {
        return all;
    }
    if from == len {
        // Nothing of it, but all that follows: nothing else would tell that.
        return if until > len { SKIPS | all } else { all };
    }
    if from > 0 {
        let from = if from > all.cast_signed() {
            all.cast_signed()
        } else {
            from
        };
        if until > len {
            return SKIPS | from as u64;
        }
        if until == len {
            return PASSED | SKIPS | from as u64;
        }
        // The next message follows in the same piece, and only a front or an end can be left out.
        return PASSED | all;
    }
    if until > len {
        // An end that comes with bytes is told with the last of them.
        return if last == 0 {
            NOTHING
        } else {
            ((len - 1) as u64) << 32 | 1
        };
    }
    // The last byte says when the body ended.
    PASSED | ((until - 1) as u64) << 32 | all
}
