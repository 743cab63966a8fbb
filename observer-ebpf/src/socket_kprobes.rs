//! The programs of `socket_functions` for kernels that have kprobes and no trampolines (arm64 before
//! 6.0, kernels without `CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS`).
//!
//! The end of a function shows its result and no argument, so a second program keeps the arguments
//! at its beginning, by thread. Where the kernel misses an end (it keeps room for so many calls at a
//! time), those bytes are not seen here; the place of the next ones in the stream tells how many.

use aya_ebpf::{
    helpers::generated::bpf_get_current_pid_tgid,
    macros::{kprobe, kretprobe},
    programs::{ProbeContext, RetProbeContext},
};
use observer_common::{
    event::{INBOUND, OUTBOUND},
    socket::FunctionCall,
};

use crate::{
    maps::{FUNCTION_CALLS, OWN_TGID},
    socket_bytes::Look,
    socket_functions::{
        ktls_begins, try_gone, try_moved, try_spliced, try_unix_begins, try_unix_connects,
        unix_ends,
    },
};

/// A thread's key leaves its upper bits free (`PID_MAX_LIMIT` of kernel `include/linux/threads.h` is
/// 2^22): they tell functions apart, one of which may call another.
const FUNCTION_SHIFT: u32 = 56;

/// Declares both programs of one function. `$number` tells it from the others.
macro_rules! function {
    ($number:literal, $arguments:ident, $result:ident, |$call:ident, $value:ident| $then:expr) => {
        #[kprobe]
        pub fn $arguments(ctx: ProbeContext) -> u32 {
            let _ = keep($number, &ctx);
            0
        }

        #[kretprobe]
        pub fn $result(ctx: RetProbeContext) -> u32 {
            if let Some($call) = take($number) {
                let $value: i64 = ctx.ret();
                let _ = $then;
            }
            0
        }
    };
}

function!(1, tcp_sent_arguments, tcp_sent_result, |call, n| {
    try_moved(
        call.first(),
        call.second(),
        n as i32,
        OUTBOUND,
        0,
        Look::First,
    )
});
function!(2, tcp6_sent_arguments, tcp6_sent_result, |call, n| {
    try_moved(
        call.first(),
        call.second(),
        n as i32,
        OUTBOUND,
        0,
        Look::First,
    )
});
function!(3, tcp_received_arguments, tcp_received_result, |call, n| {
    try_moved(
        call.first(),
        call.second(),
        n as i32,
        INBOUND,
        call.fourth,
        Look::First,
    )
});
function!(
    4,
    tcp6_received_arguments,
    tcp6_received_result,
    |call, n| {
        try_moved(
            call.first(),
            call.second(),
            n as i32,
            INBOUND,
            call.fourth,
            Look::First,
        )
    }
);
function!(5, unix_sent_arguments, unix_sent_result, |call, n| {
    try_moved(
        call.first(),
        call.second(),
        n as i32,
        OUTBOUND,
        0,
        Look::First,
    )
});
function!(
    6,
    unix_received_arguments,
    unix_received_result,
    |call, n| {
        try_moved(
            call.first(),
            call.second(),
            n as i32,
            INBOUND,
            call.fourth,
            Look::First,
        )
    }
);
function!(7, page_sent_arguments, page_sent_result, |call, n| {
    try_gone(call.first(), n, OUTBOUND, Look::First)
});
function!(
    8,
    unix_page_sent_arguments,
    unix_page_sent_result,
    |call, n| { try_gone(call.first(), n, OUTBOUND, Look::First) }
);
function!(9, spliced_in_arguments, spliced_in_result, |call, n| {
    try_spliced(call.first(), n, Look::First)
});
function!(
    10,
    unix_connected_arguments,
    unix_connected_result,
    |call, n| { try_unix_connects(call.first(), n as i32) }
);
function!(
    11,
    unix_accepted_arguments,
    unix_accepted_result,
    |call, _n| { try_unix_begins(call.second(), 0) }
);
function!(12, unix_paired_arguments, unix_paired_result, |call, _n| {
    let _ = try_unix_begins(call.first(), 0);
    try_unix_begins(call.second(), 0)
});
function!(13, ktls_begun_arguments, ktls_begun_result, |call, _n| {
    ktls_begins(call.first());
});

#[kprobe]
pub fn unix_closed_begins(ctx: ProbeContext) -> u32 {
    if let Some(socket) = ctx.arg(0) {
        unix_ends(socket);
    }
    0
}

#[inline(always)]
fn key(number: u64) -> Option<u64> {
    let thread = unsafe { bpf_get_current_pid_tgid() };
    let own = (thread >> 32) as u32 == OWN_TGID.load();
    (!own).then_some(thread | number << FUNCTION_SHIFT)
}

#[inline(always)]
fn keep(number: u64, ctx: &ProbeContext) -> Option<()> {
    let fourth: u64 = ctx.arg(3)?;
    let call = FunctionCall {
        first: ctx.arg(0)?,
        second: ctx.arg(1)?,
        fourth: fourth as u32,
        pad: 0,
    };
    FUNCTION_CALLS.insert(&key(number)?, &call, 0).ok()
}

#[inline(always)]
fn take(number: u64) -> Option<FunctionCall> {
    let key = key(number)?;
    let call = unsafe { *FUNCTION_CALLS.get_ptr(&key)? };
    let _ = FUNCTION_CALLS.remove(&key);
    Some(call)
}
