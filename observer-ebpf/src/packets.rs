//! Packets of every socket on the host: `cgroup_skb` on the root of cgroup2, both ways.
//!
//! Runs above the network device and below TCP's own checks (kernel `net/core/filter.c`,
//! `sk_filter_trim_cap`; `net/ipv4/ip_output.c`, `ip_finish_output`), so it sees sendfile, splice
//! and io_uring alike. It always lets the packet pass.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_SK_STORAGE_GET_F_CREATE},
    helpers::generated::{
        bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_sk_storage_get, bpf_skb_load_bytes,
    },
    macros::cgroup_skb,
    programs::SkBuffContext,
};
use observer_common::{
    conn::{ConnState, VERDICT_HTTP, VERDICT_OPEN, VERDICT_OTHER, VERDICT_TLS},
    counter::{LedgerRow, SOURCE_PACKETS, Tally},
    event::{
        EventHeader, FLAG_CONNECTED, FLAG_EMBRYO, FLAG_FIN, FLAG_FROM_START, FLAG_PEER_LOCAL,
        FLAG_RST, FLAG_TLS, INBOUND, KIND_SEGMENT, OUTBOUND, SegmentBody, Tuple,
    },
};

use crate::{
    ledger,
    maps::{BOTH_SIDES, CONNS, CONTROL, SERVED},
    ring::{self, LARGEST},
};

/// The packet goes on its way. This program never returns anything else.
const PASS: i32 = 1;

/// IPv6 extension headers walked before a packet is let go uninspected.
const MAX_EXTENSIONS: u32 = 6;
/// A body worth asking whether it can be skipped begins with segments of at least this size.
const SKIP_FROM: u32 = 1024;
/// Every so many packets the user half's word on a connection is looked up.
const CONTROL_EVERY: u32 = 8;

const ETH_P_IP: u32 = 0x0800;
const ETH_P_IPV6: u32 = 0x86dd;
const IPPROTO_TCP: u8 = 6;

/// kernel `include/net/tcp_states.h`
const TCP_LISTEN: u32 = 10;

const TCP_FIN: u8 = 1;
const TCP_SYN: u8 = 2;
const TCP_RST: u8 = 4;
const TCP_ACK: u8 = 16;

#[cgroup_skb]
pub fn packets_in(ctx: SkBuffContext) -> i32 {
    let _ = try_packet(ctx.skb_ptr(), INBOUND);
    PASS
}

#[cgroup_skb]
pub fn packets_out(ctx: SkBuffContext) -> i32 {
    let _ = try_packet(ctx.skb_ptr(), OUTBOUND);
    PASS
}

trait SkbPtr {
    fn skb_ptr(&self) -> *mut __sk_buff;
}

impl SkbPtr for SkBuffContext {
    #[inline(always)]
    fn skb_ptr(&self) -> *mut __sk_buff {
        use aya_ebpf::EbpfContext as _;
        self.as_ptr().cast()
    }
}

/// Where the TCP header is and what it says.
struct Tcp {
    payload_at: u32,
    payload: u32,
    seq: u32,
    ack: u32,
    flags: u8,
}

#[inline(always)]
fn load<T>(skb: *mut __sk_buff, at: u32, to: *mut T, n: u32) -> Option<()> {
    let result = unsafe { bpf_skb_load_bytes(skb.cast(), at, to.cast(), n) };
    (result == 0).then_some(())
}

#[inline(always)]
fn u16_at(bytes: &[u8; 60], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[inline(always)]
fn u32_at(bytes: &[u8; 60], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[inline(always)]
fn try_packet(skb: *mut __sk_buff, direction: u8) -> Option<()> {
    let len = unsafe { (*skb).len };
    let protocol = u32::from(u16::from_be(unsafe { (*skb).protocol } as u16));
    let mut tuple = Tuple::default();
    let mut head = MaybeUninit::<[u8; 60]>::uninit();
    let at = head.as_mut_ptr();
    // The usual header, IPv4 or IPv6 followed at once by TCP, takes one load.
    let (tcp_at, packet_len) = if protocol == ETH_P_IP {
        load(skb, 0, at, 40)?;
        let head = unsafe { &*at };
        if head[9] != IPPROTO_TCP {
            return None;
        }
        let header = u32::from(head[0] & 0x0f) * 4;
        let (local, remote) = if direction == INBOUND {
            (16, 12)
        } else {
            (12, 16)
        };
        tuple.family = 4;
        tuple.local[..4].copy_from_slice(&head[local..local + 4]);
        tuple.remote[..4].copy_from_slice(&head[remote..remote + 4]);
        // The length of a BIG TCP packet does not fit its field and is 0 there.
        let stated = u32::from(u16_at(head, 2));
        (header, if stated == 0 { len } else { stated })
    } else if protocol == ETH_P_IPV6 {
        load(skb, 0, at, 60)?;
        let head = unsafe { &*at };
        let (local, remote) = if direction == INBOUND {
            (24, 8)
        } else {
            (8, 24)
        };
        tuple.family = 6;
        tuple.local.copy_from_slice(&head[local..local + 16]);
        tuple.remote.copy_from_slice(&head[remote..remote + 16]);
        let stated = u32::from(u16_at(head, 4));
        let packet_len = if stated == 0 { len } else { stated + 40 };
        let tcp_at = if head[6] == IPPROTO_TCP {
            40
        } else {
            after_extensions(skb, head[6])?
        };
        (tcp_at, packet_len)
    } else {
        return None;
    };
    let packet_len = if packet_len < len { packet_len } else { len };
    // The TCP header is put where IPv4 without options has it.
    if protocol != ETH_P_IP || tcp_at != 20 {
        load(skb, tcp_at, unsafe { (*at).as_mut_ptr().add(20) }, 20)?;
    }
    let head = unsafe { &*at };
    let (source, destination) = (u16_at(head, 20), u16_at(head, 22));
    (tuple.local_port, tuple.remote_port) = if direction == INBOUND {
        (destination, source)
    } else {
        (source, destination)
    };
    let payload_at = tcp_at + u32::from(head[32] >> 4) * 4;
    let tcp = Tcp {
        payload_at,
        payload: packet_len.checked_sub(payload_at)?,
        seq: u32_at(head, 24),
        ack: u32_at(head, 28),
        flags: head[33],
    };
    if tcp.flags & TCP_SYN != 0 {
        return try_opening(skb, &tcp, direction);
    }
    if tcp.payload == 0 {
        if tcp.flags & (TCP_FIN | TCP_RST) != 0 {
            return try_end(skb, &tcp, &tuple, direction);
        }
        return None;
    }
    let row = ledger::row(SOURCE_PACKETS)?;
    ledger::add(unsafe { &raw mut (*row).seen }, u64::from(tcp.payload));
    if direction == INBOUND && is_listener(skb) {
        try_embryo(skb, &tcp, &tuple, row);
        return Some(());
    }
    if try_payload(skb, &tcp, &tuple, direction, row).is_none() {
        ledger::add(
            unsafe { &raw mut (*row).unreadable },
            u64::from(tcp.payload),
        );
    }
    Some(())
}

/// Walks IPv6 extension headers (RFC 8200) to the TCP header.
#[inline(always)]
fn after_extensions(skb: *mut __sk_buff, first: u8) -> Option<u32> {
    let mut next = first;
    let mut at = 40_u32;
    for _ in 0..MAX_EXTENSIONS {
        let mut option = [0_u8; 2];
        load(skb, at, &raw mut option, 2)?;
        let length = match next {
            // Hop-by-hop, routing, destination options, mobility.
            0 | 43 | 60 | 135 => (u32::from(option[1]) + 1) * 8,
            // Fragment: only a first fragment would hold the TCP header; whole ones arrive here.
            44 => 8,
            // Authentication header, RFC 4302, in 4-byte units.
            51 => (u32::from(option[1]) + 2) * 4,
            _ => return None,
        };
        next = option[0];
        at += length;
        if next == IPPROTO_TCP {
            return Some(at);
        }
    }
    None
}

#[inline(always)]
fn storage(skb: *mut __sk_buff, create: bool) -> Option<*mut ConnState> {
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

/// Openings tell who connected to whom, and whether both ends are on this host: a SYN-ACK that a
/// listener of this host sent and a socket of this host receives, known by its two sequence
/// numbers, whatever happened to its addresses on the way.
#[inline(always)]
fn try_opening(skb: *mut __sk_buff, tcp: &Tcp, direction: u8) -> Option<()> {
    let link = (u64::from(tcp.seq) << 32) | u64::from(tcp.ack);
    let answer = tcp.flags & TCP_ACK != 0;
    match (direction, answer) {
        (OUTBOUND, false) => {
            let state = storage(skb, true)?;
            unsafe {
                (*state).from_start = 1;
                (*state).connected = 1;
            }
        }
        // Under the listener: what is written here its accepted sockets inherit.
        (INBOUND, false) => {
            let state = storage(skb, true)?;
            unsafe { (*state).from_start = 1 };
        }
        (OUTBOUND, true) => {
            let _ = SERVED.insert(&link, &1, 0);
        }
        _ => {
            let state = storage(skb, true)?;
            unsafe { (*state).link = link };
            if SERVED.get_ptr(&link).is_some() {
                unsafe { (*state).peer_local = 1 };
            }
        }
    }
    Some(())
}

/// A FIN or RST without payload: the end of a direction.
#[inline(always)]
fn try_end(skb: *mut __sk_buff, tcp: &Tcp, tuple: &Tuple, direction: u8) -> Option<()> {
    let state = storage(skb, false)?;
    if unsafe { (*state).emitted } == 0 {
        return None;
    }
    let verdict = unsafe { (*state).verdict };
    if verdict == VERDICT_TLS || verdict == VERDICT_OTHER {
        return None;
    }
    let header = header(skb, state, tcp, direction, 0);
    let body = body(unsafe { (*state).link }, tcp, tuple);
    let _ = ring::send(header, body);
    Some(())
}

#[inline(always)]
fn is_listener(skb: *mut __sk_buff) -> bool {
    let sk = unsafe { (*skb).__bindgen_anon_2.sk };
    !sk.is_null() && unsafe { (*sk).state } == TCP_LISTEN
}

/// Payload in the packet that completes a handshake: the kernel shows it under the listener and
/// makes the socket from it (`TCP_DEFER_ACCEPT`, or a first acknowledgement that was lost). Nothing
/// is written to the listener's state, which every socket it accepts would inherit; and only a
/// packet that answers a SYN-ACK of this host counts, so that strangers cannot fill the ring.
#[inline(always)]
fn try_embryo(skb: *mut __sk_buff, tcp: &Tcp, tuple: &Tuple, row: *mut LedgerRow) {
    let bytes = u64::from(tcp.payload);
    let Some(state) = storage(skb, true) else {
        ledger::add(unsafe { &raw mut (*row).unreadable }, bytes);
        return;
    };
    let link = accepted_link(tcp);
    let verdict = first_bytes(skb, tcp);
    let tally = unsafe {
        if (*state).own != 0 {
            &raw mut (*row).own
        } else if SERVED.get_ptr(&link).is_none() {
            &raw mut (*row).other
        } else if verdict == VERDICT_TLS {
            // Its next packet is a record too, and tells the addresses.
            &raw mut (*row).tls
        } else {
            send(skb, state, tcp, tuple, INBOUND, row, link, FLAG_EMBRYO);
            return;
        }
    };
    ledger::add(tally, bytes);
}

/// The first data of an accepted connection acknowledges the SYN-ACK and follows the SYN, so it
/// holds the same two numbers as the SYN-ACK did.
#[inline(always)]
fn accepted_link(tcp: &Tcp) -> u64 {
    (u64::from(tcp.ack.wrapping_sub(1)) << 32) | u64::from(tcp.seq)
}

/// `None`: the payload could not be looked at.
#[inline(always)]
fn try_payload(
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
        verdict = first_bytes(skb, tcp);
        if verdict != VERDICT_OPEN {
            unsafe { (*state).verdict = verdict };
        }
    }
    if verdict == VERDICT_TLS {
        if unsafe { (*state).emitted } == 0 {
            // Tells the user half the addresses that the plaintext of this socket will need.
            unsafe { (*state).emitted = 1 };
            let header = header(skb, state, tcp, direction, 0);
            let mut body = body(unsafe { (*state).link }, tcp, tuple);
            body.moved = 0;
            let _ = ring::send(header, body);
        }
        ledger::add(unsafe { &raw mut (*row).tls }, bytes);
        return Some(());
    }
    if verdict == VERDICT_OTHER {
        ledger::add(unsafe { &raw mut (*row).other }, bytes);
        return Some(());
    }
    if duplicate && BOTH_SIDES.load() == 0 {
        ledger::add(unsafe { &raw mut (*row).duplicate }, bytes);
        return Some(());
    }
    if (tcp.payload >= SKIP_FROM || packets % CONTROL_EVERY == 0 || verdict == VERDICT_OPEN)
        && let Some(tally) = controlled(skb, state, tcp, direction, row)
    {
        ledger::add(tally, bytes);
        return Some(());
    }
    unsafe { (*state).emitted = 1 };
    let link = unsafe { (*state).link };
    send(skb, state, tcp, tuple, direction, row, link, 0);
    Some(())
}

/// What the first bytes of a packet say. Only what is certain is decided here; the user half
/// parses the rest and says its verdict through `CONTROL`.
#[inline(always)]
fn first_bytes(skb: *mut __sk_buff, tcp: &Tcp) -> u8 {
    let mut first = [0_u8; 4];
    if load(skb, tcp.payload_at, &raw mut first, 4).is_none() {
        return VERDICT_OPEN;
    }
    // A TLS record, RFC 8446 5.1: type 20 to 23, version 3.x.
    if first[0] >= 20 && first[0] <= 23 && first[1] == 3 && first[2] <= 4 {
        return VERDICT_TLS;
    }
    match &first {
        b"GET " | b"POST" | b"PUT " | b"HEAD" | b"HTTP" | b"DELE" | b"PATC" | b"OPTI" | b"PRI " => {
            VERDICT_HTTP
        }
        _ => VERDICT_OPEN,
    }
}

/// What the user half said of this connection: the ledger line the payload belongs to, or `None`
/// if it is wanted.
#[inline(always)]
fn controlled(
    skb: *mut __sk_buff,
    state: *mut ConnState,
    tcp: &Tcp,
    direction: u8,
    row: *mut LedgerRow,
) -> Option<*mut Tally> {
    let cookie = unsafe { bpf_get_socket_cookie(skb.cast()) };
    let control = CONTROL.get_ptr_mut(&cookie)?;
    let said = unsafe { (*control).verdict };
    if said != VERDICT_OPEN {
        unsafe { (*state).verdict = said };
        if said == VERDICT_OTHER {
            return Some(unsafe { &raw mut (*row).other });
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
        return Some(unsafe { &raw mut (*row).skipped });
    }
    if left == 0 || left >= 1 << 31 {
        unsafe { *set = 0 };
    }
    None
}

#[inline(always)]
fn header(
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
        cookie: unsafe { bpf_get_socket_cookie(skb.cast()) },
    }
}

#[inline(always)]
fn body(link: u64, tcp: &Tcp, tuple: &Tuple) -> SegmentBody {
    SegmentBody {
        tuple: *tuple,
        seq: tcp.seq,
        moved: tcp.payload,
        link,
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "a struct for them would live on the stack"
)]
#[inline(always)]
fn send(
    skb: *mut __sk_buff,
    state: *mut ConnState,
    tcp: &Tcp,
    tuple: &Tuple,
    direction: u8,
    row: *mut LedgerRow,
    link: u64,
    flag: u16,
) {
    let n = if tcp.payload > LARGEST {
        LARGEST
    } else {
        tcp.payload
    };
    let at = tcp.payload_at;
    let fill = |to: *mut EventHeader, to_body: *mut SegmentBody| unsafe {
        to.write(header(skb, state, tcp, direction, flag));
        to_body.write(body(link, tcp, tuple));
    };
    let result = ring::send_payload(n, fill, |to, n| unsafe {
        bpf_skb_load_bytes(skb.cast(), at, to.cast(), n) == 0
    });
    ledger::settle(row, result, n, tcp.payload);
}
