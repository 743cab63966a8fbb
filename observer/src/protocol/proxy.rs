//! The opening that proxies put before what they pass on: the PROXY protocol, versions 1 and 2
//! (HAProxy, doc/proxy-protocol.txt). It names the client; HTTP or TLS follows it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use memchr::memchr;

/// Longest line of version 1 with its end (§2.1).
const MAX_LINE: usize = 107;
/// How version 1 begins.
const LINE: &[u8] = b"PROXY ";
/// How version 2 begins (§2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of version 2 before its addresses.
const FIXED: usize = 16;
/// Longest opening of version 2 taken: what proxies add to the addresses are names and the subject
/// of a certificate.
const MAX_BINARY: usize = FIXED + 4096;

/// What the first bytes of a side are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proxy {
    /// Not an opening of the PROXY protocol.
    No,
    /// Possibly one, of which more is to come.
    Incomplete,
    /// One of so many bytes, and the client that it names, if it names one.
    Opening(usize, Option<SocketAddr>),
}

/// Looks at the first bytes of a side.
pub(super) fn proxy(bytes: &[u8]) -> Proxy {
    let begins = |pattern: &[u8]| bytes.iter().zip(pattern).all(|(byte, known)| byte == known);
    if begins(SIGNATURE) {
        binary(bytes)
    } else if begins(LINE) {
        line(bytes)
    } else {
        Proxy::No
    }
}

/// `PROXY TCP4 192.0.2.1 198.51.100.7 40000 443`, or `UNKNOWN` and anything.
fn line(bytes: &[u8]) -> Proxy {
    let start = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some(end) = memchr(b'\n', start) else {
        return if bytes.len() < MAX_LINE {
            Proxy::Incomplete
        } else {
            Proxy::No
        };
    };
    let line = start.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let Some(line) = line.and_then(|line| std::str::from_utf8(line).ok()) else {
        return Proxy::No;
    };
    let mut words = line.split(' ').skip(1);
    let client = match words.next() {
        Some("UNKNOWN") => None,
        Some("TCP4" | "TCP6") => {
            let mut next = || words.next();
            let (Some(source), Some(_), Some(port)) = (next(), next(), next()) else {
                return Proxy::No;
            };
            let (Ok(ip), Ok(port)) = (source.parse::<IpAddr>(), port.parse()) else {
                return Proxy::No;
            };
            Some(SocketAddr::new(ip.to_canonical(), port))
        }
        _ => return Proxy::No,
    };
    Proxy::Opening(end + 1, client)
}

/// The signature, version and command, family and protocol, length, addresses, extensions.
fn binary(bytes: &[u8]) -> Proxy {
    let Some(&[command, family, high, low]) = bytes
        .get(SIGNATURE.len()..FIXED)
        .and_then(|fixed| <&[u8; 4]>::try_from(fixed).ok())
    else {
        return Proxy::Incomplete;
    };
    let len = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || len > MAX_BINARY {
        return Proxy::No;
    }
    let Some(rest) = bytes.get(FIXED..len) else {
        return Proxy::Incomplete;
    };
    // LOCAL: the proxy speaks for itself.
    if command & 15 == 0 {
        return Proxy::Opening(len, None);
    }
    let port = |at: usize| {
        let port = rest.get(at..at + 2)?;
        Some(u16::from_be_bytes(port.try_into().ok()?))
    };
    let client = match family >> 4 {
        1 => rest.first_chunk::<4>().zip(port(8)).map(|(ip, port)| {
            let ip = Ipv4Addr::from(*ip);
            SocketAddr::new(ip.into(), port)
        }),
        2 => rest.first_chunk::<16>().zip(port(32)).map(|(ip, port)| {
            let ip = IpAddr::from(Ipv6Addr::from(*ip));
            SocketAddr::new(ip.to_canonical(), port)
        }),
        _ => None,
    };
    Proxy::Opening(len, client)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend((addresses.len() as u16).to_be_bytes());
        bytes.extend(addresses);
        bytes
    }

    #[test]
    fn openings_are_measured_whatever_comes_after_and_name_the_client() {
        let four = v2(
            0x21,
            0x11,
            &[192, 0, 2, 1, 10, 0, 0, 1, 0x9c, 0x40, 1, 0xbb, 3, 0, 1, 9],
        );
        let mut six = vec![0; 36];
        six[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
        six[15] = 7;
        six[33] = 80;
        for (opening, client) in [
            (
                b"PROXY TCP4 192.0.2.1 198.51.100.7 40000 443\r\n".to_vec(),
                Some("192.0.2.1:40000"),
            ),
            (
                b"PROXY TCP6 2001:db8::7 2001:db8::1 80 443\r\n".to_vec(),
                Some("[2001:db8::7]:80"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (four, Some("192.0.2.1:40000")),
            (v2(0x21, 0x21, &six), Some("[2001:db8::7]:80")),
            (v2(0x20, 0, &[]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
            (v2(0x21, 0x11, &[1, 2]), None),
        ] {
            let client = client.map(|text| text.parse().unwrap());
            let text = [&*opening, b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(proxy(&text), Proxy::Opening(opening.len(), client));
            for end in 0..opening.len() {
                assert_eq!(proxy(&opening[..end]), Proxy::Incomplete, "{end}");
            }
        }
    }

    #[test]
    fn other_beginnings_are_none() {
        for text in [
            &b"POST / HTTP/1.1"[..],
            b"PRI * HTTP/2.0",
            b"PROXY TCP4 here there 1 2\r\n",
            b"PROXY TCP4 192.0.2.1\r\n",
            b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            b"\r\n\r\nGET / HTTP/1.1",
        ] {
            assert_eq!(proxy(text), Proxy::No, "{}", text.escape_ascii());
        }
        assert_eq!(proxy(&[LINE, &[b'x'; 200]].concat()), Proxy::No);
        assert_eq!(proxy(&v2(0x11, 0x11, &[0; 12])), Proxy::No);
        assert_eq!(
            proxy(&[SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat()),
            Proxy::No
        );
    }
}
