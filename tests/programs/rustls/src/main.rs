//! A server and a client of rustls over hyper and tokio.
//!
//! `rustls-row serve PORT CHAIN KEY` answers every request with its path as the body;
//! `rustls-row ask PORT [-tls12] [-conns N] PATH...` asks for the paths, on N connections (1) at
//! once, each in order, and fails unless every body is as it should be; `-times N` instead asks for
//! all of them on N connections one after the other.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme, version,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", port, chain, key] => serve(port.parse()?, chain, key).await,
        ["ask", port, rest @ ..] => ask(port.parse()?, rest).await,
        _ => Err("serve PORT CHAIN KEY, or ask PORT [-tls12] [-conns N] PATH...".into()),
    }
}

async fn serve(port: u16, chain: &str, key: &str) -> Result<(), Failure> {
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(socket).await else {
                return;
            };
            let answering = hyper::service::service_fn(answer);
            // A client that goes away is no matter.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answering)
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from(request.uri().path().to_owned())))
}

async fn ask(port: u16, rest: &[&str]) -> Result<(), Failure> {
    let (versions, rest) = match rest {
        ["-tls12", rest @ ..] => (&[&version::TLS12][..], rest),
        rest => (&[&version::TLS13][..], rest),
    };
    let (connections, times, paths) = match rest {
        ["-conns", count, paths @ ..] => (count.parse()?, 1, paths),
        ["-times", count, paths @ ..] => (1, count.parse()?, paths),
        paths => (1, 1, paths),
    };
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    for _ in 1..times {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        ask_in_order(connector.clone(), port, paths).await?;
    }
    let mut asking = tokio::task::JoinSet::new();
    for paths in paths.chunks(paths.len().div_ceil(connections).max(1)) {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        asking.spawn(ask_in_order(connector.clone(), port, paths));
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    Ok(())
}

async fn ask_in_order(
    connector: TlsConnector,
    port: u16,
    paths: Vec<String>,
) -> Result<(), Failure> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from("localhost")?;
    let stream = connector.connect(name, socket).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    for path in paths {
        let request = Request::get(&path)
            .header("host", "localhost")
            .body(Empty::<Bytes>::new())?;
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let body = response.into_body().collect().await?.to_bytes();
        if body != path {
            return Err(format!("{path}: {} bytes came", body.len()).into());
        }
    }
    Ok(())
}

/// Takes every certificate: who the server is does not matter here.
#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
