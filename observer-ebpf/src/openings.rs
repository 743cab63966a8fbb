//! Handshakes and ends: who connected to whom, what came with the handshake, what ends a direction.

use aya_ebpf::bindings::__sk_buff;
use observer_common::{
    conn::{VERDICT_OTHER, VERDICT_TLS},
    counter::LedgerRow,
    event::{FLAG_EMBRYO, FLAG_SYN, INBOUND, OUTBOUND, SegmentBody, Tuple},
};

use crate::{
    first_bytes::first_bytes,
    ledger,
    maps::{MOST, MOST_WHOLE, SERVED},
    packets::{TCP_ACK, TCP_LISTEN, TCP_SYN, Tcp},
    payload::{Sending, body, cookie, header, send, storage},
    ring,
};

/// Openings tell who connected to whom, and whether both ends are on this host: a SYN-ACK that a
/// listener of this host sent and a socket of this host receives, known by its two sequence
/// numbers, whatever happened to its addresses on the way.
#[inline(always)]
pub fn try_opening(skb: *mut __sk_buff, tcp: &Tcp, direction: u8) -> Option<()> {
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
            // It sent a SYN before: both ends connect at once (RFC 9293 3.5), so neither is the
            // client whose side could be left out.
            let state = storage(skb, false)?;
            unsafe { (*state).connected = 0 };
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
pub fn try_end(skb: *mut __sk_buff, tcp: &Tcp, tuple: &Tuple, direction: u8) -> Option<()> {
    let state = storage(skb, false)?;
    if unsafe { (*state).emitted } == 0 {
        return None;
    }
    let verdict = unsafe { (*state).verdict };
    if verdict == VERDICT_TLS || verdict == VERDICT_OTHER {
        return None;
    }
    let _ = ring::send_filled(
        || cookie(skb),
        |to, to_body: *mut SegmentBody| unsafe {
            to.write(header(skb, state, tcp, direction, 0));
            to_body.write(body((*state).link, tcp, tuple));
        },
    );
    Some(())
}

#[inline(always)]
pub fn is_listener(skb: *mut __sk_buff) -> bool {
    let sk = unsafe { (*skb).__bindgen_anon_2.sk };
    !sk.is_null() && unsafe { (*sk).state } == TCP_LISTEN
}

/// Payload that comes before its socket is there: the kernel shows it under the listener and makes
/// the socket from it. It came with the packet that completes the handshake (`TCP_DEFER_ACCEPT`, or
/// a first acknowledgement that was lost), or with the SYN (TCP fast open, RFC 7413).
///
/// Nothing is written to the listener's state, which every socket it accepts would inherit. So that
/// strangers cannot fill the ring, a packet counts only if it answers a SYN-ACK of this host, and a
/// SYN only while the ring has room for what matters more.
#[inline(always)]
pub fn try_embryo(skb: *mut __sk_buff, tcp: &Tcp, tuple: &Tuple, row: *mut LedgerRow) {
    let bytes = u64::from(tcp.payload);
    let Some(state) = storage(skb, true) else {
        ledger::add(unsafe { &raw mut (*row).unreadable }, bytes);
        return;
    };
    let syn = tcp.flags & TCP_SYN != 0;
    let link = if syn { 0 } else { accepted_link(tcp) };
    let verdict = first_bytes(skb, tcp, 0).verdict;
    let tally = unsafe {
        if (*state).own != 0 {
            &raw mut (*row).own
        } else if (syn && ring::crowded(|| cookie(skb)))
            || (!syn && SERVED.get_ptr(&link).is_none())
        {
            &raw mut (*row).other
        } else if verdict == VERDICT_TLS {
            // Its next packet is a record too, and tells the addresses.
            &raw mut (*row).tls
        } else {
            let how = Sending {
                direction: INBOUND,
                link,
                flag: FLAG_EMBRYO | (u16::from(syn) * FLAG_SYN),
                most: MOST.get(MOST_WHOLE),
                until: 0,
                cut: 0,
            };
            send(skb, state, tcp, tuple, row, &how);
            return;
        }
    };
    ledger::add(tally, bytes);
}

/// The first data of an accepted connection acknowledges the SYN-ACK and follows the SYN, so it
/// holds the same two numbers as the SYN-ACK did.
#[inline(always)]
pub fn accepted_link(tcp: &Tcp) -> u64 {
    (u64::from(tcp.ack.wrapping_sub(1)) << 32) | u64::from(tcp.seq)
}
