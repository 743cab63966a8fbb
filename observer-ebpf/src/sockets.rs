//! Socket tracepoints: which process and thread moves a socket's bytes, and when it closes.
//!
//! They carry no payload; packets do. `sock_send_length` and `sock_recv_length` exist on 6.12 and
//! newer (kernel `include/trace/events/sock.h`).

use aya_ebpf::{
    bindings::BPF_SK_STORAGE_GET_F_CREATE,
    helpers::generated::{
        bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_socket_cookie, bpf_ktime_get_ns,
        bpf_sk_storage_get,
    },
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use observer_common::{
    conn::{ConnState, EXCLUDED_YES, FILTER_NAMES, VERDICT_OTHER, VERDICT_TLS},
    event::{
        ClosedBody, EventHeader, INBOUND, KIND_CLOSED, KIND_OWNER, KIND_TLS_IO, OUTBOUND,
        OwnerBody, TlsIoBody,
    },
};

use crate::{
    filters::name_excluded,
    maps::{BOTH_SIDES, CONNS, FILTERS, OWN_TGID, TLS_CALLS},
    ring,
};

/// `TCP_CLOSE` of kernel `include/net/tcp_states.h`.
pub const TCP_CLOSE: i32 = 7;
const TCP_SYN_SENT: i32 = 2;
const TCP_LISTEN: i32 = 10;

/// TLS operations reported for one socket outside TLS library calls. Binding needs one or two
/// after the handshake; the bound keeps a program with an unknown TLS library from flooding.
pub const MAX_TLS_IO: u32 = 64;

/// `TP_PROTO(struct sock *sk, int ret, int flags)`
#[btf_tracepoint(function = "sock_send_length")]
pub fn socket_sent(ctx: BtfTracePointContext) -> i32 {
    let _ = try_moved(&ctx, OUTBOUND);
    0
}

/// `TP_PROTO(struct sock *sk, int ret, int flags)`
#[btf_tracepoint(function = "sock_recv_length")]
pub fn socket_received(ctx: BtfTracePointContext) -> i32 {
    let _ = try_moved(&ctx, INBOUND);
    0
}

/// `TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)`
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn socket_state(ctx: BtfTracePointContext) -> i32 {
    let _ = try_state(&ctx);
    0
}

#[inline(always)]
fn storage(sk: *mut core::ffi::c_void) -> Option<*mut ConnState> {
    let state = unsafe { bpf_sk_storage_get(CONNS.as_ptr(), sk, core::ptr::null_mut(), 0) };
    (!state.is_null()).then_some(state.cast())
}

#[inline(always)]
fn try_moved(ctx: &BtfTracePointContext, direction: u8) -> Option<()> {
    moved_by_socket(ctx.arg(0), ctx.arg(1), direction)
}

/// A thread moved `moved` bytes over `sk`; a negative number is an error and moved none.
#[inline(always)]
pub fn moved_by_socket(sk: *mut core::ffi::c_void, moved: i32, direction: u8) -> Option<()> {
    if moved <= 0 {
        return None;
    }
    let state = storage(sk)?;
    let verdict = unsafe { (*state).verdict };
    if unsafe { (*state).own } != 0 {
        return None;
    }
    let thread = unsafe { bpf_get_current_pid_tgid() };
    if unsafe { (*state).excluded } == EXCLUDED_YES {
        let call = TLS_CALLS.get_ptr(&thread)?;
        let stream = crate::tls::stream(unsafe { &(*call).key })?;
        unsafe { (*stream).excluded = 1 };
        return None;
    }
    if verdict != VERDICT_TLS && unsafe { (*state).from_start } == 0 {
        // Joined in the middle of a TLS record, whose bytes say nothing: the library call around
        // this operation does. The next packet tells the addresses.
        if TLS_CALLS.get_ptr(&thread).is_some() {
            unsafe {
                (*state).verdict = VERDICT_TLS;
                (*state).emitted = 0;
            }
            return try_tls_moved(sk, state, thread, moved as u32, direction);
        }
    }
    if verdict == VERDICT_OTHER {
        return None;
    }
    let tgid = (thread >> 32) as u32;
    if tgid == OWN_TGID.load() {
        unsafe { (*state).own = 1 };
        return None;
    }
    if verdict == VERDICT_TLS {
        return try_tls_moved(sk, state, thread, moved as u32, direction);
    }
    if unsafe { (*state).owner } == tgid {
        return None;
    }
    if BOTH_SIDES.load() == 0 && unsafe { (*state).connected & (*state).peer_local } != 0 {
        return None;
    }
    unsafe { (*state).owner = tgid };
    let body = owner(thread);
    if name_excluded(&body.comm) {
        unsafe { (*state).excluded = EXCLUDED_YES };
    }
    let _ = ring::send(header(cookie(sk), KIND_OWNER, direction), body);
    Some(())
}

#[inline(always)]
fn cookie(sk: *mut core::ffi::c_void) -> u64 {
    unsafe { bpf_get_socket_cookie(sk) }
}

/// The thread that runs, as the mover of a socket's bytes.
#[inline(always)]
pub fn owner(thread: u64) -> OwnerBody {
    let mut body = OwnerBody {
        tgid: (thread >> 32) as u32,
        tid: thread as u32,
        comm: [0; 16],
    };
    unsafe { bpf_get_current_comm((&raw mut body.comm).cast(), 16) };
    body
}

/// Binds the TLS object in use on this thread to the socket, or reports the operation so that the
/// user half can match it (a TLS object with memory buffers makes no socket call of its own).
#[inline(always)]
fn try_tls_moved(
    sk: *mut core::ffi::c_void,
    state: *mut ConnState,
    thread: u64,
    moved: u32,
    direction: u8,
) -> Option<()> {
    if let Some(call) = TLS_CALLS.get_ptr(&thread) {
        let object = unsafe { (*call).key.object };
        if unsafe { (*state).tls_object } == object {
            return None;
        }
        crate::tls::bind(unsafe { &(*call).key }, unsafe {
            bpf_get_socket_cookie(sk)
        })?;
        unsafe { (*state).tls_object = object };
        return Some(());
    }
    if unsafe { (*state).tls_object } != 0 || unsafe { (*state).tls_io } >= MAX_TLS_IO {
        return None;
    }
    unsafe { (*state).tls_io += 1 };
    let body = TlsIoBody {
        tgid: (thread >> 32) as u32,
        tid: thread as u32,
        moved,
        pad: 0,
    };
    let _ = ring::send(header(cookie(sk), KIND_TLS_IO, direction), body);
    Some(())
}

#[inline(always)]
fn try_state(ctx: &BtfTracePointContext) -> Option<()> {
    let new_state: i32 = ctx.arg(2);
    let sk: *mut core::ffi::c_void = ctx.arg(0);
    if FILTERS.load() & FILTER_NAMES != 0 && (new_state == TCP_LISTEN || new_state == TCP_SYN_SENT)
    {
        return try_opened(sk);
    }
    if new_state != TCP_CLOSE {
        return None;
    }
    let state = storage(sk)?;
    if unsafe { (*state).emitted } == 0 {
        return None;
    }
    unsafe { (*state).emitted = 0 };
    let body = ClosedBody {
        books: unsafe { (*state).books },
    };
    let _ = ring::send(header(cookie(sk), KIND_CLOSED, INBOUND), body);
    Some(())
}

/// A process listens or connects: if settings leave it out, its socket is, before any byte moves,
/// and what a listener accepts inherits that.
#[inline(always)]
fn try_opened(sk: *mut core::ffi::c_void) -> Option<()> {
    let body = owner(unsafe { bpf_get_current_pid_tgid() });
    if !name_excluded(&body.comm) {
        return None;
    }
    let flags = u64::from(BPF_SK_STORAGE_GET_F_CREATE);
    let state = unsafe { bpf_sk_storage_get(CONNS.as_ptr(), sk, core::ptr::null_mut(), flags) };
    if state.is_null() {
        return None;
    }
    let state = state.cast::<ConnState>();
    unsafe { (*state).excluded = EXCLUDED_YES };
    Some(())
}

#[inline(always)]
pub fn header(cookie: u64, kind: u8, direction: u8) -> EventHeader {
    EventHeader {
        kind,
        direction,
        flags: 0,
        captured: 0,
        time_ns: unsafe { bpf_ktime_get_ns() },
        cookie,
    }
}
