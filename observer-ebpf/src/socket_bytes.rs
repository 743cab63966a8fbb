//! What a call of a socket function moved: its place in the stream, and the sending of what is
//! wanted of it.

use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_probe_read_user};
use observer_common::{
    conn::{VERDICT_OTHER, VERDICT_TLS},
    counter::{LedgerRow, SOURCE_FUNCTIONS, Tally},
    event::{BytesBody, ClosedBody, EventHeader, FLAG_SKIPS, INBOUND, KIND_BYTES, KIND_CLOSED},
    socket::{SOCKET_TCP, SOCKET_UNIX, SocketStream, taken_place},
};

use crate::{
    filters::stream_excluded,
    ledger,
    maps::{LAST_LOOK, OWN_TGID, TLS_CALLS},
    msg_iter::{self, kernel},
    ring::{self, LARGEST, Unsent},
    skipping::{LOOK_FROM_CALL, NOTHING, Part, Way, part},
    socket_stream::{
        TCP_COPIED, TCP_WRITTEN, addresses, begin, end, header, kind_of, known, owner,
    },
    socket_wanted::{controlled, first_bytes, tls},
};

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
    if (thread >> 32) as u32 == OWN_TGID.load() {
        if let Some(last) = LAST_LOOK.get_ptr_mut(0) {
            unsafe { *last = look as u32 };
        }
        return None;
    }
    let found = known(sk);
    // Without a state, the connection may have ended since the first program took the call.
    if look == Look::Again && passed(found?, thread as u32, direction) {
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
