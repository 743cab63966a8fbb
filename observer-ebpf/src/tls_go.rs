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
    tls::{TlsCookie, TlsKey, go_key},
};

use crate::{
    maps::{GO_CALLS, GO_NEW, OWN_TGID},
    tls::{deliver, freed},
};

/// `func (c *Conn) Read(b []byte) (int, error)`, and `Write`, before the registers change.
#[uprobe(multi)]
pub fn tls_go_enter(ctx: ProbeContext) -> u32 {
    let _ = try_enter(&ctx);
    0
}

/// At a `ret` of `Read`.
#[uprobe(multi)]
pub fn tls_go_return(ctx: ProbeContext) -> u32 {
    let _ = try_return(&ctx);
    0
}

/// `func (c *Conn) Close() error`
#[uprobe(multi)]
pub fn tls_go_close(ctx: ProbeContext) -> u32 {
    let _ = freed(&TlsKey {
        object: register(&ctx, Register::First),
        tgid: unsafe { bpf_get_current_pid_tgid() } >> 32,
    });
    0
}

/// What Go's calling convention keeps in a register.
#[derive(Clone, Copy)]
enum Register {
    /// First argument or result.
    First,
    Second,
    Third,
    /// The goroutine.
    G,
}

/// Volatile: the verifier wants each place of the context as a constant.
#[inline(always)]
fn register(ctx: &ProbeContext, which: Register) -> u64 {
    unsafe {
        let regs = ctx.regs;
        match which {
            Register::First => (&raw const (*regs).rax).read_volatile(),
            Register::Second => (&raw const (*regs).rbx).read_volatile(),
            Register::Third => (&raw const (*regs).rcx).read_volatile(),
            Register::G => (&raw const (*regs).r14).read_volatile(),
        }
    }
}

#[inline(always)]
fn try_enter(ctx: &ProbeContext) -> Option<()> {
    let tgid = unsafe { bpf_get_current_pid_tgid() } >> 32;
    if tgid as u32 == OWN_TGID.load() {
        return None;
    }
    let key = go_key(register(ctx, Register::G), tgid);
    GO_CALLS.insert(&key, GO_NEW.get(0)?, 0).ok()?;
    // Filled in place: with the call on the stack as well, it would pass 64 bytes.
    let call = GO_CALLS.get_ptr_mut(&key)?;
    let cookie = TlsCookie(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    unsafe {
        (*call).key.object = register(ctx, Register::First);
        (*call).key.tgid = tgid;
        (*call).buffer = register(ctx, Register::Second);
        (*call).count = register(ctx, Register::Third);
        (*call).cookie = cookie.0;
    }
    if cookie.direction() == OUTBOUND {
        // All of it is sent, or the connection is broken: the return says nothing more, and a probe
        // on it would be single-stepped.
        let _ = deliver(call);
        let _ = GO_CALLS.remove(&key);
    }
    Some(())
}

#[inline(always)]
fn try_return(ctx: &ProbeContext) -> Option<()> {
    let tgid = unsafe { bpf_get_current_pid_tgid() } >> 32;
    let key = go_key(register(ctx, Register::G), tgid);
    let result = register(ctx, Register::First);
    let call = GO_CALLS.get_ptr_mut(&key)?;
    // A result larger than the buffer is none of this call.
    if result <= unsafe { (*call).count } {
        unsafe { (*call).count = result };
        let _ = deliver(call);
    }
    let _ = GO_CALLS.remove(&key);
    Some(())
}
