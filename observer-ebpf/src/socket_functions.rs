//! Socket functions: payload as programs hand it over and take it, where kprobes or trampolines are
//! there.
//!
//! `fexit` above TCP and above Unix sockets, so that one path covers read, write, sendmsg, sendmmsg
//! and io_uring, and the plaintext of TLS done by the kernel. Unix sockets are seen here only. What
//! moves past the memory of a program (sendfile, splice) is counted, so that parsers skip exactly
//! that much. The place after the last argument holds the result. `socket_kprobes` does the same on
//! kernels without trampolines.

use aya_ebpf::{
    Global,
    macros::{btf_tracepoint, fentry, fexit},
    programs::{BtfTracePointContext, FEntryContext, FExitContext},
};
use observer_common::{
    event::{INBOUND, OUTBOUND},
    socket::{SOCKET_KTLS, SOCKET_TCP, SOCKET_UNIX},
};

use crate::{
    maps::{SOCKET_SK, SOCKETS},
    msg_iter::kernel,
    socket_bytes::{Look, moved},
    socket_stream::{begin, end, kind_of, known},
    sockets::TCP_CLOSE,
};

/// Byte offset of `private_data` in `struct file`.
#[unsafe(no_mangle)]
pub static FILE_PRIVATE: Global<u32> = Global::new(u32::MAX);

/// kernel `include/net/tcp_states.h`
const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
const TCP_SYN_RECV: i32 = 3;

/// kernel `include/linux/socket.h`: what comes with these flags is not taken from the stream.
const MSG_OOB: u32 = 1;
const MSG_PEEK: u32 = 2;
const MSG_ERRQUEUE: u32 = 0x2000;
/// TCP throws the bytes away.
const MSG_TRUNC: u32 = 0x20;

/// Declares both programs of one function.
macro_rules! twice {
    ($name:ident, $again:ident, $function:literal, |$ctx:ident, $look:ident| $then:expr) => {
        #[fexit(function = $function)]
        pub fn $name($ctx: FExitContext) -> i32 {
            let $look = Look::First;
            let _ = $then;
            0
        }

        #[fexit(function = $function)]
        pub fn $again($ctx: FExitContext) -> i32 {
            let $look = Look::Again;
            let _ = $then;
            0
        }
    };
}

/// `int f(struct socket *sock, struct msghdr *msg, size_t size)`
macro_rules! sent {
    ($name:ident, $again:ident, $function:literal) => {
        twice!($name, $again, $function, |ctx, look| {
            try_moved(ctx.arg(0), ctx.arg(1), ctx.arg(3), OUTBOUND, 0, look)
        });
    };
}

/// `int f(struct socket *sock, struct msghdr *msg, size_t size, int flags)`
macro_rules! received {
    ($name:ident, $again:ident, $function:literal) => {
        twice!($name, $again, $function, |ctx, look| {
            let flags = ctx.arg(3);
            try_moved(ctx.arg(0), ctx.arg(1), ctx.arg(4), INBOUND, flags, look)
        });
    };
}

sent!(tcp_bytes_sent, tcp_bytes_sent_again, "inet_sendmsg");
sent!(tcp6_bytes_sent, tcp6_bytes_sent_again, "inet6_sendmsg");
received!(tcp_bytes_received, tcp_bytes_received_again, "inet_recvmsg");
received!(
    tcp6_bytes_received,
    tcp6_bytes_received_again,
    "inet6_recvmsg"
);
sent!(
    unix_bytes_sent,
    unix_bytes_sent_again,
    "unix_stream_sendmsg"
);
received!(
    unix_bytes_received,
    unix_bytes_received_again,
    "unix_stream_recvmsg"
);

// `ssize_t inet_sendpage(struct socket *sock, struct page *page, int offset, size_t size, int
// flags)`: what sendfile and splice call before 6.5.
twice!(page_sent, page_sent_again, "inet_sendpage", |ctx, look| {
    try_gone(ctx.arg(0), ctx.arg(5), OUTBOUND, look)
});

// `ssize_t unix_stream_sendpage(struct socket *socket, struct page *page, int offset, size_t size,
// int flags)`
twice!(
    unix_page_sent,
    unix_page_sent_again,
    "unix_stream_sendpage",
    |ctx, look| try_gone(ctx.arg(0), ctx.arg(5), OUTBOUND, look)
);

// `ssize_t sock_splice_read(struct file *file, loff_t *ppos, struct pipe_inode_info *pipe, size_t
// len, unsigned int flags)`
twice!(
    spliced_in,
    spliced_in_again,
    "sock_splice_read",
    |ctx, look| try_spliced(ctx.arg(0), ctx.arg(5), look)
);

/// `int unix_stream_connect(struct socket *sock, struct sockaddr *uaddr, int addr_len, int flags)`
#[fexit(function = "unix_stream_connect")]
pub fn unix_connected(ctx: FExitContext) -> i32 {
    let _ = try_unix_connects(ctx.arg(0), ctx.arg(4));
    0
}

/// `int unix_accept(struct socket *sock, struct socket *newsock, …)`: of what follows, the kernels
/// differ, and in number too, so nothing behind is looked at.
#[fexit(function = "unix_accept")]
pub fn unix_accepted(ctx: FExitContext) -> i32 {
    let _ = try_unix_begins(ctx.arg(1), 0);
    0
}

/// `int unix_socketpair(struct socket *socka, struct socket *sockb)`
#[fexit(function = "unix_socketpair")]
pub fn unix_paired(ctx: FExitContext) -> i32 {
    let _ = try_unix_begins(ctx.arg(0), 0);
    let _ = try_unix_begins(ctx.arg(1), 0);
    0
}

/// `int unix_release(struct socket *sock)`
#[fentry(function = "unix_release")]
pub fn unix_closed(ctx: FEntryContext) -> i32 {
    unix_ends(ctx.arg(0));
    0
}

/// `int tcp_set_ulp(struct sock *sk, const char *name)`
#[fexit(function = "tcp_set_ulp")]
pub fn ktls_begun(ctx: FExitContext) -> i32 {
    ktls_begins(ctx.arg(0));
    0
}

/// `TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)`
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn tcp_stream_state(ctx: BtfTracePointContext) -> i32 {
    let _ = try_state(ctx.arg(0), ctx.arg(2));
    0
}

#[inline(always)]
fn sk(socket: *const u8) -> Option<*const u8> {
    let sk: u64 = kernel(socket, SOCKET_SK.load())?;
    (sk != 0).then_some(sk as *const u8)
}

#[inline(always)]
pub fn try_moved(
    socket: *const u8,
    msg: *const u8,
    result: i32,
    direction: u8,
    flags: u32,
    look: Look,
) -> Option<()> {
    if result <= 0 || flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE) != 0 {
        return None;
    }
    let gone = flags & MSG_TRUNC != 0;
    moved(sk(socket)?, msg, i64::from(result), direction, gone, look)
}

#[inline(always)]
pub fn try_gone(socket: *const u8, result: i64, direction: u8, look: Look) -> Option<()> {
    // 5.10 and 6.1 return an int here, of which the upper half is not defined.
    moved(
        sk(socket)?,
        core::ptr::null(),
        i64::from(result as i32),
        direction,
        true,
        look,
    )
}

#[inline(always)]
pub fn try_spliced(file: *const u8, result: i64, look: Look) -> Option<()> {
    let socket: u64 = kernel(file, FILE_PRIVATE.load())?;
    try_gone(socket as *const u8, result, INBOUND, look)
}

#[inline(always)]
pub fn ktls_begins(sk: *const u8) {
    if kind_of(sk) == Some(SOCKET_KTLS) {
        let _ = end(sk);
        let _ = begin(sk, SOCKET_KTLS, true);
    }
}

#[inline(always)]
pub fn unix_ends(socket: *const u8) {
    if let Some(sk) = sk(socket) {
        let _ = end(sk);
    }
}

#[inline(always)]
pub fn try_unix_connects(socket: *const u8, result: i32) -> Option<()> {
    if result != 0 {
        return None;
    }
    try_unix_begins(socket, 1)
}

#[inline(always)]
pub fn try_unix_begins(socket: *const u8, connected: u8) -> Option<()> {
    let sk = sk(socket)?;
    if kind_of(sk)? != SOCKET_UNIX {
        return None;
    }
    // That of a connection at the same address whose end was not seen.
    let _ = end(sk);
    let state = begin(sk, SOCKET_UNIX, true)?;
    unsafe { (*state).connected = connected };
    Some(())
}

#[inline(always)]
fn try_state(sk: *const u8, state: i32) -> Option<()> {
    if state == TCP_CLOSE {
        return end(sk);
    }
    if state != TCP_ESTABLISHED && state != TCP_SYN_SENT && state != TCP_SYN_RECV {
        return None;
    }
    if state != TCP_ESTABLISHED {
        // A new connection at the address of one whose end was not seen.
        let _ = SOCKETS.remove(&(sk as u64));
    } else if known(sk).is_some() {
        return None;
    }
    if kind_of(sk)? != SOCKET_TCP {
        return None;
    }
    let stream = begin(sk, SOCKET_TCP, true)?;
    unsafe { (*stream).connected = u8::from(state == TCP_SYN_SENT) };
    Some(())
}
