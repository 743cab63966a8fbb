//! Packets of every socket on the host: `cgroup_skb` on the root of cgroup2, both ways.
//!
//! Runs above the network device and below TCP's own checks (kernel `net/core/filter.c`,
//! `sk_filter_trim_cap`; `net/ipv4/ip_output.c`, `ip_finish_output`), so it sees sendfile, splice
//! and io_uring alike. It always lets the packet pass.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes, macros::cgroup_skb,
    programs::SkBuffContext,
};
use observer_common::{
    counter::SOURCE_PACKETS,
    event::{INBOUND, OUTBOUND, Tuple},
};

use crate::{
    ledger,
    openings::{is_listener, try_embryo, try_end, try_opening},
    payload::try_payload,
};

/// The packet goes on its way. This program never returns anything else.
const PASS: i32 = 1;

/// IPv6 extension headers walked before a packet is let go uninspected.
const MAX_EXTENSIONS: u32 = 6;
const ETH_P_IP: u32 = 0x0800;
const ETH_P_IPV6: u32 = 0x86dd;
const IPPROTO_TCP: u8 = 6;

/// kernel `include/net/tcp_states.h`
pub const TCP_LISTEN: u32 = 10;

pub const TCP_FIN: u8 = 1;
pub const TCP_SYN: u8 = 2;
pub const TCP_RST: u8 = 4;
pub const TCP_ACK: u8 = 16;

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
pub struct Tcp {
    pub payload_at: u32,
    pub payload: u32,
    /// Of the first payload byte.
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
}

#[inline(always)]
pub fn load<T>(skb: *mut __sk_buff, at: u32, to: *mut T, n: u32) -> Option<()> {
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
    let mut tcp = Tcp {
        payload_at,
        payload: packet_len.checked_sub(payload_at)?,
        seq: u32_at(head, 24),
        ack: u32_at(head, 28),
        flags: head[33],
    };
    if tcp.flags & TCP_SYN != 0 {
        let _ = try_opening(skb, &tcp, direction);
        if tcp.payload == 0 {
            return None;
        }
        // TCP fast open: the SYN itself takes a number.
        tcp.seq = tcp.seq.wrapping_add(1);
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
