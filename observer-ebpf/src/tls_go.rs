//! Probes on Go's own TLS: `crypto/tls.(*Conn).Read` and `Write`.
//!
//! Arguments are in registers since Go 1.17 (ABIInternal: receiver `rax`, slice `rbx`, `rcx`,
//! `rdi`; first result `rax`; `r14` the goroutine). A goroutine may enter a call on one thread and
//! return on another, so a call is kept by goroutine. The runtime moves stacks, so there is never
//! a uretprobe: the user half puts a probe on the call in `Read` that copies the plaintext, else
//! on its beginning and each `ret`.

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_get_attach_cookie, bpf_get_current_pid_tgid, bpf_probe_read_user},
    macros::uprobe,
    programs::ProbeContext,
};
use observer_common::{
    event::{INBOUND, OUTBOUND},
    tls::{GO_RECEIVER, TlsCall, TlsCookie, TlsKey, go_key},
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

/// At the call in `Read` that copies what was decrypted into the caller's buffer.
#[uprobe(multi)]
pub fn tls_go_copy(ctx: ProbeContext) -> u32 {
    let _ = try_copy(&ctx);
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
    /// Where the frame of the function begins.
    Frame,
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
            Register::Frame => (&raw const (*regs).rbp).read_volatile(),
        }
    }
}

#[inline(always)]
fn try_enter(ctx: &ProbeContext) -> Option<()> {
    let tgid = unsafe { bpf_get_current_pid_tgid() } >> 32;
    if tgid as u32 == OWN_TGID.load() {
        return None;
    }
    let call = begin(ctx, tgid)?;
    let cookie = TlsCookie(unsafe { (*call).cookie });
    unsafe { (*call).key.object = register(ctx, Register::First) };
    if cookie.direction() == OUTBOUND {
        // All of it is sent, or the connection is broken: the return says nothing more, and a probe
        // on it would be single-stepped.
        let _ = deliver(call);
    }
    Some(())
}

/// The call of this goroutine, with buffer and length as the registers have them.
///
/// It stays when it is done: to take it out and to put it in again costs as much as all the rest.
#[inline(always)]
fn begin(ctx: &ProbeContext, tgid: u64) -> Option<*mut TlsCall> {
    let key = go_key(register(ctx, Register::G), tgid);
    // Filled in place: with the call on the stack as well, it would pass 64 bytes.
    let call = match GO_CALLS.get_ptr_mut(&key) {
        Some(call) => call,
        None => {
            GO_CALLS.insert(&key, GO_NEW.get(0)?, 0).ok()?;
            GO_CALLS.get_ptr_mut(&key)?
        }
    };
    unsafe {
        (*call).key.tgid = tgid;
        (*call).buffer = register(ctx, Register::Second);
        (*call).count = register(ctx, Register::Third);
        (*call).cookie = bpf_get_attach_cookie(ctx.as_ptr());
    }
    Some(call)
}

/// `runtime.memmove(to, from, n)`: the bytes lie at `from` already. The receiver of `Read` lies where
/// the calling convention keeps it, behind the return address.
#[inline(always)]
fn try_copy(ctx: &ProbeContext) -> Option<()> {
    let tgid = unsafe { bpf_get_current_pid_tgid() } >> 32;
    if tgid as u32 == OWN_TGID.load() {
        return None;
    }
    let call = begin(ctx, tgid)?;
    let object = unsafe { &raw mut (*call).key.object };
    let from = register(ctx, Register::Frame).wrapping_add(GO_RECEIVER);
    if unsafe { bpf_probe_read_user(object.cast(), 8, from as *const _) } != 0 {
        return None;
    }
    deliver(call)
}

#[inline(always)]
fn try_return(ctx: &ProbeContext) -> Option<()> {
    let tgid = unsafe { bpf_get_current_pid_tgid() } >> 32;
    let key = go_key(register(ctx, Register::G), tgid);
    let result = register(ctx, Register::First);
    let call = GO_CALLS.get_ptr_mut(&key)?;
    let cookie = TlsCookie(unsafe { (*call).cookie });
    // A result larger than the buffer is none of this call.
    if cookie.direction() == INBOUND && result <= unsafe { (*call).count } {
        unsafe { (*call).count = result };
        let _ = deliver(call);
    }
    let _ = GO_CALLS.remove(&key);
    Some(())
}
