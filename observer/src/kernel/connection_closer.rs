//! Closes single connections of this host, by asking the kernel (`SOCK_DESTROY`, kernel
//! `net/ipv4/inet_diag.c`; there where it is built with CONFIG_INET_DIAG_DESTROY).
//!
//! Only connections of the agent's own network namespace are found.

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// `SOCK_DIAG_BY_FAMILY` and `SOCK_DESTROY` (kernel `include/uapi/linux/sock_diag.h`).
const ASK: u16 = 20;
const DESTROY: u16 = 21;
/// `NLMSG_ERROR`; the answer to a request that was done has the error 0.
const ERROR: u16 = 2;
/// `NLM_F_REQUEST`, and `NLM_F_ACK`.
const REQUEST: u16 = 1;
const ANSWER: u16 = 4;
/// Header of a netlink message and `struct inet_diag_req_v2`.
const LENGTH: usize = 16 + 56;
/// Where the cookie is in `struct inet_diag_sockid`, after ports, addresses and interface, and where
/// that is in a request and in `struct inet_diag_msg`.
const COOKIE: usize = 40;
const ID_IN_REQUEST: usize = 16 + 8;
const ID_IN_ANSWER: usize = 16 + 4;
/// `TCP_LISTEN` (kernel `include/net/tcp_states.h`).
const LISTEN: u8 = 10;

/// Asks the kernel.
#[derive(Debug)]
pub struct ConnectionCloser {
    socket: Socket,
}

impl ConnectionCloser {
    /// Opens the way to the kernel.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::new(
            Domain::from(libc::AF_NETLINK),
            Type::RAW,
            Some(Protocol::from(libc::NETLINK_SOCK_DIAG)),
        )?;
        // The kernel answers while it is asked.
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Closes the connection with these ends; false if there is none in this network namespace.
    ///
    /// The kernel takes a listener for a connection that is not there, so it is asked first, and the
    /// socket is then closed by its cookie.
    ///
    /// # Errors
    /// If the kernel cannot do it (`EOPNOTSUPP`), or does not let this process.
    pub fn close(&self, local: SocketAddr, remote: SocketAddr) -> io::Result<bool> {
        let Some(mut request) = request(local, remote) else {
            return Ok(false);
        };
        let Some(found) = self.ask(&request)? else {
            return Ok(false);
        };
        let state = found.get(17).copied();
        let cookie = found.get(ID_IN_ANSWER + COOKIE..ID_IN_ANSWER + COOKIE + 8);
        let place = request.get_mut(ID_IN_REQUEST + COOKIE..ID_IN_REQUEST + COOKIE + 8);
        let (Some(cookie), Some(place)) = (cookie, place) else {
            return Ok(false);
        };
        if state.is_none_or(|state| state == LISTEN) {
            return Ok(false);
        }
        place.copy_from_slice(cookie);
        put_u16(&mut request, 4, DESTROY);
        put_u16(&mut request, 6, REQUEST | ANSWER);
        Ok(self.ask(&request)?.is_some())
    }

    /// The kernel's answer; `None` if it knows no such socket.
    fn ask(&self, request: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.socket.send(request)?;
        let mut answer = vec![0_u8; 1024];
        let length = (&self.socket).read(&mut answer)?;
        answer.truncate(length);
        let kind = answer.get(4..6).and_then(|kind| kind.try_into().ok());
        if kind.map(u16::from_ne_bytes) != Some(ERROR) {
            return Ok(Some(answer));
        }
        // `struct nlmsgerr`: the error follows the header, negative.
        let code = answer.get(16..20).and_then(|code| code.try_into().ok());
        match -code.map_or(0, i32::from_ne_bytes) {
            0 => Ok(Some(answer)),
            libc::ENOENT => Ok(None),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }
}

fn put_u16(request: &mut [u8], at: usize, value: u16) {
    if let Some(place) = request.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_ne_bytes());
    }
}

/// `None`: the ends are of two families.
fn request(local: SocketAddr, remote: SocketAddr) -> Option<[u8; LENGTH]> {
    let (local_ip, remote_ip) = (local.ip().to_canonical(), remote.ip().to_canonical());
    let mut from = [0_u8; 16];
    let mut to = [0_u8; 16];
    let family = match (local_ip, remote_ip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            from.first_chunk_mut::<4>()?.copy_from_slice(&a.octets());
            to.first_chunk_mut::<4>()?.copy_from_slice(&b.octets());
            libc::AF_INET
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            from = a.octets();
            to = b.octets();
            libc::AF_INET6
        }
        _ => return None,
    };
    let mut out = [0_u8; LENGTH];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        if let Some(place) = out.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        at += bytes.len();
    };
    put(&(LENGTH as u32).to_ne_bytes());
    put(&ASK.to_ne_bytes());
    put(&REQUEST.to_ne_bytes());
    // Sequence number and port: the kernel gives one.
    put(&[0; 8]);
    put(&[u8::try_from(family).ok()?, 6, 0, 0]);
    // Any state.
    put(&[0xff; 4]);
    put(&local.port().to_be_bytes());
    put(&remote.port().to_be_bytes());
    put(&from);
    put(&to);
    // Any interface, any cookie (`INET_DIAG_NOCOOKIE`).
    put(&[0; 4]);
    put(&[0xff; 8]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::{ConnectionCloser, request};

    #[test]
    fn one_connection_is_closed_and_the_other_and_the_listener_live() {
        let closer = ConnectionCloser::open().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let at = listener.local_addr().unwrap();
        let mut first = TcpStream::connect(at).unwrap();
        let (_a, client) = listener.accept().unwrap();
        let second = TcpStream::connect(at).unwrap();
        let (_b, _) = listener.accept().unwrap();
        match closer.close(at, client) {
            Ok(closed) => assert!(closed),
            Err(error) => {
                eprintln!("SKIPPED: this process or kernel may not close connections: {error}");
                return;
            }
        }
        assert!(first.read(&mut [0]).is_err());
        second.set_nonblocking(true).unwrap();
        let error = (&second).read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        // It is gone, and a listener is not a connection.
        assert!(!closer.close(at, client).unwrap());
        TcpStream::connect(at).unwrap();
    }

    #[test]
    fn ends_of_two_families_are_no_connection() {
        let v4 = "192.0.2.1:80".parse().unwrap();
        let v6 = "[2001:db8::1]:80".parse().unwrap();
        assert!(request(v4, v6).is_none());
        let mapped = "[::ffff:192.0.2.2]:80".parse().unwrap();
        assert!(request(v4, mapped).is_some());
    }
}
