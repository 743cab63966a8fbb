//! Probes on Go's own TLS: `crypto/tls.(*Conn).Read` and `Write`.
//!
//! Arguments are in registers since Go 1.17 (ABIInternal: receiver `rax`, slice `rbx`, `rcx`,
//! `rdi`; first result `rax`; `r14` the goroutine). A goroutine may enter a call on one thread and
//! return on another, so a call is kept by goroutine. The runtime moves stacks, so there is never
//! a uretprobe: the user half puts a probe on each `ret`.

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_get_attach_cookie, bpf_get_current_pid_tgid},
    macros::uprobe,
    programs::ProbeContext,
};
use observer_common::{
    event::OUTBOUND,
    tls::{TlsCall, TlsCookie, TlsKey, go_key},
};

use crate::{
    maps::{GO_CALLS, OWN_TGID},
    tls::deliver,
};

/// `func (c *Conn) Read(b []byte) (int, error)`, and `Write`, before the registers change.
#[uprobe]
pub fn tls_go_enter(ctx: ProbeContext) -> u32 {
    let _ = try_enter(&ctx);
    0
}

/// At a `ret` of `Read`.
#[uprobe]
pub fn tls_go_return(ctx: ProbeContext) -> u32 {
    let _ = try_return(&ctx);
    0
}

/// `func (c *Conn) Close() error`
#[uprobe]
pub fn tls_go_close(ctx: ProbeContext) -> u32 {
    let object = unsafe { (&raw const (*ctx.regs).rax).read_volatile() };
    let _ = crate::tls::freed(object);
    0
}

#[inline(always)]
fn try_enter(ctx: &ProbeContext) -> Option<()> {
    let tgid = unsafe { bpf_get_current_pid_tgid() } >> 32;
    if tgid as u32 == OWN_TGID.load() {
        return None;
    }
    // Volatile: the verifier wants each place of the context as a constant.
    let (g, object, buffer, count) = unsafe {
        let regs = ctx.regs;
        (
            (&raw const (*regs).r14).read_volatile(),
            (&raw const (*regs).rax).read_volatile(),
            (&raw const (*regs).rbx).read_volatile(),
            (&raw const (*regs).rcx).read_volatile(),
        )
    };
    let cookie = TlsCookie(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    let call = TlsCall {
        key: TlsKey { object, tgid },
        buffer,
        count,
        cookie: cookie.0,
    };
    let key = go_key(g, tgid);
    GO_CALLS.insert(&key, &call, 0).ok()?;
    if cookie.direction() == OUTBOUND {
        // All of it is sent, or the connection is broken: the return says nothing more, and a probe
        // on it would be single-stepped.
        if let Some(call) = GO_CALLS.get_ptr_mut(&key) {
            let _ = deliver(call);
        }
        let _ = GO_CALLS.remove(&key);
    }
    Some(())
}

#[inline(always)]
fn try_return(ctx: &ProbeContext) -> Option<()> {
    let tgid = unsafe { bpf_get_current_pid_tgid() } >> 32;
    let (g, result) = unsafe {
        let regs = ctx.regs;
        (
            (&raw const (*regs).r14).read_volatile(),
            (&raw const (*regs).rax).read_volatile(),
        )
    };
    let key = go_key(g, tgid);
    let call = GO_CALLS.get_ptr_mut(&key)?;
    // A result larger than the buffer is none of this call.
    if result <= unsafe { (*call).count } {
        unsafe { (*call).count = result };
        let _ = deliver(call);
    }
    let _ = GO_CALLS.remove(&key);
    Some(())
}
