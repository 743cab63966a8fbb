//! `observer audit witness`: signs for the logs of other hosts, over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::audit::host_name;
use super::{complain, print};
use crate::audit::{Answer, Vkey, Witness};
use crate::cli::{Exit, WitnessArgs};

/// Connections at once; more wait in the backlog. A log needs one, every few seconds.
const MAX_CONNECTIONS: usize = 64;
/// A request must be there within this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time a connection is cut.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(300);
/// Bytes of a request head.
const MAX_HEAD: usize = 16 << 10;
/// Bytes of a request: a checkpoint of 64 KiB, 63 hashes.
const MAX_BODY: usize = 72 << 10;
/// Wait after a failed accept (no descriptors left), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Shared = Arc<Mutex<Witness>>;

pub(super) fn run(args: &WitnessArgs) -> Exit {
    let WitnessArgs {
        dir,
        listen,
        name,
        log,
    } = args;
    let mut logs = Vec::new();
    for text in log {
        match Vkey::parse(text) {
            Ok(vkey) => logs.push(vkey),
            Err(what) => {
                complain(&format!("the key given with --log {what}"));
                return Exit::Usage;
            }
        }
    }
    let name = name
        .clone()
        .unwrap_or_else(|| format!("{}/witness", host_name()));
    let witness = match Witness::open(dir, &name, &logs) {
        Ok(witness) => witness,
        Err(error) => {
            complain(&error.to_string());
            return Exit::Failed;
        }
    };
    if logs.is_empty() {
        return print(&format!("{}\n", witness.vkey()));
    }
    let served = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(serve(*listen, witness)));
    match served {
        Ok(never) => match never {},
        Err(error) => {
            complain(&format!("cannot listen on {listen}: {error}"));
            Exit::Failed
        }
    }
}

async fn serve(listen: SocketAddr, witness: Witness) -> std::io::Result<Infallible> {
    let listener = tokio::net::TcpListener::bind(listen).await?;
    let mut said = format!("{} http://{}/\n", witness.vkey(), listener.local_addr()?);
    for (origin, path) in witness.logs() {
        said.push_str(&format!("{origin} {}\n", path.display()));
    }
    print(&said);
    let witness = Arc::new(Mutex::new(witness));
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // A signal ends it as it ends any program: what was signed is on the disk.
        let place = Arc::clone(&places).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let witness = Arc::clone(&witness);
                tokio::spawn(async move {
                    connection(stream, witness).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the witness cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, witness: Shared) {
    let service = service_fn(move |request| {
        let witness = Arc::clone(&witness);
        async move { Ok::<_, Infallible>(respond(request, &witness).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    // A client that breaks off or sends garbage is its own affair.
    drop(timeout(CONNECTION_LIFETIME, connection).await);
}

async fn respond(request: Request<Incoming>, witness: &Shared) -> Response<Full<Bytes>> {
    if !request.uri().path().ends_with("/add-checkpoint") {
        return plain(
            StatusCode::NOT_FOUND,
            "not found: this is a witness, try /add-checkpoint\n",
        );
    }
    if *request.method() != Method::POST {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "use POST\n");
    }
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    let body = match timeout(REQUEST_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            return plain(
                StatusCode::BAD_REQUEST,
                "the request is too long, or was cut\n",
            );
        }
        Err(_) => return plain(StatusCode::REQUEST_TIMEOUT, "the request took too long\n"),
    };
    let now_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    // One after the other: what was seen last and what is signed must not part.
    let Answer {
        status,
        content_type,
        body,
    } = witness
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .add_checkpoint(&body, now_s);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer(status, content_type, body)
}

fn plain(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", body)
}

fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
