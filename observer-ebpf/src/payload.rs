//! Payload of established connections: wanted or not, and on its way.

use core::arch::asm;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_SK_STORAGE_GET_F_CREATE},
    helpers::generated::{
        bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_sk_storage_get, bpf_skb_load_bytes,
    },
};
use observer_common::{
    conn::{ConnState, REQUEST_WHOLE, VERDICT_HTTP, VERDICT_OPEN, VERDICT_OTHER, VERDICT_TLS},
    counter::{LedgerRow, Tally},
    event::{
        EventHeader, FLAG_CONNECTED, FLAG_EMBRYO, FLAG_FIN, FLAG_FROM_START, FLAG_PEER_LOCAL,
        FLAG_RST, FLAG_SKIPS, FLAG_TLS, INBOUND, KIND_SEGMENT, OUTBOUND, SegmentBody, Tuple,
    },
};

use crate::{
    filters::excluded,
    first_bytes::{first_bytes, first_word},
    ledger::{self, Rest},
    maps::{BOTH_SIDES, CONNS, CONTROL, HELLO, MOST, MOST_HEAD, MOST_HELLO, MOST_WHOLE, PROTOCOLS},
    openings::accepted_link,
    packets::{TCP_FIN, TCP_RST, Tcp, load},
    ring::{self, HEAD, LARGEST, Unsent},
    skipping::{LOOK_FROM_PACKET, NOTHING, Way, part},
};

/// A body worth asking whether it can be skipped begins with segments of at least this size.
const SKIP_FROM: u32 = 1024;
/// Every so many packets the user half's word on a connection is looked up.
const CONTROL_EVERY: u32 = 8;

#[inline(always)]
pub fn storage(skb: *mut __sk_buff, create: bool) -> Option<*mut ConnState> {
    let sk = unsafe { (*skb).__bindgen_anon_2.sk };
    if sk.is_null() {
        return None;
    }
    let flags = if create {
        u64::from(BPF_SK_STORAGE_GET_F_CREATE)
    } else {
        0
    };
    let state =
        unsafe { bpf_sk_storage_get(CONNS.as_ptr(), sk.cast(), core::ptr::null_mut(), flags) };
    (!state.is_null()).then_some(state.cast())
}

/// `None`: the payload could not be looked at.
#[inline(always)]
pub fn try_payload(
    skb: *mut __sk_buff,
    tcp: &Tcp,
    tuple: &Tuple,
    direction: u8,
    row: *mut LedgerRow,
) -> Option<()> {
    let state = storage(skb, true)?;
    let bytes = u64::from(tcp.payload);
    if unsafe { (*state).own } != 0 {
        ledger::add(unsafe { &raw mut (*row).own }, bytes);
        return Some(());
    }
    if excluded(skb, state, tuple) {
        filtered(state, unsafe { &raw mut (*row).excluded }, bytes);
        return Some(());
    }
    let duplicate = unsafe { (*state).connected & (*state).peer_local } != 0;
    if unsafe { (*state).link } == 0 && direction == INBOUND {
        let accepted = unsafe { (*state).from_start & !(*state).connected } & 1;
        let packets = unsafe { (*state).packets_in | (*state).packets_out };
        if accepted != 0 && packets == 0 {
            unsafe { (*state).link = accepted_link(tcp) };
        }
    }
    let packets = unsafe {
        if direction == INBOUND {
            (*state).packets_in += 1;
            (*state).packets_in
        } else {
            (*state).packets_out += 1;
            (*state).packets_out
        }
    };
    let mut verdict = unsafe { (*state).verdict };
    if verdict == VERDICT_OPEN {
        let first = u32::from(unsafe { (*state).from_start }) & one(packets);
        let said = first_bytes(skb, tcp, first);
        unsafe {
            (*state).verdict = said.verdict;
            if said.verdict == VERDICT_OTHER {
                other(said.protocol);
            }
            // As it stands there: to the verifier it is any verdict then, and one path.
            verdict = (&raw const (*state).verdict).read_volatile();
        }
    }
    let mut how = Sending {
        direction,
        link: unsafe { (*state).link },
        flag: 0,
        most: MOST.get(MOST_WHOLE),
        until: 0,
        cut: 0,
    };
    if verdict == VERDICT_TLS {
        // The hello of each side: the client's may take two packets.
        let client = u8::from(direction == OUTBOUND) == unsafe { (*state).connected };
        let hello = packets <= 1 + u32::from(client) && unsafe { (*state).from_start } != 0;
        how.most = if hello {
            MOST.get(MOST_HELLO)
        } else {
            announce(skb, state, tcp, tuple, direction);
            filtered(state, unsafe { &raw mut (*row).tls }, bytes);
            return Some(());
        };
    } else if verdict == VERDICT_OTHER {
        filtered(state, unsafe { &raw mut (*row).other }, bytes);
        return Some(());
    } else {
        if duplicate && BOTH_SIDES.load() == 0 {
            filtered(state, unsafe { &raw mut (*row).duplicate }, bytes);
            return Some(());
        }
        let skip = unsafe {
            if direction == INBOUND {
                &raw mut (*state).skip_in
            } else {
                &raw mut (*state).skip_out
            }
        };
        // While a body is left out, the user half may dispute it.
        if (tcp.payload >= SKIP_FROM
            || packets % CONTROL_EVERY == 0
            || verdict == VERDICT_OPEN
            || unsafe { *skip } != 0)
            && let Some(verdict) = controlled(skb, state, tcp, direction)
        {
            if verdict == VERDICT_OTHER {
                filtered(state, unsafe { &raw mut (*row).other }, bytes);
            } else {
                ledger::add(unsafe { &raw mut (*row).skipped }, bytes);
                ledger::add(unsafe { &raw mut (*state).books.skipped }, bytes);
            }
            return Some(());
        }
        let way = Way {
            span: skip,
            request: unsafe { &raw mut (*state).request },
            at: tcp.seq,
            len: tcp.payload,
            last: u32::from(tcp.flags & (TCP_FIN | TCP_RST)),
            look_from: LOOK_FROM_PACKET,
        };
        let (part, span) = part(&way, |from, to, n| {
            load(skb, tcp.payload_at + from, to, n).is_some()
        });
        if part.0 == NOTHING {
            ledger::add(unsafe { &raw mut (*row).skipped }, bytes);
            ledger::add(unsafe { &raw mut (*state).books.skipped }, bytes);
            return Some(());
        }
        how.most = part.most();
        how.cut = part.cut();
        how.until = (span >> 32) as u32;
        let mut skips = part.skips();
        if how.most > HEAD && tcp.payload > HEAD && ring::crowded(|| cookie(skb)) {
            how.most = MOST.get(MOST_HEAD);
            // Not all up to there is delivered. Its lowest bit is 0, which the verifier is not to
            // know.
            skips &= u64::from(how.most);
        }
        how.flag = (skips as u16) * FLAG_SKIPS;
    }
    unsafe { (*state).emitted = 1 };
    send(skb, state, tcp, tuple, row, &how);
    Some(())
}

/// 1 if it is 1, else 0; without a branch, after which the verifier would know the number and keep
/// two paths apart.
#[inline(always)]
fn one(n: u32) -> u32 {
    let mut n = u64::from(n) ^ 1;
    unsafe { asm!("{0} += -1", "{0} >>= 63", inout(reg) n) };
    n as u32
}

/// Tells the user half the addresses that the plaintext of a TLS connection will need, once.
#[inline(always)]
fn announce(skb: *mut __sk_buff, state: *mut ConnState, tcp: &Tcp, tuple: &Tuple, direction: u8) {
    if unsafe { (*state).emitted } != 0 {
        return;
    }
    unsafe { (*state).emitted = 1 };
    let _ = ring::send_filled(
        || cookie(skb),
        |to, to_body: *mut SegmentBody| unsafe {
            to.write(header(skb, state, tcp, direction, 0));
            to_body.write(body((*state).link, tcp, tuple));
            (*to_body).moved = 0;
        },
    );
}

/// Books payload that is left out on purpose.
#[inline(always)]
fn filtered(state: *mut ConnState, line: *mut Tally, bytes: u64) {
    ledger::add(line, bytes);
    ledger::add(unsafe { &raw mut (*state).books.filtered }, bytes);
}

/// Counts a connection that is found not to be HTTP.
#[inline(always)]
fn other(protocol: u8) {
    if let Some(count) = PROTOCOLS.get_ptr_mut(u32::from(protocol)) {
        ledger::count(count);
    }
}

/// What the user half said of this connection: [`VERDICT_OTHER`], [`VERDICT_HTTP`] if the payload is
/// to be skipped, or `None` if it is wanted.
#[inline(always)]
fn controlled(skb: *mut __sk_buff, state: *mut ConnState, tcp: &Tcp, direction: u8) -> Option<u8> {
    let control = CONTROL.get_ptr_mut(&cookie(skb))?;
    let said = unsafe { (*control).verdict };
    if said != VERDICT_OPEN {
        unsafe { (*state).verdict = said };
        if said == VERDICT_OTHER {
            other(0);
            return Some(VERDICT_OTHER);
        }
    }
    if unsafe { (*control).whole } != 0 {
        unsafe {
            (*state).request = REQUEST_WHOLE;
            (*state).skip_in = 0;
            (*state).skip_out = 0;
        }
    }
    let (set, until) = unsafe {
        if direction == INBOUND {
            (&raw mut (*control).skip_in_set, (*control).skip_in)
        } else {
            (&raw mut (*control).skip_out_set, (*control).skip_out)
        }
    };
    if unsafe { *set } == 0 {
        return None;
    }
    let end = tcp.seq.wrapping_add(tcp.payload);
    let left = until.wrapping_sub(end);
    // The segment that reaches the place is delivered: it says when the body ended. An end that
    // comes with bytes is told with them.
    if left != 0 && left < 1 << 31 && tcp.flags & (TCP_FIN | TCP_RST) == 0 {
        return Some(VERDICT_HTTP);
    }
    if left == 0 || left >= 1 << 31 {
        unsafe { *set = 0 };
    }
    None
}

/// The number of the packet's socket.
#[inline(always)]
pub fn cookie(skb: *mut __sk_buff) -> u64 {
    unsafe { bpf_get_socket_cookie(skb.cast()) }
}

#[inline(always)]
pub fn header(
    skb: *mut __sk_buff,
    state: *mut ConnState,
    tcp: &Tcp,
    direction: u8,
    flag: u16,
) -> EventHeader {
    // Arithmetic and no branch: each branch would double the states the verifier walks through the
    // sending loop with.
    let bit = |value: u8, flag: u16| u16::from(value & 1) * flag;
    let flags = unsafe {
        bit(tcp.flags / TCP_FIN, FLAG_FIN)
            | bit(tcp.flags / TCP_RST, FLAG_RST)
            | bit((*state).from_start, FLAG_FROM_START)
            | bit((*state).connected, FLAG_CONNECTED)
            | bit((*state).peer_local, FLAG_PEER_LOCAL)
            // VERDICT_TLS is the only verdict whose second bit is set and first is not.
            | bit(((*state).verdict >> 1) & !(*state).verdict, FLAG_TLS)
            | flag
    };
    EventHeader {
        kind: KIND_SEGMENT,
        direction,
        flags,
        captured: 0,
        time_ns: unsafe { bpf_ktime_get_ns() },
        cookie: cookie(skb),
    }
}

#[inline(always)]
pub fn body(link: u64, tcp: &Tcp, tuple: &Tuple) -> SegmentBody {
    SegmentBody {
        tuple: *tuple,
        seq: tcp.seq,
        moved: tcp.payload,
        link,
        until: 0,
        pad: 0,
    }
}

/// How a packet goes to the user half.
pub struct Sending {
    pub direction: u8,
    pub link: u64,
    /// More `FLAG_` bits.
    pub flag: u16,
    /// A value of [`MOST`].
    pub most: u32,
    /// With [`FLAG_SKIPS`]: sequence number up to which bytes are left out.
    pub until: u32,
    /// Bytes at the front that are left out.
    pub cut: u32,
}

#[inline(always)]
pub fn send(
    skb: *mut __sk_buff,
    state: *mut ConnState,
    tcp: &Tcp,
    tuple: &Tuple,
    row: *mut LedgerRow,
    how: &Sending,
) {
    let most = how.most & !HELLO;
    let payload = tcp.payload - how.cut;
    let n = if payload > most { most } else { payload };
    let at = tcp.payload_at + how.cut;
    let fill = |to: *mut EventHeader, to_body: *mut SegmentBody| unsafe {
        to.write(header(skb, state, tcp, how.direction, how.flag));
        to_body.write(body(how.link, tcp, tuple));
        (*to_body).seq = tcp.seq.wrapping_add(how.cut);
        (*to_body).moved = payload;
        (*to_body).until = how.until;
    };
    let result = ring::send_payload(
        || cookie(skb),
        n,
        fill,
        |to, n| unsafe { bpf_skb_load_bytes(skb.cast(), at, to.cast(), n) == 0 },
    );
    if how.most & HELLO != 0 {
        filtered(
            state,
            unsafe { &raw mut (*row).tls },
            u64::from(tcp.payload),
        );
        return;
    }
    let skips = how.flag & FLAG_SKIPS != 0;
    // A listener's state is not written: what it accepts would inherit it.
    if how.flag & FLAG_EMBRYO == 0 {
        let books = unsafe { &raw mut (*state).books };
        ledger::settle_connection(books, &result, n, payload, skips);
        if how.cut != 0 {
            let cut = u64::from(how.cut);
            ledger::add_calls(unsafe { &raw mut (*books).skipped }, 0, cut);
            ledger::add_calls(unsafe { &raw mut (*row).skipped }, 0, cut);
        }
    }
    if let Err(Unsent::Full) = result {
        let word = first_word(skb, tcp);
        ledger::settle_request(row, word, payload);
    }
    let rest = if skips {
        Rest::Skipped
    } else if most < LARGEST {
        Rest::Crowded
    } else {
        Rest::TooLarge
    };
    ledger::settle(row, result, n, payload, rest);
}
