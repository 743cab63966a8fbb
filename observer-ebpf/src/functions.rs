//! Socket functions: which process and thread moves a socket's bytes, where the tracepoints for it
//! are absent (before 6.12).
//!
//! `fexit` on the inet-level functions, which every way to move bytes passes but sendfile on
//! old kernels (kernel `net/ipv4/af_inet.c`, `net/ipv6/af_inet6.c`). They carry no payload; packets
//! do. The place after the last argument holds the result: the helper for it came with 5.17.
//!
//! Tracing programs reach socket-local storage and cookies by helpers from 5.11 and 5.12 on. The
//! second half serves the kernels before: it reads the cookie that the packets' programs made, and
//! keeps what it must by cookie.

use aya_ebpf::{
    helpers::generated::bpf_get_current_pid_tgid,
    macros::{btf_tracepoint, fexit},
    programs::{BtfTracePointContext, FExitContext},
};
use observer_common::{
    conn::Mover,
    event::{ClosedBody, INBOUND, KIND_CLOSED, KIND_OWNER, OUTBOUND},
};

use crate::{
    maps::{MOVERS, OWN_TGID, SOCK_COOKIE, SOCKET_SK, TLS_CALLS},
    ring,
    sockets::{TCP_CLOSE, header, moved_by_socket, owner},
};

/// `int inet_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)`
#[fexit(function = "inet_sendmsg")]
pub fn inet_sent(ctx: FExitContext) -> i32 {
    let _ = try_function(&ctx, ctx.arg(3), OUTBOUND);
    0
}

/// `int inet6_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)`
#[fexit(function = "inet6_sendmsg")]
pub fn inet6_sent(ctx: FExitContext) -> i32 {
    let _ = try_function(&ctx, ctx.arg(3), OUTBOUND);
    0
}

/// `int inet_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)`
#[fexit(function = "inet_recvmsg")]
pub fn inet_received(ctx: FExitContext) -> i32 {
    let _ = try_function(&ctx, ctx.arg(4), INBOUND);
    0
}

/// `int inet6_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)`
#[fexit(function = "inet6_recvmsg")]
pub fn inet6_received(ctx: FExitContext) -> i32 {
    let _ = try_function(&ctx, ctx.arg(4), INBOUND);
    0
}

/// `int inet_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)`
#[fexit(function = "inet_sendmsg")]
pub fn inet_sent_by_cookie(ctx: FExitContext) -> i32 {
    let _ = try_by_cookie(&ctx, ctx.arg(3), OUTBOUND);
    0
}

/// `int inet6_sendmsg(struct socket *sock, struct msghdr *msg, size_t size)`
#[fexit(function = "inet6_sendmsg")]
pub fn inet6_sent_by_cookie(ctx: FExitContext) -> i32 {
    let _ = try_by_cookie(&ctx, ctx.arg(3), OUTBOUND);
    0
}

/// `int inet_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)`
#[fexit(function = "inet_recvmsg")]
pub fn inet_received_by_cookie(ctx: FExitContext) -> i32 {
    let _ = try_by_cookie(&ctx, ctx.arg(4), INBOUND);
    0
}

/// `int inet6_recvmsg(struct socket *sock, struct msghdr *msg, size_t size, int flags)`
#[fexit(function = "inet6_recvmsg")]
pub fn inet6_received_by_cookie(ctx: FExitContext) -> i32 {
    let _ = try_by_cookie(&ctx, ctx.arg(4), INBOUND);
    0
}

/// `TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)`
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn socket_state_by_cookie(ctx: BtfTracePointContext) -> i32 {
    let _ = try_state(&ctx);
    0
}

/// A pointer in a kernel structure. The verifier checks the place against the kernel's types.
#[inline(always)]
unsafe fn pointer(to: *const u8, offset: u32) -> *mut core::ffi::c_void {
    unsafe {
        to.add(offset as usize)
            .cast::<*mut core::ffi::c_void>()
            .read_volatile()
    }
}

#[inline(always)]
fn sk(ctx: &FExitContext) -> Option<*mut core::ffi::c_void> {
    let offset = SOCKET_SK.load();
    if offset == u32::MAX {
        return None;
    }
    let sk = unsafe { pointer(ctx.arg(0), offset) };
    (!sk.is_null()).then_some(sk)
}

#[inline(always)]
fn try_function(ctx: &FExitContext, moved: i32, direction: u8) -> Option<()> {
    moved_by_socket(sk(ctx)?, moved, direction)
}

/// The cookie that was made when the socket's first packet was looked at.
#[inline(always)]
fn cookie(sk: *mut core::ffi::c_void) -> Option<u64> {
    let offset = SOCK_COOKIE.load();
    if offset == u32::MAX {
        return None;
    }
    let cookie = unsafe {
        sk.cast::<u8>()
            .add(offset as usize)
            .cast::<u64>()
            .read_volatile()
    };
    (cookie != 0).then_some(cookie)
}

#[inline(always)]
fn try_by_cookie(ctx: &FExitContext, moved: i32, direction: u8) -> Option<()> {
    if moved <= 0 {
        return None;
    }
    let cookie = cookie(sk(ctx)?)?;
    let thread = unsafe { bpf_get_current_pid_tgid() };
    let tgid = (thread >> 32) as u32;
    if tgid == OWN_TGID.load() {
        return None;
    }
    let mover = match MOVERS.get_ptr_mut(&cookie) {
        Some(mover) => mover,
        None => {
            MOVERS.insert(&cookie, &Mover::default(), 0).ok()?;
            MOVERS.get_ptr_mut(&cookie)?
        }
    };
    if let Some(call) = TLS_CALLS.get_ptr(&thread) {
        let object = unsafe { (*call).key.object };
        if unsafe { (*mover).tls_object } == object {
            return None;
        }
        crate::tls::bind(unsafe { &(*call).key }, cookie)?;
        unsafe { (*mover).tls_object = object };
        return Some(());
    }
    if unsafe { (*mover).owner } == tgid {
        return None;
    }
    unsafe { (*mover).owner = tgid };
    let body = owner(thread);
    let _ = ring::send(header(cookie, KIND_OWNER, direction), body);
    Some(())
}

#[inline(always)]
fn try_state(ctx: &BtfTracePointContext) -> Option<()> {
    let new_state: i32 = ctx.arg(2);
    if new_state != TCP_CLOSE {
        return None;
    }
    let cookie = cookie(ctx.arg(0))?;
    let _ = MOVERS.remove(&cookie);
    let _ = ring::send(header(cookie, KIND_CLOSED, INBOUND), ClosedBody::default());
    Some(())
}
