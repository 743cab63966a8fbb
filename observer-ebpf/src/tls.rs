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
    conn::REQUEST_WHOLE,
    counter::SOURCE_TLS,
    event::{
        EventHeader, FLAG_SKIPS, INBOUND, KIND_PLAINTEXT, KIND_TLS_FREED, PlaintextBody,
        TlsFreedBody,
    },
    tls::{
        APPLICATION_DATA, COUNT_IN_4TH, COUNT_IN_5TH, COUNT_IN_RESULT, COUNT_NONE, TlsCall,
        TlsCookie, TlsKey, TlsStream,
    },
};

use crate::{
    ledger::{self, Rest},
    maps::{OWN_TGID, TLS_CALLS, TLS_CONTROL, TLS_NEW, TLS_STREAMS},
    ring::{self, HEAD, Unsent},
    skipping::{LOOK_FROM_CALL, NOTHING, Way, part},
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
    let (second, third, fourth) = unsafe {
        (
            (&raw const (*ctx.regs).rsi).read_volatile(),
            (&raw const (*ctx.regs).rdx).read_volatile(),
            (&raw const (*ctx.regs).rcx).read_volatile(),
        )
    };
    let buffer = if cookie.is_of_records() {
        if second as u32 != APPLICATION_DATA {
            return None;
        }
        third
    } else {
        second
    };
    if cookie.is_unless_flags() && fourth as u32 != 0 {
        return None;
    }
    if cookie.is_unless_inside()
        && let Some(outer) = TLS_CALLS.get_ptr_mut(&thread)
        && TlsCookie(unsafe { (*outer).cookie }).count() == COUNT_NONE
    {
        // Its return is not that of the outer one.
        unsafe { (*outer).captured += 1 };
        return None;
    }
    // Read (again) here: what lives over the look-up takes stack.
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
        key: TlsKey {
            object: ctx.arg(0)?,
            tgid: thread >> 32,
        },
        buffer,
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
    let cookie = TlsCookie(unsafe { (*call).cookie });
    if cookie.count() == COUNT_NONE && unsafe { (*call).captured } != 0 {
        unsafe { (*call).captured -= 1 };
        return None;
    }
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
    if controlled(call, stream) != 0 || wanted(call, stream) == 0 {
        return None;
    }
    spare(call, stream);
    send(call, stream)
}

/// What the user half said of this stream: 1 if the call is not needed. A function of its own, with
/// a stack of its own.
#[inline(never)]
fn controlled(call: *mut TlsCall, stream: *mut TlsStream) -> u32 {
    let Some(control) = TLS_CONTROL.get_ptr(unsafe { &(*stream).stream }) else {
        return 0;
    };
    let cookie = TlsCookie(unsafe { (*call).cookie });
    let until = unsafe {
        if cookie.direction() == INBOUND {
            (*control).skip_in
        } else {
            (*control).skip_out
        }
    };
    if unsafe { (*control).whole } != 0 {
        unsafe {
            (*stream).request = REQUEST_WHOLE;
            (*stream).skip_in = 0;
            (*stream).skip_out = 0;
        }
    }
    let why = if unsafe { (*control).duplicate } != 0 {
        Why::Duplicate
    } else if unsafe { *total(stream, cookie) } < until {
        // The call that reaches the place is delivered: it says when the body ended.
        Why::Skipped
    } else {
        return 0;
    };
    let _ = left_out(unsafe { (*call).count }, why);
    1
}

/// Which part of the call the user half needs: 0 if none. Steps over what is cut off at the front,
/// and leaves the rest in `call.captured`. A function of its own, with a stack of its own.
#[inline(never)]
fn wanted(call: *mut TlsCall, stream: *mut TlsStream) -> u32 {
    let cookie = TlsCookie(unsafe { (*call).cookie });
    let (buffer, moved) = unsafe { ((*call).buffer, (*call).count) };
    let way = Way {
        span: unsafe {
            if cookie.direction() == INBOUND {
                &raw mut (*stream).skip_in
            } else {
                &raw mut (*stream).skip_out
            }
        },
        request: unsafe { &raw mut (*stream).request },
        at: unsafe { *total(stream, cookie) - moved } as u32,
        len: moved as u32,
        last: 0,
        look_from: LOOK_FROM_CALL,
    };
    let (part, span) = part(&way, |from, to, n| unsafe {
        let from = buffer.wrapping_add(u64::from(from));
        bpf_probe_read_user(to.cast(), n, from as *const _) == 0
    });
    if part.0 == NOTHING {
        let _ = left_out(moved, Why::Skipped);
        return 0;
    }
    let cut = u64::from(part.cut());
    let left = moved.wrapping_sub(cut);
    let mut captured = part.skips() << SKIPS_BIT | span >> 32 << 32;
    // A write of more leaves a gap of known size.
    let most = part.most();
    captured |= if left > u64::from(most) {
        u64::from(most)
    } else {
        left
    };
    unsafe {
        (*call).buffer = buffer.wrapping_add(cut);
        (*call).count = left;
        (*call).captured = captured;
    }
    if cut != 0
        && let Some(row) = ledger::row(SOURCE_TLS)
    {
        ledger::add_calls(unsafe { &raw mut (*row).seen }, 0, cut);
        ledger::add_calls(unsafe { &raw mut (*row).skipped }, 0, cut);
    }
    1
}

/// Where the ring is crowded: the head alone. A function of its own, with a stack of its own.
#[inline(never)]
fn spare(call: *mut TlsCall, stream: *mut TlsStream) -> u32 {
    if bytes(unsafe { (*call).captured }) > HEAD && ring::crowded(|| unsafe { (*stream).stream }) {
        unsafe { (*call).captured = u64::from(HEAD) };
        return 1;
    }
    0
}

/// Bit of `call.captured`: the rest of the body is left out, up to what its upper half says. The
/// bits below hold how much is captured.
const SKIPS_BIT: u32 = 31;
const SKIPS: u64 = 1 << SKIPS_BIT;

/// Bytes that are captured.
#[inline(always)]
fn bytes(captured: u64) -> u32 {
    (captured & (SKIPS - 1)) as u32
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
    let n = bytes(unsafe { (*call).captured });
    let fill = |header: *mut EventHeader, body: *mut PlaintextBody| unsafe {
        // Helpers first: what lives over their calls takes stack.
        (*header).time_ns = bpf_ktime_get_ns();
        let thread = bpf_get_current_pid_tgid();
        (*body).tgid = (thread >> 32) as u32;
        (*body).tid = thread as u32;
        let cookie = TlsCookie((*call).cookie);
        (*header).kind = KIND_PLAINTEXT;
        (*header).direction = cookie.direction();
        (*header).cookie = (*stream).cookie;
        (*body).stream = (*stream).stream;
        (*body).object = (*call).key.object;
        (*body).offset = *total(stream, cookie) - (*call).count;
        (*body).moved = (*call).count as u32;
        (*body).library = cookie.library();
        let captured = (*call).captured;
        (*header).flags = (captured >> SKIPS_BIT & 1) as u16 * FLAG_SKIPS;
        (*body).until = (captured >> 32) as u32;
        (*body).pad = 0;
    };
    let result = ring::send_payload(
        || unsafe { (*stream).stream },
        n,
        fill,
        |to, n| unsafe { bpf_probe_read_user(to.cast(), n, (*call).buffer as *const _) == 0 },
    );
    let sent = match result {
        Ok(()) => SENT,
        Err(Unsent::Full) => FULL,
        Err(_) => UNREADABLE,
    };
    settle(call, sent);
    Some(())
}

const SENT: u32 = 0;
const FULL: u32 = 1;
const UNREADABLE: u32 = 2;

/// Books the call, and counts a request that the full ring cost. A function of its own, with a stack
/// of its own.
#[inline(never)]
fn settle(call: *mut TlsCall, sent: u32) -> u32 {
    let Some(row) = ledger::row(SOURCE_TLS) else {
        return 0;
    };
    let captured = unsafe { (*call).captured };
    let (n, moved) = (bytes(captured), unsafe { (*call).count } as u32);
    ledger::add(unsafe { &raw mut (*row).seen }, u64::from(moved));
    let rest = if captured & SKIPS != 0 {
        Rest::Skipped
    } else if n <= HEAD {
        Rest::Crowded
    } else {
        Rest::TooLarge
    };
    let result = match sent {
        SENT => Ok(()),
        FULL => Err(Unsent::Full),
        _ => Err(Unsent::Unreadable),
    };
    ledger::settle(row, result, n, moved, rest);
    if sent == FULL {
        // It has served, and its place is not on the stack.
        let word = unsafe { &raw mut (*call).captured };
        let from = unsafe { (*call).buffer } as *const _;
        if unsafe { bpf_probe_read_user(word.cast(), 4, from) } != 0 {
            return 0;
        }
        let word = u32::from_be(unsafe { word.cast::<u32>().read() });
        ledger::settle_request(row, word, moved);
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
    let _ = ring::send_filled(
        || body.stream,
        |to, to_body: *mut TlsFreedBody| unsafe {
            to.write(header);
            to_body.write(body);
        },
    );
    Some(())
}
