//! TCP sockets that are open now, as the kernel lists them (sock_diag(7)).
//!
//! In: a network namespace. Out: its sockets with their cookies, the same numbers that the probes
//! report. It only asks; nothing is closed or changed.

use std::fs::File;
use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::thread;

/// Sockets read of one namespace; what is over it is left out.
pub const MOST_SOCKETS: usize = 262_144;
/// One answer of the kernel: it fills at most 32 KiB (`net/netlink/af_netlink.c`, `netlink_dump`).
const ANSWER_BYTES: usize = 32 << 10;
/// A dump comes at once; a kernel that says nothing for so long never will.
const TIMEOUT_SECONDS: libc::time_t = 2;

// include/uapi/linux/sock_diag.h and inet_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const TCP_ESTABLISHED: u8 = 1;
const TCP_LISTEN: u8 = 10;
/// Established, listening, and those of which one side has ended (include/net/tcp_states.h):
/// what has a process and may still carry bytes.
const WANTED_STATES: u32 = 1 << TCP_ESTABLISHED | 1 << 4 | 1 << 5 | 1 << 8 | 1 << TCP_LISTEN;
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = HEADER_BYTES + 56;
/// `struct inet_diag_msg`.
const MESSAGE_BYTES: usize = 72;

/// A TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSocket {
    /// As the probes report it.
    pub cookie: u64,
    /// Number of its file; 0 if no program has it any more.
    pub inode: u32,
    /// This end.
    pub local: SocketAddr,
    /// The other end; port 0 if it listens.
    pub remote: SocketAddr,
    /// It accepts connections and has none itself.
    pub listening: bool,
}

/// The TCP sockets of a network namespace, given as its file `/proc/PID/ns/net`.
///
/// # Errors
/// The kernel has no such listing (CONFIG_INET_TCP_DIAG), or does not let the agent in.
pub fn open_sockets(namespace: &File) -> io::Result<Vec<OpenSocket>> {
    // A thread of its own: entering a namespace is for the rest of a thread's life.
    thread::scope(|scope| {
        scope
            .spawn(|| {
                // SAFETY: an open descriptor and an integer.
                let entered = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
                if entered != 0 {
                    return Err(io::Error::last_os_error());
                }
                let netlink = netlink()?;
                let mut found = Vec::new();
                for family in [libc::AF_INET, libc::AF_INET6] {
                    list(&netlink, family as u8, &mut found)?;
                }
                Ok(found)
            })
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the listing panicked")))
    })
}

fn netlink() -> io::Result<OwnedFd> {
    // SAFETY: takes integers only.
    let fd = unsafe {
        libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::NETLINK_SOCK_DIAG,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just opened and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let timeout = libc::timeval {
        tv_sec: TIMEOUT_SECONDS,
        tv_usec: 0,
    };
    // SAFETY: the value has the size that is said and outlives the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const timeout).cast(),
            size_of::<libc::timeval>() as libc::socklen_t,
        )
    };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
fn request(family: u8) -> [u8; REQUEST_BYTES] {
    let mut request = [0; REQUEST_BYTES];
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let parts: [(usize, &[u8]); 5] = [
        (0, &(REQUEST_BYTES as u32).to_ne_bytes()),
        (4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes()),
        (6, &flags.to_ne_bytes()),
        (16, &[family, libc::IPPROTO_TCP as u8]),
        (20, &WANTED_STATES.to_ne_bytes()),
    ];
    for (at, part) in parts {
        if let Some(to) = request.get_mut(at..at + part.len()) {
            to.copy_from_slice(part);
        }
    }
    request
}

fn list(netlink: &OwnedFd, family: u8, found: &mut Vec<OpenSocket>) -> io::Result<()> {
    let request = request(family);
    // SAFETY: the pointer and length are those of one array that outlives the call.
    let sent = unsafe {
        libc::send(
            netlink.as_raw_fd(),
            request.as_ptr().cast(),
            request.len(),
            0,
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut answer = vec![0_u8; ANSWER_BYTES];
    loop {
        // SAFETY: the pointer and length are those of one buffer that outlives the call.
        let got = unsafe {
            libc::recv(
                netlink.as_raw_fd(),
                answer.as_mut_ptr().cast(),
                answer.len(),
                0,
            )
        };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        let mut left = answer.get(..got).unwrap_or_default();
        if left.is_empty() {
            return Ok(());
        }
        while !left.is_empty() {
            match message(left) {
                Message::Socket(socket) if found.len() < MOST_SOCKETS => found.push(socket),
                Message::Socket(_) | Message::Other => {}
                Message::End => return Ok(()),
                Message::Failed(error) => return Err(error),
            }
            left = after(left);
        }
    }
}

enum Message {
    Socket(OpenSocket),
    Other,
    End,
    Failed(io::Error),
}

/// What follows the first message; nothing if its length makes no sense.
fn after(messages: &[u8]) -> &[u8] {
    let length = number::<4>(messages, 0).map_or(0, |bytes| u32::from_ne_bytes(bytes) as usize);
    if length < HEADER_BYTES {
        return &[];
    }
    messages
        .get(length.next_multiple_of(4)..)
        .unwrap_or_default()
}

fn message(messages: &[u8]) -> Message {
    let kind = number(messages, 4).map_or(0, u16::from_ne_bytes);
    match i32::from(kind) {
        libc::NLMSG_DONE => Message::End,
        libc::NLMSG_ERROR => {
            let code = number(messages, HEADER_BYTES).map_or(-libc::EPROTO, i32::from_ne_bytes);
            Message::Failed(io::Error::from_raw_os_error(code.saturating_neg()))
        }
        _ if kind == SOCK_DIAG_BY_FAMILY => messages
            .get(HEADER_BYTES..HEADER_BYTES + MESSAGE_BYTES)
            .and_then(socket)
            .map_or(Message::Other, Message::Socket),
        _ => Message::Other,
    }
}

/// `struct inet_diag_msg`.
fn socket(message: &[u8]) -> Option<OpenSocket> {
    let &[family, state, ..] = message else {
        return None;
    };
    let address = |at| -> Option<IpAddr> {
        Some(match i32::from(family) {
            libc::AF_INET => Ipv4Addr::from(number::<4>(message, at)?).into(),
            libc::AF_INET6 => Ipv6Addr::from(number::<16>(message, at)?).to_canonical(),
            _ => return None,
        })
    };
    let port = |at| Some(u16::from_be_bytes(number(message, at)?));
    let word = |at| Some(u32::from_ne_bytes(number(message, at)?));
    Some(OpenSocket {
        cookie: u64::from(word(44)?) | (u64::from(word(48)?) << 32),
        inode: word(68)?,
        local: SocketAddr::new(address(8)?, port(4)?),
        remote: SocketAddr::new(address(24)?, port(6)?),
        listening: state == TCP_LISTEN,
    })
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    /// `SO_COOKIE` of asm-generic/socket.h.
    fn cookie(socket: &impl std::os::fd::AsRawFd) -> u64 {
        let mut cookie = 0_u64;
        let mut length = 8;
        // SAFETY: both pointers are to values that outlive the call.
        let got = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_COOKIE,
                (&raw mut cookie).cast(),
                &raw mut length,
            )
        };
        assert_eq!(got, 0);
        cookie
    }

    /// Entering a namespace needs privileges, even one's own; without them nothing can be shown.
    fn listed() -> Option<Vec<OpenSocket>> {
        let own = File::open("/proc/self/ns/net").expect("own namespace");
        match open_sockets(&own) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                eprintln!("skipped: {error}: needs CAP_SYS_ADMIN");
                None
            }
            listed => Some(listed.expect("a listing")),
        }
    }

    #[test]
    fn open_connections_and_listeners_are_listed_with_cookie_and_file() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(host).expect("listener");
            let at = listener.local_addr().expect("address");
            let client = TcpStream::connect(at).expect("connection");
            let (server, _) = listener.accept().expect("connection");
            let Some(listed) = listed() else { return };
            let of = |cookie| listed.iter().find(|socket| socket.cookie == cookie);
            let found = of(cookie(&client)).expect("the client");
            assert_eq!(
                (found.local, found.remote, found.listening),
                (client.local_addr().expect("address"), at, false)
            );
            let link = format!("/proc/self/fd/{}", client.as_raw_fd());
            let inode = std::fs::metadata(link).expect("own file").ino();
            assert_eq!(u64::from(found.inode), inode);
            assert_eq!(
                of(cookie(&server)).map(|found| found.remote),
                Some(client.local_addr().expect("address"))
            );
            assert_eq!(
                of(cookie(&listener)).map(|found| (found.local, found.listening)),
                Some((at, true))
            );
        }
    }

    #[test]
    fn answers_that_make_no_sense_give_no_socket_and_end() {
        for length in [0_u32, 3, 15, 16, 17, 88, u32::MAX] {
            let mut answer = length.to_ne_bytes().to_vec();
            answer.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
            answer.resize(60, 0xff);
            assert!(matches!(message(&answer), Message::Other));
            assert!(after(&answer).len() < answer.len());
        }
        assert!(matches!(message(&[]), Message::Other));
        assert!(after(&[1, 2]).is_empty());
    }
}
