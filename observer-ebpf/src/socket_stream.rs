//! The stream of a socket whose bytes are taken at socket functions: its number, its place, what
//! its first bytes say, and the sending of what a call moved.

use aya_ebpf::{
    Global,
    helpers::generated::{
        bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_ns,
        bpf_probe_read_user,
    },
};
use observer_common::{
    conn::{REQUEST_WHOLE, VERDICT_HTTP, VERDICT_OPEN, VERDICT_OTHER, VERDICT_TLS},
    counter::{LedgerRow, SOURCE_FUNCTIONS, Tally},
    event::{
        BytesBody, ClosedBody, EventHeader, FLAG_CONNECTED, FLAG_FIRST, FLAG_FROM_START,
        FLAG_SKIPS, FLAG_TLS, INBOUND, KIND_BYTES, KIND_CLOSED, KIND_OWNER, KIND_TLS_IO, OUTBOUND,
        OwnerBody, TlsIoBody, Tuple,
    },
    socket::{
        JOINED_AT, SOCKET_KTLS, SOCKET_TCP, SOCKET_UNIX, SocketStream, TCP_BY_PACKETS, taken_place,
    },
};

use crate::{
    filters::stream_excluded,
    ledger,
    maps::{BOTH_SIDES, CONTROL, LAST_LOOK, OWN_TGID, SOCKET_NEW, SOCKETS, TLS_CALLS, TLS_CONTROL},
    msg_iter::{self, kernel},
    ring::{self, LARGEST, Unsent},
    skipping::{LOOK_FROM_CALL, NOTHING, Part, Way, part},
    sockets::MAX_TLS_IO,
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

/// Which of the two programs at the end of a function looks at a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The first, or the only one.
    First,
    /// The one that takes what the first was not run for.
    Again,
}

/// A thread moved `moved` bytes over `sk`. `msg` is null if they passed no memory of a program.
#[inline(always)]
pub fn moved(
    sk: *const u8,
    msg: *const u8,
    moved: i64,
    direction: u8,
    gone: bool,
    look: Look,
) -> Option<()> {
    if moved <= 0 || moved > i64::from(i32::MAX) {
        return None;
    }
    let thread = unsafe { bpf_get_current_pid_tgid() };
    let found = known(sk);
    if look == Look::Again
        && let Some(state) = found
        && passed(state, thread as u32, direction)
    {
        return None;
    }
    let tgid = (thread >> 32) as u32;
    if tgid == OWN_TGID.load() {
        if let Some(last) = LAST_LOOK.get_ptr_mut(0) {
            unsafe { *last = look as u32 };
        }
        return None;
    }
    let kind = kind_of(sk)?;
    let state = match found {
        // The kernel's TLS begins on a connection that was plain until then.
        Some(state) if unsafe { (*state).kind } == kind => state,
        Some(_) => {
            let _ = end(sk);
            begin(sk, kind, true)?
        }
        None => begin(sk, kind, false)?,
    };
    if look == Look::First {
        unsafe { *taken(state, thread as u32, direction) = thread as u32 };
    }
    let row = ledger::row(SOURCE_FUNCTIONS)?;
    let bytes = moved as u64;
    ledger::add(unsafe { &raw mut (*row).seen }, bytes);
    let offset = place(sk, state, kind, bytes, direction);
    let tally = try_stream(sk, state, msg, offset, bytes, thread, direction, gone, row);
    if let Some(tally) = tally {
        ledger::add(tally, bytes);
    }
    if unsafe { (*state).records } != 0 {
        unsafe {
            (*state).records = 0;
            *total(state, direction) -= bytes;
        }
    }
    Some(())
}

/// Where it is noted that the first program has taken the call of a thread.
#[inline(always)]
fn taken(state: *mut SocketStream, thread: u32, direction: u8) -> *mut u32 {
    unsafe { (&raw mut (*state).taken).cast::<u32>() }.wrapping_add(taken_place(thread, direction))
}

/// Whether the first program has taken the call that this thread is in; forgets it.
#[inline(always)]
fn passed(state: *mut SocketStream, thread: u32, direction: u8) -> bool {
    let taken = taken(state, thread, direction);
    let passed = unsafe { *taken } == thread;
    if passed {
        unsafe { *taken = 0 };
    }
    passed
}

/// Bytes moved so far in a direction.
#[inline(always)]
fn total(state: *mut SocketStream, direction: u8) -> *mut u64 {
    unsafe {
        if direction == INBOUND {
            &raw mut (*state).bytes_in
        } else {
            &raw mut (*state).bytes_out
        }
    }
}

/// Where the bytes belong. The place of plain TCP is the kernel's own, so that whatever moved past
/// the probes is a gap of known size.
#[inline(always)]
fn place(sk: *const u8, state: *mut SocketStream, kind: u8, moved: u64, direction: u8) -> u64 {
    let total = total(state, direction);
    unsafe { *total += moved };
    if kind == SOCKET_TCP {
        let at = if direction == INBOUND {
            TCP_COPIED.load()
        } else {
            TCP_WRITTEN.load()
        };
        let end: Option<u32> = kernel(sk, at);
        if let Some(end) = end {
            return u64::from(end.wrapping_sub(moved as u32));
        }
    }
    unsafe { *total - moved }
}

/// Sends what is wanted; else gives the line of the ledger that the bytes belong to.
#[expect(
    clippy::too_many_arguments,
    reason = "a struct for them would live on the stack"
)]
#[inline(always)]
fn try_stream(
    sk: *const u8,
    state: *mut SocketStream,
    msg: *const u8,
    offset: u64,
    moved: u64,
    thread: u64,
    direction: u8,
    gone: bool,
    row: *mut LedgerRow,
) -> Option<*mut Tally> {
    let kind = unsafe { (*state).kind };
    if unsafe { (*state).tuple.family } == 0 && kind != SOCKET_UNIX {
        let _ = addresses(sk, unsafe { &mut (*state).tuple });
    }
    if stream_excluded(state) {
        if let Some(call) = TLS_CALLS.get_ptr(&thread)
            && let Some(stream) = crate::tls::stream(unsafe { &(*call).key })
        {
            unsafe { (*stream).excluded = 1 };
        }
        return Some(unsafe { &raw mut (*row).excluded });
    }
    if kind != SOCKET_UNIX && TLS_CALLS.get_ptr(&thread).is_some() {
        // The library shows the plaintext, of the kernel's TLS too.
        unsafe { (*state).verdict = VERDICT_TLS };
    }
    let verdict = unsafe { (*state).verdict };
    if verdict == VERDICT_TLS {
        return Some(tls(state, moved, thread, direction, row));
    }
    if verdict == VERDICT_OTHER {
        return Some(unsafe { &raw mut (*row).other });
    }
    if unsafe { (*state).duplicate } != 0 {
        return Some(unsafe { &raw mut (*row).duplicate });
    }
    if let Some(tally) = controlled(state, offset + moved, direction, row) {
        return Some(tally);
    }
    owner(state, thread, direction);
    let memory = if gone {
        None
    } else {
        msg_iter::memory(msg, moved)
    };
    // Loaded again: a number, where `sk` is a pointer to the verifier.
    let number = unsafe { (&raw const (*state).address).read_volatile() };
    let address = memory.as_ref().map_or(0, |memory| memory.address);
    let way = moved | u64::from(direction) << 32;
    let part = Part(stream_part(number, address, way, offset));
    if part.0 == NOTHING {
        return Some(unsafe { &raw mut (*row).skipped });
    }
    let Some(memory) = memory else {
        let mut body = BytesBody {
            tuple: unsafe { (*state).tuple },
            offset,
            moved: moved as u32,
            socket: kind,
            pad: [0; 3],
            until: 0,
            pad_end: 0,
        };
        body.socket = kind;
        if ring::send(header(state, KIND_BYTES, direction, 0), body).is_ok() {
            unsafe { (*state).emitted = 1 };
        }
        return Some(unsafe { &raw mut (*row).no_memory });
    };
    let cut = u64::from(part.cut());
    let way = (way - cut) | part.skips() << WAY_SKIPS | part.passed() << WAY_PASSED;
    let offset = offset + cut;
    let (result, most) = if memory.address == 0 {
        let result = match stream_pieces(number, memory.pieces, memory.over, way, offset) {
            PIECES_SENT => Ok(()),
            PIECES_FULL => Err(Unsent::Full),
            _ => Err(Unsent::Unreadable),
        };
        (result, LARGEST - 1)
    } else {
        let result = msg_iter::send(
            || unsafe { (*state).id },
            memory.address.wrapping_add(cut),
            way as u32,
            part.most(),
            |to, body| fill(state, way, offset, to, body),
            |first, n| first_bytes(state, first, n, direction),
        );
        (result, part.most())
    };
    let rest = cut | part.skips();
    settle(
        state,
        result,
        moved,
        moved - cut,
        u64::from(most),
        rest,
        row,
    )
}

/// Bits of a way, above the number of bytes: the direction, and what [`Part`] says.
const WAY_DIRECTION: u32 = 32;
const WAY_SKIPS: u32 = 33;
const WAY_PASSED: u32 = 34;

/// What is delivered of the bytes at `address`, which is 0 if they are not in one piece, at the
/// place `offset`: as [`part`] says it. A global function, as [`stream_pieces`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn stream_part(sk: u64, address: u64, way: u64, offset: u64) -> u64 {
    let Some(state) = known(sk as *const u8) else {
        return u64::from(LARGEST);
    };
    let way = Way {
        span: span(state, (way >> WAY_DIRECTION) as u8),
        request: unsafe { &raw mut (*state).request },
        at: offset as u32,
        len: way as u32,
        last: 0,
        look_from: LOOK_FROM_CALL,
    };
    let (part, _) = part(&way, |from, to, n| unsafe {
        let from = address.wrapping_add(u64::from(from));
        address != 0 && bpf_probe_read_user(to.cast(), n, from as *const _) == 0
    });
    part.0
}

/// The part of a direction that is left out.
#[inline(always)]
fn span(state: *mut SocketStream, direction: u8) -> *mut u64 {
    unsafe {
        if direction == INBOUND {
            &raw mut (*state).skip_in
        } else {
            &raw mut (*state).skip_out
        }
    }
}

const PIECES_SENT: u64 = 0;
const PIECES_FULL: u64 = 1;
const PIECES_UNREADABLE: u64 = 2;

/// Sends what lies in several pieces. A function of its own that the verifier walks through once and
/// not for each way that leads here: all it is given are numbers.
///
/// `way` is the number of bytes, and the `WAY_` bits above.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn stream_pieces(sk: u64, pieces: u64, over: u64, way: u64, offset: u64) -> u64 {
    let Some(state) = known(sk as *const u8) else {
        return PIECES_UNREADABLE;
    };
    let direction = (way >> WAY_DIRECTION) as u8 & 1;
    let result = msg_iter::send_pieces(
        || unsafe { (*state).id },
        pieces,
        over,
        way as u32,
        |to, body| fill(state, way, offset, to, body),
        |first, n| first_bytes(state, first, n, direction),
    );
    match result {
        Ok(()) => PIECES_SENT,
        Err(Unsent::Full) => PIECES_FULL,
        Err(_) => PIECES_UNREADABLE,
    }
}

#[inline(always)]
fn fill(
    state: *mut SocketStream,
    way: u64,
    offset: u64,
    to: *mut EventHeader,
    body: *mut BytesBody,
) {
    let direction = (way >> WAY_DIRECTION) as u8 & 1;
    let skips = (way >> WAY_SKIPS) as u16 & 1;
    // A part that ends with these bytes is not kept any more.
    let passed = (way >> WAY_PASSED & 1).wrapping_neg();
    let end = offset.wrapping_add(u64::from(way as u32));
    unsafe {
        let until = end & passed | *span(state, direction) >> 32 & !passed;
        to.write(header(state, KIND_BYTES, direction, skips * FLAG_SKIPS));
        body.write(BytesBody {
            tuple: (*state).tuple,
            offset,
            moved: way as u32,
            socket: (*state).kind,
            pad: [0; 3],
            until: until as u32,
            pad_end: 0,
        });
    }
}

/// `rest` is not 0 if what was moved and is not sent is not needed; `sent` is what was to be sent but
/// for the bound `most`.
#[inline(always)]
fn settle(
    state: *mut SocketStream,
    result: Result<(), Unsent>,
    moved: u64,
    sent: u64,
    most: u64,
    rest: u64,
    row: *mut LedgerRow,
) -> Option<*mut Tally> {
    unsafe {
        match result {
            Ok(()) => {
                (*state).emitted = 1;
                let sent = if sent > most { most } else { sent };
                if moved > sent {
                    let line = if rest != 0 {
                        &raw mut (*row).skipped
                    } else {
                        &raw mut (*row).too_large
                    };
                    ledger::add_calls(line, 0, moved - sent);
                    ledger::add(&raw mut (*row).delivered, sent);
                    return None;
                }
                Some(&raw mut (*row).delivered)
            }
            Err(Unsent::Full) => Some(&raw mut (*row).ring_full),
            Err(Unsent::TooMany | Unsent::Unreadable) => {
                if (*state).verdict == VERDICT_TLS || (*state).records != 0 {
                    return Some(&raw mut (*row).tls);
                }
                if (*state).duplicate != 0 {
                    if (*state).emitted != 0 {
                        // What was taken for one end before it was known to be the other.
                        (*state).emitted = 0;
                        let _ = ring::send(
                            header(state, KIND_CLOSED, INBOUND, 0),
                            ClosedBody::default(),
                        );
                    }
                    return Some(&raw mut (*row).duplicate);
                }
                Some(&raw mut (*row).unreadable)
            }
        }
    }
}

/// Whether what begins so is wanted. Sees at least 4 bytes or says nothing.
#[inline(always)]
fn first_bytes(state: *mut SocketStream, first: *const u8, n: u32, direction: u8) -> bool {
    if unsafe { (*state).verdict } != VERDICT_OPEN || n < 4 {
        return true;
    }
    let bytes = unsafe { first.cast::<[u8; 4]>().read_unaligned() };
    if bytes[0] >= 20 && bytes[0] <= 23 && bytes[1] == 3 && bytes[2] <= 4 {
        // A TLS record, RFC 8446 5.1. The kernel's TLS begins after the handshake of a library.
        unsafe {
            if (*state).kind == SOCKET_KTLS {
                (*state).records = 1;
            } else {
                (*state).verdict = VERDICT_TLS;
            }
        }
        return false;
    }
    let (request, response) = match &bytes {
        b"GET " | b"POST" | b"PUT " | b"HEAD" | b"DELE" | b"PATC" | b"OPTI" | b"PRI " => (1, 0),
        b"HTTP" => (0, 1),
        _ => return true,
    };
    unsafe { (*state).verdict = VERDICT_HTTP };
    // The other end of a Unix socket is on this host and observed too.
    let client = if direction == OUTBOUND {
        request
    } else {
        response
    };
    if unsafe { (*state).kind } == SOCKET_UNIX && client != 0 && BOTH_SIDES.load() == 0 {
        unsafe { (*state).duplicate = 1 };
        return false;
    }
    true
}

/// What the user half said of this stream: the line of the ledger, or `None` if it is wanted.
#[inline(always)]
fn controlled(
    state: *mut SocketStream,
    end: u64,
    direction: u8,
    row: *mut LedgerRow,
) -> Option<*mut Tally> {
    let id = unsafe { (*state).id };
    let mut skipped = false;
    if unsafe { (*state).kind } == SOCKET_TCP {
        let control = CONTROL.get_ptr_mut(&id)?;
        if unsafe { (*control).verdict } == VERDICT_OTHER {
            unsafe { (*state).verdict = VERDICT_OTHER };
            return Some(unsafe { &raw mut (*row).other });
        }
        whole(state, unsafe { (*control).whole } != 0);
        let (set, until) = unsafe {
            if direction == INBOUND {
                (&raw mut (*control).skip_in_set, (*control).skip_in)
            } else {
                (&raw mut (*control).skip_out_set, (*control).skip_out)
            }
        };
        if unsafe { *set } != 0 {
            let left = until.wrapping_sub(end as u32);
            skipped = left != 0 && left < 1 << 31;
            if !skipped {
                unsafe { *set = 0 };
            }
        }
    } else {
        let control = TLS_CONTROL.get_ptr(&id)?;
        let until = unsafe {
            if direction == INBOUND {
                (*control).skip_in
            } else {
                (*control).skip_out
            }
        };
        if until == u64::MAX {
            unsafe { (*state).verdict = VERDICT_OTHER };
            return Some(unsafe { &raw mut (*row).other });
        }
        if unsafe { (*control).duplicate } != 0 {
            unsafe { (*state).duplicate = 1 };
            return Some(unsafe { &raw mut (*row).duplicate });
        }
        whole(state, unsafe { (*control).whole } != 0);
        // The call that reaches the place is delivered: it says when the body ended.
        skipped = end < until;
    }
    skipped.then(|| unsafe { &raw mut (*row).skipped })
}

/// If the user half says so, nothing is left out by itself any more.
#[inline(always)]
fn whole(state: *mut SocketStream, said: bool) {
    if said {
        unsafe {
            (*state).request = REQUEST_WHOLE;
            (*state).skip_in = 0;
            (*state).skip_out = 0;
        }
    }
}

/// TLS by a library of the program: tells its addresses, binds the object in use, or reports the
/// operation so that the user half can match it.
#[inline(always)]
fn tls(
    state: *mut SocketStream,
    moved: u64,
    thread: u64,
    direction: u8,
    row: *mut LedgerRow,
) -> *mut Tally {
    let tally = unsafe { &raw mut (*row).tls };
    if unsafe { (*state).kind } != SOCKET_TCP {
        return tally;
    }
    unsafe {
        if (*state).emitted == 0 {
            let body = BytesBody {
                tuple: (*state).tuple,
                offset: 0,
                moved: 0,
                socket: SOCKET_TCP,
                pad: [0; 3],
                until: 0,
                pad_end: 0,
            };
            if ring::send(header(state, KIND_BYTES, direction, FLAG_TLS), body).is_ok() {
                (*state).emitted = 1;
            }
        }
        if let Some(call) = TLS_CALLS.get_ptr(&thread) {
            let object = (*call).key.object;
            if (*state).tls_object != object
                && let Some(stream) = crate::tls::stream(&(*call).key)
            {
                (*stream).cookie = (*state).id;
                (*state).tls_object = object;
            }
            return tally;
        }
        if (*state).tls_object == 0 && (*state).tls_io < MAX_TLS_IO {
            (*state).tls_io += 1;
            let body = TlsIoBody {
                tgid: (thread >> 32) as u32,
                tid: thread as u32,
                moved: moved as u32,
                pad: 0,
            };
            let _ = ring::send(header(state, KIND_TLS_IO, direction, 0), body);
        }
    }
    tally
}

#[inline(always)]
fn owner(state: *mut SocketStream, thread: u64, direction: u8) {
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

#[inline(always)]
fn addresses(sk: *const u8, tuple: &mut Tuple) -> Option<()> {
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

#[inline(always)]
fn header(state: *mut SocketStream, kind: u8, direction: u8, flag: u16) -> EventHeader {
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
