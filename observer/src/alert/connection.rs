//! Connections to those who take alerts, with TLS or without. Blocking, with a limit on each step.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Longest time of connecting, of sending and of waiting for the answer, each.
const LIMIT: Duration = Duration::from_secs(5);

/// What can be read and written.
pub(super) trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// Whom to trust.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    config: Arc<ClientConfig>,
}

impl Trust {
    /// Certificates of the file, else those that this host trusts.
    ///
    /// # Errors
    /// There is none, or this processor lacks what the encryption needs.
    pub(super) fn load(ca_file: Option<&Path>) -> io::Result<Self> {
        if !processor_is_new_enough() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this processor is too old for TLS to where alerts go: it needs AES, ADX and AVX2 (x86-64), or AES, \
                 PMULL and SHA-2 (arm64); send alerts to a relay on this host without TLS",
            ));
        }
        let mut roots = RootCertStore::empty();
        match ca_file {
            Some(path) => {
                let wrong = |what: String| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("{}: {what}", path.display()),
                    )
                };
                for certificate in
                    CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?
                {
                    let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                    roots
                        .add(certificate)
                        .map_err(|error| wrong(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(wrong("there is no certificate in it (PEM)".to_owned()));
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(io::Error::other(
                        "this host trusts no certificates: install ca-certificates, or set alert.ca_file",
                    ));
                }
            }
        }
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls_graviola::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(io::Error::other)?
                .with_root_certificates(roots)
                .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// Starts TLS on a connection to this host.
    pub(super) fn start(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(io::Error::other)?;
        let client =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(client, stream))
    }
}

/// The library would panic without.
fn processor_is_new_enough() -> bool {
    graviola::util::is_cpu_supported()
}

/// Host and port as one text: the first address of the host.
pub(super) fn first_address(target: &str) -> io::Result<SocketAddr> {
    target
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::other("the name has no address"))
}

/// Connects to host and port.
pub(super) fn connect(target: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&first_address(target)?, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}
