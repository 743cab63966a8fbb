//! Answers requests.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::health::Health;
use crate::telemetry::{Exposition, Metrics};

/// Connections served at once; a few scrapers need a handful. More wait in the backlog.
const MAX_CONNECTIONS: usize = 32;
/// A client must send its request head within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time a connection is asked to end, so that idle ones do not take every place. Longer
/// than the usual scrape interval.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(90);
/// And after this much more it is cut.
const GRACE: Duration = Duration::from_secs(10);
/// Bytes of a request head: no scraper needs more.
const MAX_HEAD: usize = 16 * 1024;
/// Wait after a failed accept (no descriptors left), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const PLAIN: &str = "text/plain; charset=utf-8";

/// Serves `/metrics` and `/healthz` on a listener of [`super::bind`] until `stop` is done.
/// Needs a tokio runtime with I/O and time.
///
/// # Errors
/// The listener cannot be handed to the runtime.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    health: Health,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut stop = pin!(stop);
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut stop => return Ok(()),
            next = accept => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, metrics.clone(), health.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin server cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, metrics: Metrics, health: Health) {
    let service = service_fn(move |request| {
        let response = respond(&request, &metrics, &health);
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // A client that breaks off or sends garbage is its own affair: there is nothing to report.
    if timeout(CONNECTION_LIFETIME, connection.as_mut())
        .await
        .is_err()
    {
        connection.as_mut().graceful_shutdown();
        drop(timeout(GRACE, connection).await);
    }
}

fn respond<B>(request: &Request<B>, metrics: &Metrics, health: &Health) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/metrics" | "/healthz") {
        return answer(
            StatusCode::NOT_FOUND,
            PLAIN,
            "not found: try /metrics or /healthz\n",
        );
    }
    // The body of an answer to HEAD is left out by hyper.
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "use GET or HEAD\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    if path == "/healthz" {
        return match health.problem() {
            None => answer(StatusCode::OK, PLAIN, "ok\n"),
            Some(problem) => answer(
                StatusCode::SERVICE_UNAVAILABLE,
                PLAIN,
                format!("{problem}\n"),
            ),
        };
    }
    let accept = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok());
    let format = Exposition::negotiate(accept);
    match metrics.encode(format) {
        Ok(text) => answer(StatusCode::OK, format.content_type(), text),
        Err(_) => answer(
            StatusCode::INTERNAL_SERVER_ERROR,
            PLAIN,
            "metrics cannot be encoded\n",
        ),
    }
}

fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::serve;
    use crate::admin::{Health, bind};
    use crate::telemetry::Metrics;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    fn get(path: &str, extra: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{extra}\r\n")
    }

    #[test]
    fn metrics_and_health_are_served_and_nothing_else() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
            let address = listener.local_addr().unwrap();
            let health = Health::default();
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let server = tokio::spawn(serve(listener, Metrics::new(), health.clone(), async {
                drop(stopped.await);
            }));

            let early = ask(address, &get("/healthz", "")).await;
            assert!(
                early.starts_with("HTTP/1.1 503 ") && early.ends_with("starting\n"),
                "{early}"
            );
            health.ready();
            let ready = ask(address, &get("/healthz", "")).await;
            assert!(
                ready.starts_with("HTTP/1.1 200 ") && ready.ends_with("\r\n\r\nok\n"),
                "{ready}"
            );
            health.failed("the ring reader ended");
            assert!(
                ask(address, &get("/healthz", ""))
                    .await
                    .contains("ring reader")
            );

            let plain = ask(address, &get("/metrics?x=1", "")).await;
            assert!(
                plain.contains("content-type: text/plain; version=0.0.4"),
                "{plain}"
            );
            assert!(
                plain.contains("# TYPE observer_findings_total counter\n"),
                "{plain}"
            );
            let open = get(
                "/metrics",
                "Accept: application/openmetrics-text;version=1.0.0\r\n",
            );
            let open = ask(address, &open).await;
            assert!(
                open.contains("application/openmetrics-text; version=1.0.0"),
                "{open}"
            );
            assert!(open.ends_with("# EOF\n"), "{open}");

            let head = ask(address, &get("/metrics", "").replace("GET", "HEAD")).await;
            assert!(
                head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"),
                "{head}"
            );
            assert!(
                head.to_ascii_lowercase().contains("content-length: "),
                "{head}"
            );
            let post = ask(address, &get("/metrics", "").replace("GET", "POST")).await;
            assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
            assert!(
                ask(address, &get("/", ""))
                    .await
                    .starts_with("HTTP/1.1 404 ")
            );
            assert!(
                ask(address, "\0\u{1b}garbage\r\n\r\n")
                    .await
                    .starts_with("HTTP/1.1 400 ")
            );

            drop(stop);
            server.await.unwrap().unwrap();
            assert!(TcpStream::connect(address).await.is_err());
        });
    }
}
