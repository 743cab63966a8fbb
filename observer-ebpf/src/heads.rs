//! Reads how long the body of a message is, so that its first byte not needed is known before it
//! passes.
//!
//! In: a message that begins where what a call or packet moved begins, its head whole. Out: which part
//! of the direction can be left out, or that this is not certain. It never guesses: whatever could
//! be read in two ways is left to the user half, which parses all of it.

use core::arch::asm;

use aya_ebpf::Global;
use observer_common::conn::{REQUEST_BODY, REQUEST_HEAD, REQUEST_PLAIN, REQUEST_WHOLE, span};

use crate::maps::HEADS;

/// First bytes of a body that are delivered if they may name an operation or an error.
#[unsafe(no_mangle)]
pub static BODY_PEEK: Global<u32> = Global::new(64 << 10);

/// Bytes of a head that are looked at; a longer one is left to the user half.
pub const MOST_HEAD: usize = 1024;
/// Read at once, and so beyond the last byte.
const AHEAD: usize = 8;
/// Words of the head, and the lines that may cut one.
const STEPS: u32 = MOST_HEAD as u32 / 8 + 64;
/// From this length on a body is left out: a shorter one costs less to hand over than to look for.
const BODY_FROM: u64 = 4 << 10;
/// Most that is left out at once: half of what the user half leaves out at once at most, and far
/// less than what sequence numbers can tell apart.
const BODY_MOST: u64 = 1 << 29;
/// Digits of a length: a terabyte.
const DIGITS: u64 = 13;

/// What begins with these eight bytes: nothing known.
pub const OPENING_NONE: u32 = 0;
/// A response of HTTP/1. Else what begins is a request, and one of [`REQUEST_PLAIN`],
/// [`REQUEST_BODY`] and [`REQUEST_HEAD`].
pub const OPENING_RESPONSE: u32 = 16;

/// A head that is looked at. Kept by processor: a program that interrupts another there writes its
/// own stamp first, and the other sees that at its end.
#[repr(C)]
pub struct Head {
    pub stamp: u64,
    /// Place of the next word.
    at: u64,
    /// Place behind the empty line; 0 if it did not come.
    end: u64,
    /// Place of the value of Content-Length; 0 if there is none.
    length_at: u64,
    /// Place of the value of Content-Type.
    type_at: u64,
    /// Not 0: left to the user half.
    unsure: u64,
    pub bytes: [u8; MOST_HEAD + AHEAD],
}

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;
/// Makes letters small.
const SMALL: u64 = 0x2020_2020_2020_2020;

/// The first `N` bytes of a word, as a comparison of small letters wants them.
const fn text<const N: usize>(text: &[u8; N]) -> u64 {
    let mut word = 0;
    let mut at = 0;
    while at < N {
        word |= (text[at] as u64) << (8 * at);
        at += 1;
    }
    word
}

/// The first `n` bytes of a word.
#[inline(always)]
const fn first(word: u64, n: u32) -> u64 {
    word & (u64::MAX >> (64 - 8 * n))
}

/// The eight bytes at a place; from the front again behind the last. One instruction: LLVM would
/// load bytes.
#[inline(always)]
fn word(bytes: *const u8, at: u64) -> u64 {
    let mut place = at;
    let value: u64;
    unsafe {
        asm!(
            "{0} &= {3}", "{1} += {0}", "{2} = *(u64 *)({1} + 0)",
            inout(reg) place, inout(reg) bytes => _, out(reg) value, const MOST_HEAD - 1
        );
    }
    let _ = place;
    value
}

/// What begins with these bytes: [`OPENING_RESPONSE`], one of the `REQUEST_` constants, or
/// [`OPENING_NONE`].
///
/// The name makes it a global function, which the verifier walks through by itself and once.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn opening_says(word: u64) -> u32 {
    if first(word, 7) == text(b"HTTP/1.") {
        return OPENING_RESPONSE;
    }
    let four = first(word, 4);
    if four == text(b"GET ") || four == text(b"DELE") || four == text(b"OPTI") {
        return REQUEST_PLAIN as u32;
    }
    if four == text(b"POST") || four == text(b"PUT ") || four == text(b"PATC") {
        return REQUEST_BODY as u32;
    }
    if four == text(b"HEAD") {
        return REQUEST_HEAD as u32;
    }
    OPENING_NONE
}

/// The part of the body that can be left out, as [`span`] packs it, or 0. The head is in
/// [`HEADS`], `n` bytes of it with this stamp; its first byte is at the place `at`; `request` is
/// what is known of the request that a response answers.
///
/// Global, as [`opening_says`].
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn head_says(stamp: u64, n: u32, at: u32, request: u32) -> u64 {
    let Some(head) = HEADS.get_ptr_mut(0) else {
        return 0;
    };
    let bytes: *const u8 = unsafe { (&raw const (*head).bytes).cast() };
    let n = u64::from(n);
    lines(head, bytes, n);
    let (end, length_at, type_at, unsure) = unsafe {
        (
            (&raw const (*head).end).read_volatile(),
            (&raw const (*head).length_at).read_volatile(),
            (&raw const (*head).type_at).read_volatile(),
            (&raw const (*head).unsure).read_volatile(),
        )
    };
    if end == 0 || end > n || length_at == 0 || unsure != 0 {
        return 0;
    }
    let mut length = number(bytes, length_at);
    let kind = kind(bytes, type_at);
    let response = first(word(bytes, 0), 7) == text(b"HTTP/1.");
    let peeked = if response {
        let status = word(bytes, 8) >> 8;
        let class = status & 0xff;
        // What these state is no length of what follows.
        let bodiless = class == u64::from(b'1')
            || first(status, 3) == text(b"204")
            || first(status, 3) == text(b"304");
        // The request was a HEAD after all, and the next response follows at once.
        let next = first(word(bytes, end), 7) == text(b"HTTP/1.");
        let request = request as u8;
        if bodiless || next || request == REQUEST_HEAD || request == REQUEST_WHOLE {
            return 0;
        }
        if class >= u64::from(b'4') {
            kind != KIND_OTHER
        } else {
            kind == KIND_TOLD && request != REQUEST_PLAIN
        }
    } else {
        kind != KIND_OTHER
    };
    let peek = if peeked {
        u64::from(BODY_PEEK.load())
    } else {
        0
    };
    if kind == KIND_MESSAGES || length < peek + BODY_FROM {
        return 0;
    }
    if length > BODY_MOST {
        length = BODY_MOST;
    }
    // Nobody else has been here meanwhile.
    if unsafe { (&raw const (*head).stamp).read_volatile() } != stamp {
        return 0;
    }
    let body = at.wrapping_add(end as u32);
    span(
        body.wrapping_add(peek as u32),
        body.wrapping_add(length as u32),
    )
}

/// Walks from line end to line end. What it finds lies in memory: what is loaded from there the
/// verifier knows nothing of, so that one step is to it as the next.
#[inline(always)]
fn lines(head: *mut Head, bytes: *const u8, n: u64) {
    let (at, end, length_at, type_at, unsure) = unsafe {
        (
            &raw mut (*head).at,
            &raw mut (*head).end,
            &raw mut (*head).length_at,
            &raw mut (*head).type_at,
            &raw mut (*head).unsure,
        )
    };
    unsafe {
        at.write_volatile(0);
        end.write_volatile(0);
        length_at.write_volatile(0);
        type_at.write_volatile(0);
        unsure.write_volatile(0);
    }
    for _ in 0..STEPS {
        let here = unsafe { at.read_volatile() };
        if here >= n {
            return;
        }
        // A line feed becomes zero, and the lowest zero byte its top bit.
        let zeros = word(bytes, here) ^ (ONES * b'\n' as u64);
        let found = zeros.wrapping_sub(ONES) & !zeros & TOPS;
        if found == 0 {
            unsafe { at.write_volatile(here + 8) };
            continue;
        }
        // Bytes up to it.
        let before = found.isolate_lowest_one() - 1;
        let line = here + ((before & ONES).wrapping_mul(ONES) >> 56);
        unsafe { at.write_volatile(line) };
        let start = word(bytes, line);
        if first(start, 2) == text(b"\r\n") {
            unsafe { end.write_volatile(line + 2) };
            return;
        }
        let byte = first(start, 1) as u8;
        // A folded line, or an end that not everybody takes for one.
        if byte == b' ' || byte == b'\t' || byte == b'\n' {
            unsafe { unsure.write_volatile(1) };
            return;
        }
        let name = start | SMALL;
        if name == text(b"content-") {
            let name = word(bytes, line + 8) | SMALL;
            if first(name, 7) == text(b"length:") {
                unsafe {
                    // Twice: they may differ.
                    unsure.write_volatile(length_at.read_volatile());
                    length_at.write_volatile(line + 15);
                }
            } else if first(name, 5) == text(b"type:") {
                unsafe { type_at.write_volatile(line + 13) };
            }
        } else if name == text(b"transfer") {
            unsafe { unsure.write_volatile(1) };
            return;
        }
        if unsafe { unsure.read_volatile() } != 0 {
            return;
        }
    }
}

/// A number of digits, with one blank before it at most and the end of the line behind it; else 0.
#[inline(always)]
fn number(bytes: *const u8, at: u64) -> u64 {
    let start = at + u64::from(first(word(bytes, at), 1) as u8 == b' ');
    let mut value = 0_u64;
    for digits in 0..DIGITS {
        let byte = first(word(bytes, start + digits), 1);
        if byte == u64::from(b'\r') {
            return value;
        }
        let digit = byte.wrapping_sub(u64::from(b'0'));
        if digit > 9 {
            return 0;
        }
        value = value * 10 + digit;
    }
    0
}

/// Nothing is said, or plain text.
const KIND_UNLABELLED: u8 = 0;
/// It may tell an operation or an error.
const KIND_TOLD: u8 = 1;
/// It surely does not.
const KIND_OTHER: u8 = 2;
/// Messages of a remote procedure call, which are counted.
const KIND_MESSAGES: u8 = 3;

/// What a body holds, by the first bytes of its type: as the user half sees it
/// (`protocol/content.rs`), but where that takes more than this to tell, [`KIND_TOLD`].
#[inline(always)]
fn kind(bytes: *const u8, at: u64) -> u8 {
    if at == 0 {
        return KIND_UNLABELLED;
    }
    let at = at + u64::from(first(word(bytes, at), 1) as u8 == b' ');
    let name = word(bytes, at) | SMALL;
    let other = first(name, 6) == text(b"image/")
        || first(name, 6) == text(b"video/")
        || first(name, 6) == text(b"audio/")
        || first(name, 5) == text(b"font/")
        || name == text(b"text/htm")
        || name == text(b"text/css")
        || name == text(b"text/csv")
        || name == text(b"text/jav");
    if other {
        return KIND_OTHER;
    }
    if name == text(b"text/pla") {
        return KIND_UNLABELLED;
    }
    if name != text(b"applicat") {
        return KIND_TOLD;
    }
    let name = word(bytes, at + 8) | SMALL;
    if name == text(b"ion/grpc") || name == text(b"ion/conn") {
        return KIND_MESSAGES;
    }
    if name == text(b"ion/octe")
        || first(name, 7) == text(b"ion/pdf")
        || first(name, 7) == text(b"ion/zip")
        || name == text(b"ion/gzip")
        || name == text(b"ion/java")
        || name == text(b"ion/wasm")
        || name == text(b"ion/x-ta")
        || name == text(b"ion/x-gz")
        || name == text(b"ion/x-bz")
        || name == text(b"ion/x-xz")
        || name == text(b"ion/zstd")
    {
        return KIND_OTHER;
    }
    KIND_TOLD
}
