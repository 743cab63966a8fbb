//! Probes on TLS library functions: plaintext as it goes in and comes out.
//!
//! Attached once per library file for all processes. Entry keeps the arguments by thread; return
//! copies the buffer if bytes were moved. The user half says at attach time, in the cookie, where
//! the number of bytes is found.
//!
//! `multi`: one link for all places of a library (6.6 and newer); the user half renames the sections
//! where the kernel has no such links.

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{
        bpf_get_attach_cookie, bpf_get_current_pid_tgid, bpf_get_smp_processor_id,
        bpf_ktime_get_ns, bpf_probe_read_user,
    },
    macros::{uprobe, uretprobe},
    programs::{ProbeContext, RetProbeContext},
};
use observer_common::{
    counter::SOURCE_TLS,
    event::{EventHeader, INBOUND, KIND_PLAINTEXT, KIND_TLS_FREED, PlaintextBody, TlsFreedBody},
    tls::{
        COUNT_IN_4TH, COUNT_IN_5TH, COUNT_IN_RESULT, COUNT_NONE, TlsCall, TlsCookie, TlsKey,
        TlsStream,
    },
};

use crate::{
    ledger,
    maps::{OWN_TGID, TLS_CALLS, TLS_CONTROL, TLS_NEW, TLS_STREAMS},
    ring::{self, HEAD, LARGEST, Unsent},
};

/// `int f(SSL *s, void *buf, size_t num, ...)` with the argument registers still intact.
#[uprobe(multi)]
pub fn tls_enter(ctx: ProbeContext) -> u32 {
    let cookie = TlsCookie(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    let _ = try_enter(&ctx, cookie);
    0
}

/// At a branch of the function that holds its result.
#[uprobe(multi)]
pub fn tls_return(ctx: ProbeContext) -> u32 {
    let result = unsafe { (*ctx.regs).rax } as i32;
    let _ = try_return(result);
    0
}

/// When the function returns.
#[uretprobe(multi)]
pub fn tls_call_return(ctx: RetProbeContext) -> u32 {
    let result: i32 = ctx.ret();
    let _ = try_return(result);
    0
}

/// `void SSL_free(SSL *s)`
#[uprobe(multi)]
pub fn tls_free(ctx: ProbeContext) -> u32 {
    if let Some(object) = ctx.arg(0) {
        let tgid = unsafe { bpf_get_current_pid_tgid() } >> 32;
        let _ = freed(&TlsKey { object, tgid });
    }
    0
}

#[inline(always)]
pub fn try_enter(ctx: &ProbeContext, cookie: TlsCookie) -> Option<()> {
    let thread = unsafe { bpf_get_current_pid_tgid() };
    if (thread >> 32) as u32 == OWN_TGID.load() {
        return None;
    }
    // Volatile: LLVM would load from a computed register's place, and the verifier wants each
    // place of the context as a constant.
    let (fourth, fifth) = unsafe {
        (
            (&raw const (*ctx.regs).rcx).read_volatile(),
            (&raw const (*ctx.regs).r8).read_volatile(),
        )
    };
    if cookie.is_unless_flags() && fourth as u32 != 0 {
        return None;
    }
    if cookie.is_unless_inside()
        && let Some(outer) = TLS_CALLS.get_ptr(&thread)
        && TlsCookie(unsafe { (*outer).cookie }).count() == COUNT_NONE
    {
        return None;
    }
    let count = match cookie.count() {
        COUNT_IN_4TH => fourth,
        COUNT_IN_5TH => fifth,
        _ => 0,
    };
    let call = TlsCall {
        key: TlsKey {
            object: ctx.arg(0)?,
            tgid: thread >> 32,
        },
        buffer: ctx.arg(1)?,
        count,
        captured: 0,
        cookie: cookie.0,
    };
    TLS_CALLS.insert(&thread, &call, 0).ok()
}

/// The life of a TLS object that is going on, or a new one.
#[inline(always)]
pub fn stream(key: &TlsKey) -> Option<*mut TlsStream> {
    if let Some(stream) = TLS_STREAMS.get_ptr_mut(key) {
        return Some(stream);
    }
    let new = TLS_NEW.get(0)?;
    TLS_STREAMS.insert(key, new, 0).ok()?;
    let stream = TLS_STREAMS.get_ptr_mut(key)?;
    // Time and processor make it unique; the top bit tells it from a socket cookie.
    let number = (unsafe { bpf_ktime_get_ns() } << 8)
        | u64::from(unsafe { bpf_get_smp_processor_id() } & 0xff);
    unsafe { (*stream).stream = number | (1 << 63) };
    Some(stream)
}

/// The TLS object is used with this socket. If it was used with another before, that life is over:
/// an object lies where one lay whose end was not seen.
#[inline(always)]
pub fn bind(key: &TlsKey, cookie: u64) -> Option<()> {
    let bound = stream(key)?;
    let before = unsafe { (*bound).cookie };
    if before != 0 && before != cookie {
        let _ = freed(key);
        unsafe { (*stream(key)?).cookie = cookie };
    } else {
        unsafe { (*bound).cookie = cookie };
    }
    Some(())
}

/// Works in the memory of the call's own entry: another 64 bytes of stack, and the kernel (6.13 and
/// newer) would give the program a stack per processor, which a preempting task could overwrite.
#[inline(always)]
fn try_return(result: i32) -> Option<()> {
    let thread = unsafe { bpf_get_current_pid_tgid() };
    let call = TLS_CALLS.get_ptr_mut(&thread)?;
    if result > 0 {
        let _ = moved(call, result as u32);
    }
    let _ = TLS_CALLS.remove(&thread);
    Some(())
}

#[inline(always)]
fn moved(call: *mut TlsCall, result: u32) -> Option<()> {
    let cookie = TlsCookie(unsafe { (*call).cookie });
    if cookie.count() == COUNT_NONE {
        return None;
    }
    if cookie.count() == COUNT_IN_RESULT {
        unsafe { (*call).count = u64::from(result) };
    } else {
        let count = unsafe { &raw mut (*call).count };
        let from = unsafe { *count };
        if unsafe { bpf_probe_read_user(count.cast(), 8, from as *const _) } != 0 {
            return None;
        }
    }
    deliver(call)
}

/// Hands over what a call moved: `call.count` bytes at `call.buffer`.
#[inline(always)]
pub fn deliver(call: *mut TlsCall) -> Option<()> {
    let cookie = TlsCookie(unsafe { (*call).cookie });
    let moved = unsafe { (*call).count };
    if moved == 0 || moved > u64::from(u32::MAX) {
        return None;
    }
    let stream = stream(unsafe { &(*call).key })?;
    unsafe { *total(stream, cookie) += moved };
    if unsafe { (*stream).excluded } != 0 {
        return left_out(moved, Why::Excluded);
    }
    if let Some(control) = TLS_CONTROL.get_ptr(unsafe { &(*stream).stream }) {
        let until = unsafe {
            if cookie.direction() == INBOUND {
                (*control).skip_in
            } else {
                (*control).skip_out
            }
        };
        let duplicate = unsafe { (*control).duplicate } != 0;
        // The call that reaches the place is delivered: it says when the body ended.
        if duplicate || unsafe { *total(stream, cookie) } < until {
            let why = if duplicate {
                Why::Duplicate
            } else {
                Why::Skipped
            };
            return left_out(moved, why);
        }
    }
    send(call, stream)
}

/// Why a call is not needed.
enum Why {
    Excluded,
    Duplicate,
    Skipped,
}

/// Books a call that the user half does not need.
#[inline(always)]
fn left_out(moved: u64, why: Why) -> Option<()> {
    let row = ledger::row(SOURCE_TLS)?;
    ledger::add(unsafe { &raw mut (*row).seen }, moved);
    let tally = unsafe {
        match why {
            Why::Excluded => &raw mut (*row).excluded,
            Why::Duplicate => &raw mut (*row).duplicate,
            Why::Skipped => &raw mut (*row).skipped,
        }
    };
    ledger::add(tally, moved);
    Some(())
}

/// Plaintext moved so far in the probe's direction.
#[inline(always)]
pub fn total(stream: *mut TlsStream, cookie: TlsCookie) -> *mut u64 {
    if cookie.direction() == INBOUND {
        unsafe { &raw mut (*stream).bytes_in }
    } else {
        unsafe { &raw mut (*stream).bytes_out }
    }
}

/// `call.count` holds the number of bytes, and they are in the stream's total already.
#[inline(always)]
fn send(call: *mut TlsCall, stream: *mut TlsStream) -> Option<()> {
    let row = ledger::row(SOURCE_TLS)?;
    let moved = unsafe { (*call).count } as u32;
    ledger::add(unsafe { &raw mut (*row).seen }, u64::from(moved));
    // A write of more leaves a gap of known size.
    let most = if moved > HEAD && ring::crowded() {
        HEAD
    } else {
        LARGEST
    };
    let n = if moved > most { most } else { moved };
    unsafe { (*call).captured = u64::from(n) };
    let fill = |header: *mut EventHeader, body: *mut PlaintextBody| unsafe {
        let cookie = TlsCookie((*call).cookie);
        let thread = bpf_get_current_pid_tgid();
        (*header).kind = KIND_PLAINTEXT;
        (*header).direction = cookie.direction();
        (*header).flags = 0;
        (*header).time_ns = bpf_ktime_get_ns();
        (*header).cookie = (*stream).cookie;
        (*body).stream = (*stream).stream;
        (*body).object = (*call).key.object;
        (*body).offset = *total(stream, cookie) - (*call).count;
        (*body).moved = (*call).count as u32;
        (*body).tgid = (thread >> 32) as u32;
        (*body).tid = thread as u32;
        (*body).library = cookie.library();
    };
    let result = ring::send_payload(n, fill, |to, n| unsafe {
        bpf_probe_read_user(to.cast(), n, (*call).buffer as *const _) == 0
    });
    // Looked up again, which costs less than the stack to keep it.
    let row = ledger::row(SOURCE_TLS)?;
    let moved = unsafe { (*call).count } as u32;
    let n = unsafe { (*call).captured } as u32;
    // The cookie has served, and its place is not on the stack.
    unsafe { (*call).cookie = u64::from(matches!(result, Err(Unsent::Full))) };
    ledger::settle(row, result, n, moved, n <= HEAD);
    if unsafe { (*call).cookie } != 0 {
        lost(call);
    }
    Some(())
}

/// Counts a request that the full ring cost. A function of its own, with a stack of its own.
#[inline(never)]
fn lost(call: *mut TlsCall) -> u32 {
    let word = unsafe { &raw mut (*call).captured };
    let from = unsafe { (*call).buffer } as *const _;
    if unsafe { bpf_probe_read_user(word.cast(), 4, from) } != 0 {
        return 0;
    }
    if let Some(row) = ledger::row(SOURCE_TLS) {
        let word = u32::from_be(unsafe { word.cast::<u32>().read() });
        ledger::settle_request(row, word, unsafe { (*call).count } as u32);
    }
    1
}

/// The TLS object ends here, or begins anew.
#[inline(always)]
pub fn freed(key: &TlsKey) -> Option<()> {
    let stream = TLS_STREAMS.get_ptr(key)?;
    let body = TlsFreedBody {
        stream: unsafe { (*stream).stream },
    };
    let header = EventHeader {
        kind: KIND_TLS_FREED,
        direction: INBOUND,
        flags: 0,
        captured: 0,
        time_ns: unsafe { bpf_ktime_get_ns() },
        cookie: unsafe { (*stream).cookie },
    };
    let _ = TLS_STREAMS.remove(key);
    let _ = ring::send(header, body);
    Some(())
}
