//! The stream of a socket whose bytes are taken at socket functions: its number, its kind, its
//! addresses and its owner.

use aya_ebpf::{
    Global,
    helpers::generated::{bpf_get_current_comm, bpf_get_smp_processor_id, bpf_ktime_get_ns},
};
use observer_common::{
    event::{
        ClosedBody, EventHeader, FLAG_CONNECTED, FLAG_FIRST, FLAG_FROM_START, INBOUND, KIND_CLOSED,
        KIND_OWNER, OwnerBody, Tuple,
    },
    socket::{JOINED_AT, SOCKET_KTLS, SOCKET_TCP, SOCKET_UNIX, SocketStream, TCP_BY_PACKETS},
};

use crate::{
    maps::{SOCKET_NEW, SOCKETS},
    msg_iter::kernel,
    ring,
};

/// Not in this kernel.
const ABSENT: u32 = u32::MAX;

/// Who captures plain TCP: one of the `TCP_BY_` constants.
#[unsafe(no_mangle)]
pub static TCP_CAPTURE: Global<u8> = Global::new(TCP_BY_PACKETS);
/// Byte offset of `__sk_common.skc_family` in `struct sock`.
#[unsafe(no_mangle)]
pub static SOCK_FAMILY: Global<u32> = Global::new(ABSENT);
/// Byte offset of `sk_protocol`.
#[unsafe(no_mangle)]
pub static SOCK_PROTOCOL: Global<u32> = Global::new(ABSENT);
/// Byte offset of `__sk_common.skc_rcv_saddr`.
#[unsafe(no_mangle)]
pub static SOCK_LOCAL: Global<u32> = Global::new(ABSENT);
/// Byte offset of `__sk_common.skc_daddr`.
#[unsafe(no_mangle)]
pub static SOCK_REMOTE: Global<u32> = Global::new(ABSENT);
/// Byte offset of `__sk_common.skc_num`.
#[unsafe(no_mangle)]
pub static SOCK_LOCAL_PORT: Global<u32> = Global::new(ABSENT);
/// Byte offset of `__sk_common.skc_dport`.
#[unsafe(no_mangle)]
pub static SOCK_REMOTE_PORT: Global<u32> = Global::new(ABSENT);
/// Byte offset of `__sk_common.skc_v6_rcv_saddr`.
#[unsafe(no_mangle)]
pub static SOCK_LOCAL6: Global<u32> = Global::new(ABSENT);
/// Byte offset of `__sk_common.skc_v6_daddr`.
#[unsafe(no_mangle)]
pub static SOCK_REMOTE6: Global<u32> = Global::new(ABSENT);
/// Byte offset of `write_seq` in `struct tcp_sock`.
#[unsafe(no_mangle)]
pub static TCP_WRITTEN: Global<u32> = Global::new(ABSENT);
/// Byte offset of `copied_seq` in `struct tcp_sock`.
#[unsafe(no_mangle)]
pub static TCP_COPIED: Global<u32> = Global::new(ABSENT);
/// Byte offset of `icsk_ulp_ops` in `struct inet_connection_sock`.
#[unsafe(no_mangle)]
pub static SOCK_ULP: Global<u32> = Global::new(ABSENT);
/// Byte offset of `name` in `struct tcp_ulp_ops`.
#[unsafe(no_mangle)]
pub static ULP_NAME: Global<u32> = Global::new(ABSENT);

const AF_UNIX: u16 = 1;
const AF_INET6: u16 = 10;
const IPPROTO_TCP: u8 = 6;
/// The top bit of a number: its offsets count bytes, else they are sequence numbers.
const COUNTED: u64 = 1 << 63;
/// Tells a number made here from a socket cookie.
const MADE_HERE: u64 = 1 << 62;

/// The kind of a socket, or `None` if it is none that is taken here.
#[inline(always)]
pub fn kind_of(sk: *const u8) -> Option<u8> {
    let family: u16 = kernel(sk, SOCK_FAMILY.load())?;
    if family == AF_UNIX {
        return Some(SOCKET_UNIX);
    }
    // 16 bits, of which the low ones come first.
    let protocol: u8 = kernel(sk, SOCK_PROTOCOL.load())?;
    if protocol != IPPROTO_TCP {
        return None;
    }
    let ulp: Option<u64> = kernel(sk, SOCK_ULP.load());
    if let Some(ulp) = ulp
        && ulp != 0
    {
        let name: Option<[u8; 4]> = kernel(ulp as *const u8, ULP_NAME.load());
        if let Some([b't', b'l', b's', 0]) = name {
            return Some(SOCKET_KTLS);
        }
    }
    (TCP_CAPTURE.load() != TCP_BY_PACKETS).then_some(SOCKET_TCP)
}

/// The state of a socket, if there is one.
#[inline(always)]
pub fn known(sk: *const u8) -> Option<*mut SocketStream> {
    SOCKETS.get_ptr_mut(&(sk as u64))
}

/// A new state. `from_start`: the connection begins now.
#[inline(always)]
pub fn begin(sk: *const u8, kind: u8, from_start: bool) -> Option<*mut SocketStream> {
    let key = sk as u64;
    SOCKETS.insert(&key, SOCKET_NEW.get(0)?, 0).ok()?;
    let state = SOCKETS.get_ptr_mut(&key)?;
    // As in `tls`: time and processor make it unique.
    let number = (unsafe { bpf_ktime_get_ns() } << 8)
        | u64::from(unsafe { bpf_get_smp_processor_id() } & 0xff);
    let id = if kind == SOCKET_TCP {
        number & !COUNTED | MADE_HERE
    } else {
        number | COUNTED
    };
    let first = if from_start { 0 } else { JOINED_AT };
    unsafe {
        (*state).id = id;
        (*state).address = key;
        (*state).kind = kind;
        (*state).from_start = u8::from(from_start);
        (*state).bytes_in = first;
        (*state).bytes_out = first;
    }
    Some(state)
}

/// The connection is over.
#[inline(always)]
pub fn end(sk: *const u8) -> Option<()> {
    let state = known(sk)?;
    if unsafe { (*state).emitted } != 0 {
        let _ = ring::send(
            header(state, KIND_CLOSED, INBOUND, 0),
            ClosedBody::default(),
        );
    }
    let _ = SOCKETS.remove(&(sk as u64));
    Some(())
}

/// Tells the process of the thread, if it is not the one that was told last.
#[inline(always)]
pub fn owner(state: *mut SocketStream, thread: u64, direction: u8) {
    let tgid = (thread >> 32) as u32;
    if unsafe { (*state).owner } == tgid {
        return;
    }
    unsafe { (*state).owner = tgid };
    let mut body = OwnerBody {
        tgid,
        tid: thread as u32,
        comm: [0; 16],
    };
    unsafe { bpf_get_current_comm((&raw mut body.comm).cast(), 16) };
    let _ = ring::send(header(state, KIND_OWNER, direction, 0), body);
}

/// Both ends of the socket.
#[inline(always)]
pub fn addresses(sk: *const u8, tuple: &mut Tuple) -> Option<()> {
    let family: u16 = kernel(sk, SOCK_FAMILY.load())?;
    let local_port: u16 = kernel(sk, SOCK_LOCAL_PORT.load())?;
    let remote_port: u16 = kernel(sk, SOCK_REMOTE_PORT.load())?;
    tuple.local_port = local_port;
    tuple.remote_port = u16::from_be(remote_port);
    if family == AF_INET6 {
        let remote: [u32; 4] = kernel(sk, SOCK_REMOTE6.load())?;
        // An IPv4 connection of an IPv6 socket, RFC 4291 2.5.5.2, is told as what it is.
        if remote[0] | remote[1] != 0 || remote[2] != u32::to_be(0xffff) {
            let local: [u32; 4] = kernel(sk, SOCK_LOCAL6.load())?;
            unsafe {
                tuple.remote.as_mut_ptr().cast::<[u32; 4]>().write(remote);
                tuple.local.as_mut_ptr().cast::<[u32; 4]>().write(local);
            }
            tuple.family = 6;
            return Some(());
        }
    }
    let remote: u32 = kernel(sk, SOCK_REMOTE.load())?;
    let local: u32 = kernel(sk, SOCK_LOCAL.load())?;
    unsafe {
        tuple.remote.as_mut_ptr().cast::<u32>().write(remote);
        tuple.local.as_mut_ptr().cast::<u32>().write(local);
    }
    tuple.family = 4;
    Some(())
}

/// The header of an event of the stream.
#[inline(always)]
pub fn header(state: *mut SocketStream, kind: u8, direction: u8, flag: u16) -> EventHeader {
    let bit = |value: u8, flag: u16| u16::from(value & 1) * flag;
    let flags = unsafe {
        bit((*state).from_start, FLAG_FROM_START)
            | bit((*state).connected, FLAG_CONNECTED)
            | bit(!(*state).emitted, FLAG_FIRST)
            | flag
    };
    EventHeader {
        kind,
        direction,
        flags,
        captured: 0,
        time_ns: unsafe { bpf_ktime_get_ns() },
        cookie: unsafe { (*state).id },
    }
}
