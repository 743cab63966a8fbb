//! Probes on TLS library functions: plaintext as it goes in and comes out.
//!
//! Attached once per library file for all processes. Entry keeps the arguments by thread; return
//! copies the buffer if bytes were moved. The user half says at attach time, in the cookie, where
//! the number of bytes is found.

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
    tls::{COUNT_IN_4TH, COUNT_IN_5TH, COUNT_IN_RESULT, TlsCall, TlsCookie, TlsKey, TlsStream},
};

use crate::{
    ledger,
    maps::{OWN_TGID, TLS_CALLS, TLS_NEW, TLS_STREAMS},
    ring::{self, LARGEST},
};

/// `int f(SSL *s, void *buf, size_t num, ...)` with the argument registers still intact.
#[uprobe]
pub fn tls_enter(ctx: ProbeContext) -> u32 {
    let _ = try_enter(&ctx);
    0
}

/// At a branch of the function that holds its result.
#[uprobe]
pub fn tls_return(ctx: ProbeContext) -> u32 {
    let result = unsafe { (*ctx.regs).rax } as i32;
    let _ = try_return(ctx.as_ptr(), result);
    0
}

/// When the function returns.
#[uretprobe]
pub fn tls_call_return(ctx: RetProbeContext) -> u32 {
    let result: i32 = ctx.ret();
    let _ = try_return(ctx.as_ptr(), result);
    0
}

/// `void SSL_free(SSL *s)`
#[uprobe]
pub fn tls_free(ctx: ProbeContext) -> u32 {
    let _ = try_free(&ctx);
    0
}

#[inline(always)]
fn try_enter(ctx: &ProbeContext) -> Option<()> {
    let thread = unsafe { bpf_get_current_pid_tgid() };
    if (thread >> 32) as u32 == OWN_TGID.load() {
        return None;
    }
    let cookie = TlsCookie(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    // Volatile: LLVM would load from a computed register's place, and the verifier wants each
    // place of the context as a constant.
    let (fourth, fifth) = unsafe {
        (
            (&raw const (*ctx.regs).rcx).read_volatile(),
            (&raw const (*ctx.regs).r8).read_volatile(),
        )
    };
    let count = match cookie.count() {
        COUNT_IN_4TH => fourth,
        COUNT_IN_5TH => fifth,
        _ => 0,
    };
    let call = TlsCall {
        object: ctx.arg(0)?,
        buffer: ctx.arg(1)?,
        count,
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

#[inline(always)]
fn try_return(ctx: *mut core::ffi::c_void, result: i32) -> Option<()> {
    let _ = ctx;
    let thread = unsafe { bpf_get_current_pid_tgid() };
    let call = TLS_CALLS.get_ptr(&thread)?;
    let (object, buffer, count, cookie) = unsafe {
        (
            (*call).object,
            (*call).buffer,
            (*call).count,
            TlsCookie((*call).cookie),
        )
    };
    let _ = TLS_CALLS.remove(&thread);
    if result <= 0 {
        return None;
    }
    let mut moved = result as u64;
    if cookie.count() != COUNT_IN_RESULT {
        moved = 0;
        if unsafe { bpf_probe_read_user((&raw mut moved).cast(), 8, count as *const _) } != 0 {
            return None;
        }
    }
    if moved == 0 || moved > u64::from(u32::MAX) {
        return None;
    }
    let key = TlsKey {
        object,
        tgid: thread >> 32,
    };
    let stream = stream(&key)?;
    let direction = cookie.direction();
    let offset = unsafe {
        if direction == INBOUND {
            let before = (*stream).bytes_in;
            (*stream).bytes_in = before + moved;
            before
        } else {
            let before = (*stream).bytes_out;
            (*stream).bytes_out = before + moved;
            before
        }
    };
    send(stream, thread, cookie, object, buffer, offset, moved as u32)
}

#[inline(always)]
fn send(
    stream: *mut TlsStream,
    thread: u64,
    cookie: TlsCookie,
    object: u64,
    buffer: u64,
    offset: u64,
    moved: u32,
) -> Option<()> {
    let row = ledger::row(SOURCE_TLS)?;
    ledger::add(unsafe { &raw mut (*row).seen }, u64::from(moved));
    // A write of more leaves a gap of known size.
    let n = if moved > LARGEST { LARGEST } else { moved };
    let header = EventHeader {
        kind: KIND_PLAINTEXT,
        direction: cookie.direction(),
        flags: 0,
        captured: 0,
        time_ns: unsafe { bpf_ktime_get_ns() },
        cookie: unsafe { (*stream).cookie },
    };
    let body = PlaintextBody {
        stream: unsafe { (*stream).stream },
        object,
        offset,
        moved,
        tgid: (thread >> 32) as u32,
        tid: thread as u32,
        library: cookie.library(),
    };
    let result = ring::send_payload(header, body, n, |to, n| unsafe {
        bpf_probe_read_user(to.cast(), n, buffer as *const _) == 0
    });
    ledger::settle(row, result, n, moved);
    Some(())
}

#[inline(always)]
fn try_free(ctx: &ProbeContext) -> Option<()> {
    let thread = unsafe { bpf_get_current_pid_tgid() };
    let key = TlsKey {
        object: ctx.arg(0)?,
        tgid: thread >> 32,
    };
    let stream = TLS_STREAMS.get_ptr(&key)?;
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
    let _ = TLS_STREAMS.remove(&key);
    let _ = ring::send(header, body);
    Some(())
}
