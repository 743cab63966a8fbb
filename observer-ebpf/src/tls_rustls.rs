//! Probes on the record layer of rustls (0.23): `MessageEncrypter::encrypt` and
//! `MessageDecrypter::decrypt`, which every provider of cryptography implements and which are called
//! through a table of methods, so that no compiler puts them into their callers.
//!
//! `fn encrypt(&mut self, message: OutboundPlainMessage, seq: u64) -> Result<…>` and `decrypt` pass
//! their result by address (`rdi`), themselves in `rsi`, the message by address in `rdx`, and the
//! sequence number in `rcx`. An object carries one direction under one key: with sequence number 0 it
//! begins a life.
//!
//! The message to encrypt: a null word, then address and length of the plaintext; or address and
//! number of pieces, then the range of bytes that is meant; then its content type. The message to
//! decrypt: address and length of the ciphertext. The result of that: a tag, address and length of
//! the plaintext, which lies where the ciphertext lay, and its content type. The user half has seen
//! the functions' code read and write these places before it puts a probe there.

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_get_attach_cookie, bpf_get_current_pid_tgid, bpf_probe_read_user},
    macros::{uprobe, uretprobe},
    programs::{ProbeContext, RetProbeContext},
};
use observer_common::{
    counter::SOURCE_TLS,
    tls::{RecordCall, TlsCookie},
};

use crate::{
    ledger,
    maps::{OWN_TGID, RECORD_CALLS, RECORD_NEW},
    ring::Unsent,
    tls::{deliver, freed, stream, total},
};

/// Number of `ContentType::ApplicationData` among its siblings.
const APPLICATION_DATA: u8 = 3;
/// The highest tag of the errors that `decrypt` can give (`PeerSentOversizedRecord` in 0.23); that of
/// success is beyond all of them.
const LAST_ERROR: u8 = 17;
/// Bytes that a tag of authentication takes at the least.
const TAG: u64 = 16;
/// Pieces of one message that are followed: hyper queues 16 buffers at most as HTTP/1. What lies in
/// more is a gap of known size.
const MOST_PIECES: u64 = 16;

/// `encrypt`, before the registers change.
#[uprobe]
pub fn tls_record_encrypt(ctx: ProbeContext) -> u32 {
    if let Some(record) = begin(&ctx) {
        let _ = encrypt(record);
        let _ = RECORD_CALLS.remove(&unsafe { bpf_get_current_pid_tgid() });
    }
    0
}

/// `decrypt`, before the registers change.
#[uprobe]
pub fn tls_record_decrypt(ctx: ProbeContext) -> u32 {
    let _ = begin(&ctx);
    0
}

/// When `decrypt` returns.
#[uretprobe]
pub fn tls_record_decrypted(ctx: RetProbeContext) -> u32 {
    let thread = unsafe { bpf_get_current_pid_tgid() };
    if let Some(record) = RECORD_CALLS.get_ptr_mut(&thread) {
        let _ = decrypted(record, ctx.ret());
        let _ = RECORD_CALLS.remove(&thread);
    }
    0
}

/// What both functions begin with.
#[inline(always)]
fn begin(ctx: &ProbeContext) -> Option<*mut RecordCall> {
    let thread = unsafe { bpf_get_current_pid_tgid() };
    if (thread >> 32) as u32 == OWN_TGID.load() {
        return None;
    }
    RECORD_CALLS.insert(&thread, RECORD_NEW.get(0)?, 0).ok()?;
    let record = RECORD_CALLS.get_ptr_mut(&thread)?;
    // Volatile: the verifier wants each place of the context as a constant.
    unsafe {
        let regs = ctx.regs;
        let cookie = bpf_get_attach_cookie(ctx.as_ptr());
        (*record).cookie = cookie;
        (*record).call.cookie = cookie;
        (*record).call.key.object = (&raw const (*regs).rsi).read_volatile();
        (*record).call.key.tgid = thread >> 32;
        (*record).result_at = (&raw const (*regs).rdi).read_volatile();
        let message = (&raw const (*regs).rdx).read_volatile();
        let to = (&raw mut (*record).message).cast();
        if bpf_probe_read_user(to, 40, message as *const _) != 0 {
            return None;
        }
        if (&raw const (*regs).rcx).read_volatile() == 0 {
            let _ = freed(&(*record).call.key);
        }
    }
    Some(record)
}

#[inline(always)]
fn encrypt(record: *mut RecordCall) -> Option<()> {
    let [pieces, address, length, _, kind] = unsafe { (*record).message };
    if kind as u8 != APPLICATION_DATA {
        return None;
    }
    if pieces == 0 {
        unsafe {
            (*record).call.buffer = address;
            (*record).call.count = length;
        }
        tls_deliver(record);
        return Some(());
    }
    tls_pieces(record);
    Some(())
}

/// Delivers a message in pieces. A function of its own, with a stack of its own.
#[inline(never)]
fn tls_pieces(record: *mut RecordCall) -> u32 {
    for index in 0..MOST_PIECES {
        if index >= unsafe { (*record).message[1] } {
            return 0;
        }
        let piece = unsafe { &raw mut (*record).result };
        let from = unsafe { (*record).message[0] } + 16 * index;
        if unsafe { bpf_probe_read_user(piece.cast(), 16, from as *const _) } != 0 {
            break;
        }
        one_piece(record);
    }
    let _ = rest(record);
    1
}

/// Delivers what of a piece lies in the range that is meant.
#[inline(always)]
fn one_piece(record: *mut RecordCall) {
    unsafe {
        let [.., start, end, _] = (*record).message;
        let [address, length, position, _] = (*record).result;
        let after = position.wrapping_add(length);
        (*record).result[2] = after;
        let from = if start > position { start } else { position };
        let to = if end < after { end } else { after };
        if from < to {
            (*record).call.cookie = (*record).cookie;
            (*record).call.buffer = address.wrapping_add(from - position);
            (*record).call.count = to - from;
            tls_deliver(record);
        }
    }
}

/// A function of its own, with a stack of its own.
#[inline(never)]
fn tls_deliver(record: *mut RecordCall) -> u32 {
    let _ = deliver(unsafe { &raw mut (*record).call });
    0
}

/// Books what lies in more pieces than are followed.
#[inline(always)]
fn rest(record: *mut RecordCall) -> Option<()> {
    unsafe {
        let [.., start, end, _] = (*record).message;
        let position = (*record).result[2];
        let from = if start > position { start } else { position };
        let lost = end.checked_sub(from)?;
        if lost == 0 || lost > u64::from(u32::MAX) {
            return None;
        }
        let stream = stream(&(*record).call.key)?;
        *total(stream, TlsCookie((*record).cookie)) += lost;
        let row = ledger::row(SOURCE_TLS)?;
        ledger::add(&raw mut (*row).seen, lost);
        ledger::settle(row, Err(Unsent::TooMany), 0, lost as u32, false);
    }
    Some(())
}

#[inline(always)]
fn decrypted(record: *mut RecordCall, returned: u64) -> Option<()> {
    unsafe {
        if returned != (*record).result_at {
            return None;
        }
        let to = (&raw mut (*record).result).cast();
        if bpf_probe_read_user(to, 32, returned as *const _) != 0 {
            return None;
        }
        let [tag, address, length, kind] = (*record).result;
        let [place, size, ..] = (*record).message;
        // What is not in the place of the ciphertext, or too long for it, is none of this.
        if tag as u8 <= LAST_ERROR
            || kind as u8 != APPLICATION_DATA
            || address.wrapping_sub(place) > TAG
            || length.wrapping_add(TAG) > size
        {
            return None;
        }
        (*record).call.buffer = address;
        (*record).call.count = length;
    }
    tls_deliver(record);
    Some(())
}
