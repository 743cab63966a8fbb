//! What of a stream at socket functions is wanted: as its first bytes say, as the user half says, and
//! as TLS says.

use observer_common::{
    conn::{REQUEST_WHOLE, VERDICT_HTTP, VERDICT_OPEN, VERDICT_OTHER, VERDICT_TLS},
    counter::{LedgerRow, Tally},
    event::{BytesBody, FLAG_TLS, INBOUND, KIND_BYTES, KIND_TLS_IO, OUTBOUND, TlsIoBody},
    socket::{SOCKET_KTLS, SOCKET_TCP, SOCKET_UNIX, SocketStream},
};

use crate::{
    maps::{BOTH_SIDES, CONTROL, TLS_CALLS, TLS_CONTROL},
    ring,
    socket_stream::header,
    sockets::MAX_TLS_IO,
};

/// Whether what begins so is wanted. Sees at least 4 bytes or says nothing.
#[inline(always)]
pub fn first_bytes(state: *mut SocketStream, first: *const u8, n: u32, direction: u8) -> bool {
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
pub fn controlled(
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
pub fn tls(
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
