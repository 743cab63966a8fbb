//! The listener of the admin server.

use std::io;
use std::net::{SocketAddr, TcpListener};

use thiserror::Error;

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

/// Listens on `address`, ready for an asynchronous runtime (non-blocking).
///
/// # Errors
/// See [`AdminError`].
pub fn bind(address: SocketAddr) -> Result<TcpListener, AdminError> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => AdminError::InUse { address },
        _ => AdminError::Refused { address, source },
    };
    let listener = TcpListener::bind(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::{AdminError, bind};

    #[test]
    fn a_second_listener_is_told_who_may_hold_the_address_and_what_to_do() {
        let first = bind(([127, 0, 0, 1], 0).into()).unwrap();
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
