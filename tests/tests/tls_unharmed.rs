//! A program whose TLS library is probed goes on as if nothing were there: it serves 100,000 calls
//! while the probes come and go ten times, and every answer has exactly the bytes it should.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use observer_tests::running::Running;
use observer_tests::tls_row::serve;
use observer_tests::tls_servers::{
    envoy_server, go_programs, go_server, haproxy_server, lighttpd_server, node_server, quiet,
};
use observer_tests::{Agent, Certificate, Nginx, live, port, rust_programs};

/// Requests of one connection, and connections one after the other.
const CALLS: usize = 200;
const CONNECTIONS: usize = 500;
const ATTACHED: usize = 10;
const LIMIT: Duration = Duration::from_secs(240);

fn asked() -> Vec<String> {
    (0..CALLS).map(|n| format!("/{n}")).collect()
}

/// The Go program asks 100,000 times and compares each body, while agents come and go.
/// `body` is what every answer must have; without one, what the Go server sends.
fn is_unharmed(port: u16, server: &mut Running, body: Option<&str>) -> Result<()> {
    answers_all(port, body, &mut || Ok(server.ended()?.is_none()))
}

/// The same; `runs` says whether the server still does.
fn answers_all(port: u16, body: Option<&str>, runs: &mut Runs<'_>) -> Result<()> {
    let programs = go_programs()?;
    let client = programs.first().context("no Go program")?;
    let mut command = Command::new(client);
    command
        .args(["-http1", "-get", &format!("https://127.0.0.1:{port}")])
        .args(["-count", &CONNECTIONS.to_string()])
        .args(["-paths", &asked().join(",")])
        .args(body.map(|body| format!("-want={body}")))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    goes_on("the Go client", &mut command, runs)
}

type Runs<'a> = dyn FnMut() -> Result<bool> + 'a;

/// The client asks 100,000 times and fails if an answer is not as it should be, while agents come
/// and go.
fn goes_on(name: &str, command: &mut Command, runs: &mut Runs<'_>) -> Result<()> {
    let mut asking = Running::start(name, command)?;
    let begun = Instant::now();
    let (mut times, mut seen, mut rounds) = (0, 0, 0);
    while begun.elapsed() < LIMIT {
        if let Some(status) = asking.ended()? {
            ensure!(
                status.success(),
                "an answer was not as it should be: {status}"
            );
            rounds += 1;
            if times >= ATTACHED {
                break;
            }
            asking = Running::start(name, command)?;
        }
        let agent = Agent::start()?;
        std::thread::sleep(Duration::from_millis(300));
        seen += agent.stop()?.calls.len();
        times += 1;
    }
    ensure!(rounds > 0, "100,000 calls took longer than {LIMIT:?}");
    ensure!(runs()?, "the server ended while it was observed");
    println!(
        "{times} times attached, {seen} calls seen, {:?}",
        begun.elapsed()
    );
    ensure!(times >= ATTACHED, "probes came and went {times} times only");
    ensure!(seen > 0, "nothing was observed");
    Ok(())
}

#[test]
fn go_serves_what_it_should_while_probes_come_and_go() -> Result<()> {
    let Some(_turn) = live(&["openssl", "pypi:go"]) else {
        return Ok(());
    };
    let programs = go_programs()?;
    let program = programs.first().context("no Go program")?;
    let (certificate, port) = (Certificate::new()?, port::free());
    let mut server = go_server(program, &certificate, port)?;
    is_unharmed(port, &mut server, None)
}

#[test]
fn envoy_serves_what_it_should_while_probes_come_and_go() -> Result<()> {
    let Some(_turn) = live(&["openssl", "pypi:go", "pypi:envoy/_bin/envoy"]) else {
        return Ok(());
    };
    let (certificate, port) = (Certificate::new()?, port::free());
    let folder = tempfile::TempDir::new()?;
    let mut server = envoy_server(folder.path(), &certificate, port)?;
    is_unharmed(port, &mut server, Some("hello"))
}

/// OpenSSL, and buffers in memory.
#[test]
fn haproxy_serves_what_it_should_while_probes_come_and_go() -> Result<()> {
    let Some(_turn) = live(&["openssl", "pypi:go", "haproxy"]) else {
        return Ok(());
    };
    let (certificate, port) = (Certificate::new()?, port::free());
    let folder = tempfile::TempDir::new()?;
    let mut server = haproxy_server(folder.path(), &certificate, port)?;
    is_unharmed(port, &mut server, Some("hello"))
}

#[test]
fn rustls_serves_and_asks_as_it_should_while_probes_come_and_go() -> Result<()> {
    let Some(_turn) = live(&["openssl", "rust:rustls-row"]) else {
        return Ok(());
    };
    let program = rust_programs::program("rustls-row").context("no rustls-row")?;
    let (certificate, port) = (Certificate::new()?, port::free());
    let mut command = Command::new(&program);
    command
        .args(["serve", &port.to_string()])
        .arg(certificate.chain())
        .arg(certificate.key());
    let mut server = serve("rustls-row", quiet(&mut command), port)?;
    let mut command = Command::new(&program);
    command
        .args(["ask", &port.to_string(), "-times", &CONNECTIONS.to_string()])
        .args(asked());
    let mut runs = || Ok(server.ended()?.is_none());
    goes_on("rustls-row", quiet(&mut command), &mut runs)
}

/// OpenSSL in a library that is shared; its worker is the one it began with.
#[test]
fn nginx_serves_what_it_should_while_probes_come_and_go() -> Result<()> {
    let Some(_turn) = live(&["openssl", "pypi:go", "nginx"]) else {
        return Ok(());
    };
    let nginx = Nginx::start_with(1, "location ~ ^/[0-9]+$ { return 200 'hello'; }")?;
    let workers = nginx.workers();
    ensure!(!workers.is_empty(), "nginx has no worker");
    let mut runs = || Ok(nginx.workers() == workers);
    answers_all(nginx.https, Some("hello"), &mut runs)
}

/// OpenSSL in the program.
#[test]
fn node_serves_what_it_should_while_probes_come_and_go() -> Result<()> {
    let Some(_turn) = live(&["openssl", "pypi:go", "node"]) else {
        return Ok(());
    };
    let (certificate, port) = (Certificate::new()?, port::free());
    let mut server = node_server("node".as_ref(), &certificate, port)?;
    is_unharmed(port, &mut server, Some("hello"))
}

/// Python asks: with wolfSSL, lighttpd does not understand how Go begins.
fn lighttpd_is_unharmed(module: &str) -> Result<()> {
    let file = format!("file:/usr/lib/lighttpd/mod_{module}.so");
    let Some(_turn) = live(&["openssl", "python3", "lighttpd", &file]) else {
        return Ok(());
    };
    let (certificate, port) = (Certificate::new()?, port::free());
    let folder = tempfile::TempDir::new()?;
    let mut server = lighttpd_server(folder.path(), module, &certificate, port, &asked())?;
    let mut command = Command::new("python3");
    command
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("programs/rows.py"))
        .args(["ask", "http", &port.to_string(), "-"])
        .args([&CONNECTIONS.to_string(), "hello"])
        .args(asked());
    let mut runs = || Ok(server.ended()?.is_none());
    goes_on("the Python client", quiet(&mut command), &mut runs)
}

#[test]
fn gnutls_serves_what_it_should_while_probes_come_and_go() -> Result<()> {
    lighttpd_is_unharmed("gnutls")
}

#[test]
fn wolfssl_serves_what_it_should_while_probes_come_and_go() -> Result<()> {
    lighttpd_is_unharmed("wolfssl")
}

#[test]
fn mbedtls_serves_what_it_should_while_probes_come_and_go() -> Result<()> {
    lighttpd_is_unharmed("mbedtls")
}
