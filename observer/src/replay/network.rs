//! Finds the TCP segment in a packet: link layer, IPv4 and IPv6, extension headers, tunnels.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::fragments::{Fragment, Fragments};

/// Headers one inside the other that are followed.
const MAX_NESTED: usize = 8;

/// A TCP segment in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TcpSegment<'a> {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub seq: u32,
    pub syn: bool,
    pub ack: bool,
    pub fin: bool,
    pub rst: bool,
    /// Payload bytes on the wire.
    pub len: u32,
    /// Those of them that were captured.
    pub bytes: &'a [u8],
}

/// The link type is one that is read here.
pub(super) fn is_known(link: u16) -> bool {
    matches!(
        link,
        0 | 1 | 9 | 12 | 14 | 101 | 104 | 108 | 113 | 228 | 229 | 239 | 276
    )
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// The protocol after the link layer as an EtherType, and its bytes.
fn linked(link: u16, bytes: &[u8]) -> Option<(u16, &[u8])> {
    let be16 = |at: usize| {
        bytes
            .get(at..)?
            .first_chunk()
            .copied()
            .map(u16::from_be_bytes)
    };
    match link {
        1 => Some((be16(12)?, bytes.get(14..)?)),
        // Loopback of BSD: the address family in the byte order of the host, or of the network.
        0 | 108 => {
            let family = u32::from_le_bytes(*bytes.first_chunk()?);
            let family = family.min(family.swap_bytes());
            let kind = if family == 2 { IPV4 } else { IPV6 };
            Some((kind, bytes.get(4..)?))
        }
        // Cisco HDLC: address, control, then an EtherType.
        104 => Some((be16(2)?, bytes.get(4..)?)),
        239 => nflog(bytes),
        // PPP, with or without its address and control fields.
        9 => ppp(bytes.strip_prefix(&[0xff, 0x03]).unwrap_or(bytes)),
        113 => Some((be16(14)?, bytes.get(16..)?)),
        276 => Some((be16(0)?, bytes.get(20..)?)),
        // Raw: the version says which.
        _ => raw(bytes),
    }
}

fn raw(bytes: &[u8]) -> Option<(u16, &[u8])> {
    match bytes.first()? >> 4 {
        4 => Some((IPV4, bytes)),
        6 => Some((IPV6, bytes)),
        _ => None,
    }
}

/// What the logging of Linux's packet filter writes: a head, then values, of which one is the
/// packet. Lengths are in the byte order of the host that wrote them: one of the two makes sense.
fn nflog(bytes: &[u8]) -> Option<(u16, &[u8])> {
    const PAYLOAD: u16 = 9;
    let mut rest = bytes.get(4..)?;
    loop {
        let (head, after) = rest.split_first_chunk::<4>()?;
        let [l0, l1, k0, k1] = *head;
        let little = (u16::from_le_bytes([l0, l1]), u16::from_le_bytes([k0, k1]));
        let big = (u16::from_be_bytes([l0, l1]), u16::from_be_bytes([k0, k1]));
        let (len, kind) = if little.1 <= 0xff { little } else { big };
        let len = usize::from(len).checked_sub(4)?;
        if kind == PAYLOAD {
            return raw(after.get(..len)?);
        }
        rest = after.get(len.next_multiple_of(4)..)?;
    }
}

fn ppp(bytes: &[u8]) -> Option<(u16, &[u8])> {
    // The first byte of the protocol may be left out (RFC 1661 §6.5).
    match bytes {
        [0x21, rest @ ..] => return Some((IPV4, rest)),
        [0x57, rest @ ..] => return Some((IPV6, rest)),
        _ => {}
    }
    let (protocol, rest) = bytes.split_first_chunk::<2>()?;
    match protocol {
        [0x00, 0x21] => Some((IPV4, rest)),
        [0x00, 0x57] => Some((IPV6, rest)),
        _ => None,
    }
}

/// Gives the TCP segment in a packet, if there is one, to `take`. Fragments are kept until all
/// are there.
pub(super) fn segment(
    link: u16,
    bytes: &[u8],
    time_ns: u64,
    fragments: &mut Fragments,
    take: &mut impl FnMut(TcpSegment<'_>),
) {
    if let Some((kind, rest)) = linked(link, bytes) {
        layer(kind, rest, time_ns, fragments, take, MAX_NESTED);
    }
}

/// What an EtherType says follows.
fn layer(
    kind: u16,
    bytes: &[u8],
    time_ns: u64,
    fragments: &mut Fragments,
    take: &mut impl FnMut(TcpSegment<'_>),
    left: usize,
) -> Option<()> {
    let left = left.checked_sub(1)?;
    let be16 = |at: usize| {
        bytes
            .get(at..)?
            .first_chunk()
            .copied()
            .map(u16::from_be_bytes)
    };
    match kind {
        IPV4 => ipv4(bytes, time_ns, fragments, take, left),
        IPV6 => ipv6(bytes, time_ns, fragments, take, left),
        // A length, not a type: LLC and SNAP (IEEE 802) follow.
        ..=1500 => match bytes {
            [0xaa, 0xaa, 0x03, 0, 0, 0, k0, k1, rest @ ..] => {
                let kind = u16::from_be_bytes([*k0, *k1]);
                layer(kind, rest, time_ns, fragments, take, left)
            }
            _ => None,
        },
        // VLAN (IEEE 802.1Q, 802.1ad, and before it).
        0x8100 | 0x88a8 | 0x9100 => {
            layer(be16(2)?, bytes.get(4..)?, time_ns, fragments, take, left)
        }
        // MPLS: labels up to the bottom of the stack, then IP.
        0x8847 | 0x8848 => {
            let bottom = bytes
                .as_chunks::<4>()
                .0
                .iter()
                .position(|label| label.get(2).is_some_and(|byte| byte & 1 == 1))?;
            let (kind, rest) = raw(bytes.get((bottom + 1) * 4..)?)?;
            layer(kind, rest, time_ns, fragments, take, left)
        }
        // PPPoE sessions (RFC 2516).
        0x8864 => {
            let (kind, rest) = ppp(bytes.get(6..)?)?;
            layer(kind, rest, time_ns, fragments, take, left)
        }
        _ => None,
    }
}

fn ipv4(
    bytes: &[u8],
    time_ns: u64,
    fragments: &mut Fragments,
    take: &mut impl FnMut(TcpSegment<'_>),
    left: usize,
) -> Option<()> {
    let head: &[u8; 20] = bytes.first_chunk()?;
    let [
        first,
        _,
        l0,
        l1,
        i0,
        i1,
        f0,
        f1,
        _,
        protocol,
        _,
        _,
        addresses @ ..,
    ] = head;
    if first >> 4 != 4 {
        return None;
    }
    let head_len = usize::from(first & 0x0f) * 4;
    let total = match u16::from_be_bytes([*l0, *l1]) {
        // Offloaded to the network card, which had not filled it in yet.
        0 => bytes.len(),
        total => usize::from(total),
    };
    let len = total.checked_sub(head_len)?;
    let payload = bytes.get(head_len..)?;
    let payload = payload.get(..len).unwrap_or(payload);
    let [s0, s1, s2, s3, d0, d1, d2, d3] = *addresses;
    let from = IpAddr::V4(Ipv4Addr::new(s0, s1, s2, s3));
    let to = IpAddr::V4(Ipv4Addr::new(d0, d1, d2, d3));
    let place = u16::from_be_bytes([*f0, *f1]);
    let (more, offset) = (place & 0x2000 != 0, usize::from(place & 0x1fff) * 8);
    if more || offset > 0 {
        let fragment = Fragment {
            from,
            to,
            protocol: *protocol,
            id: u32::from(u16::from_be_bytes([*i0, *i1])),
            offset,
            more,
            time_ns,
        };
        let whole = fragments.add(&fragment, payload)?;
        return transport(
            *protocol,
            from,
            to,
            whole.len(),
            &whole,
            time_ns,
            fragments,
            take,
            left,
        );
    }
    transport(
        *protocol, from, to, len, payload, time_ns, fragments, take, left,
    )
}

fn ipv6(
    bytes: &[u8],
    time_ns: u64,
    fragments: &mut Fragments,
    take: &mut impl FnMut(TcpSegment<'_>),
    left: usize,
) -> Option<()> {
    let (head, rest) = bytes.split_first_chunk::<40>()?;
    let [first, _, _, _, l0, l1, next, _, addresses @ ..] = head;
    if first >> 4 != 6 {
        return None;
    }
    let mut len = match u16::from_be_bytes([*l0, *l1]) {
        0 => rest.len(),
        len => usize::from(len),
    };
    let mut payload = rest.get(..len).unwrap_or(rest);
    let (from, to) = addresses.split_first_chunk::<16>()?;
    let from = IpAddr::V6(Ipv6Addr::from(*from));
    let to = IpAddr::V6(Ipv6Addr::from(*to.first_chunk::<16>()?));
    let mut next = *next;
    for _ in 0..MAX_NESTED {
        let head_len = match (next, payload) {
            // Hop-by-hop options, routing, destination options (RFC 8200 §4).
            (0 | 43 | 60, [_, len, ..]) => (usize::from(*len) + 1) * 8,
            // Authentication (RFC 4302 §2.2).
            (51, [_, len, ..]) => (usize::from(*len) + 2) * 4,
            (44, [inner, _, p0, p1, id @ ..]) => {
                let place = u16::from_be_bytes([*p0, *p1]);
                let fragment = Fragment {
                    from,
                    to,
                    protocol: *inner,
                    id: u32::from_be_bytes(*id.first_chunk()?),
                    offset: usize::from(place & 0xfff8),
                    more: place & 1 == 1,
                    time_ns,
                };
                let rest = payload.get(8..)?;
                if !fragment.more && fragment.offset == 0 {
                    next = *inner;
                    payload = rest;
                    len = len.checked_sub(8)?;
                    continue;
                }
                let whole = fragments.add(&fragment, rest)?;
                return transport(
                    *inner,
                    from,
                    to,
                    whole.len(),
                    &whole,
                    time_ns,
                    fragments,
                    take,
                    left,
                );
            }
            _ => break,
        };
        next = *payload.first()?;
        payload = payload.get(head_len..)?;
        len = len.checked_sub(head_len)?;
    }
    transport(next, from, to, len, payload, time_ns, fragments, take, left)
}

#[expect(
    clippy::too_many_arguments,
    reason = "what the headers before it said, and where the segment goes"
)]
fn transport(
    protocol: u8,
    from: IpAddr,
    to: IpAddr,
    len: usize,
    bytes: &[u8],
    time_ns: u64,
    fragments: &mut Fragments,
    take: &mut impl FnMut(TcpSegment<'_>),
    left: usize,
) -> Option<()> {
    let be16 = |at: usize| {
        bytes
            .get(at..)?
            .first_chunk()
            .copied()
            .map(u16::from_be_bytes)
    };
    match protocol {
        6 => {
            take(tcp(from, to, len, bytes)?);
            Some(())
        }
        // IP in IP.
        4 | 41 => {
            let (kind, rest) = raw(bytes)?;
            layer(kind, rest, time_ns, fragments, take, left)
        }
        // GRE (RFC 2784, RFC 2890): four bytes for each field that is there.
        47 => {
            let flags = be16(0)?;
            let fields = [0x8000, 0x2000, 0x1000];
            let present = fields.iter().filter(|field| flags & **field != 0).count();
            layer(
                be16(2)?,
                bytes.get(4 + present * 4..)?,
                time_ns,
                fragments,
                take,
                left,
            )
        }
        _ => None,
    }
}

fn tcp(from: IpAddr, to: IpAddr, len: usize, bytes: &[u8]) -> Option<TcpSegment<'_>> {
    let head: &[u8; 20] = bytes.first_chunk()?;
    let [f0, f1, t0, t1, seq @ ..] = head;
    let head_len = usize::from(head.get(12)? >> 4) * 4;
    let flags = *head.get(13)?;
    if head_len < 20 {
        return None;
    }
    let len = len.checked_sub(head_len)?;
    let payload = bytes.get(head_len..).unwrap_or_default();
    Some(TcpSegment {
        from: SocketAddr::new(from, u16::from_be_bytes([*f0, *f1])),
        to: SocketAddr::new(to, u16::from_be_bytes([*t0, *t1])),
        seq: u32::from_be_bytes(*seq.first_chunk()?),
        fin: flags & 1 != 0,
        syn: flags & 2 != 0,
        rst: flags & 4 != 0,
        ack: flags & 16 != 0,
        len: u32::try_from(len).ok()?,
        bytes: payload.get(..len).unwrap_or(payload),
    })
}
