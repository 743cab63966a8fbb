//! The listener of the admin server.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

/// Connections that wait to be accepted: scrapers come one at a time.
const BACKLOG: i32 = 64;

/// Why the admin server cannot listen.
#[derive(Debug, Error)]
pub enum AdminError {
    /// Another socket listens there.
    #[error(
        "cannot serve metrics on {address}: the address is in use, by another observer or another \
         program (`ss -ltnp 'sport = :{port}'` names it). Stop it, or choose another address with \
         --metrics ADDR, or none with --metrics off",
        port = address.port()
    )]
    InUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The kernel refuses the address for another reason.
    #[error(
        "cannot serve metrics on {address}: {source}. Choose another address with --metrics ADDR, or none with --metrics off"
    )]
    Refused {
        /// The address asked for.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

/// An address that is taken, and not yet open to anyone: time to mark the socket as the
/// observer's own, because the sockets it will accept inherit the mark.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    address: SocketAddr,
}

/// Takes `address`.
///
/// # Errors
/// See [`AdminError`].
pub fn bind(address: SocketAddr) -> Result<Bound, AdminError> {
    let try_bind = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // A restart must not wait for the connections of the last run to be forgotten.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    try_bind()
        .map(|socket| Bound { socket, address })
        .map_err(|source| refused(address, source))
}

impl Bound {
    /// Opens the address; ready for an asynchronous runtime (non-blocking).
    ///
    /// # Errors
    /// See [`AdminError`].
    pub fn listen(self) -> Result<TcpListener, AdminError> {
        let Self { socket, address } = self;
        socket
            .listen(BACKLOG)
            .map_err(|source| refused(address, source))?;
        Ok(socket.into())
    }
}

impl AsRawFd for Bound {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn refused(address: SocketAddr, source: io::Error) -> AdminError {
    match source.kind() {
        io::ErrorKind::AddrInUse => AdminError::InUse { address },
        _ => AdminError::Refused { address, source },
    }
}

#[cfg(test)]
mod tests {
    use super::{AdminError, bind};

    #[test]
    fn a_second_listener_is_told_who_may_hold_the_address_and_what_to_do() {
        let first = bind(([127, 0, 0, 1], 0).into()).unwrap().listen().unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address).unwrap_err();
        assert!(matches!(error, AdminError::InUse { .. }));
        let said = error.to_string();
        assert!(said.contains(&address.to_string()), "{said}");
        assert!(
            said.contains("another observer") && said.contains("--metrics"),
            "{said}"
        );
    }

    #[test]
    fn an_address_of_another_host_is_refused_with_the_reason() {
        let error = bind(([192, 0, 2, 1], 0).into()).unwrap_err();
        assert!(matches!(error, AdminError::Refused { .. }), "{error}");
    }
}
