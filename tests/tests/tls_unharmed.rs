//! A program whose TLS library is probed goes on as if nothing were there: it serves 100,000 calls
//! while the probes come and go ten times, and every answer has exactly the bytes it should.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use observer_tests::running::Running;
use observer_tests::tls_row::serve;
use observer_tests::tls_servers::{envoy_server, go_programs, go_server, haproxy_server, quiet};
use observer_tests::{Agent, Certificate, live, port, rust_programs};

/// Requests of one connection, and connections one after the other.
const CALLS: usize = 200;
const CONNECTIONS: usize = 500;
const ATTACHED: usize = 10;
const LIMIT: Duration = Duration::from_secs(240);

/// The Go program asks 100,000 times and compares each body, while agents come and go.
/// `body` is what every answer must have; without one, what the Go server sends.
fn is_unharmed(port: u16, server: &mut Running, body: Option<&str>) -> Result<()> {
    let programs = go_programs()?;
    let client = programs.first().context("no Go program")?;
    let paths: Vec<String> = (0..CALLS).map(|n| format!("/{n}")).collect();
    let mut command = Command::new(client);
    command
        .args(["-http1", "-get", &format!("https://127.0.0.1:{port}")])
        .args(["-count", &CONNECTIONS.to_string()])
        .args(["-paths", &paths.join(",")])
        .args(body.map(|body| format!("-want={body}")))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    goes_on("the Go client", &mut command, server)
}

/// The client asks 100,000 times and fails if an answer is not as it should be, while agents come
/// and go.
fn goes_on(name: &str, command: &mut Command, server: &mut Running) -> Result<()> {
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
    ensure!(
        server.ended()?.is_none(),
        "the server ended while it was observed"
    );
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
        .args((0..CALLS).map(|n| format!("/{n}")));
    goes_on("rustls-row", quiet(&mut command), &mut server)
}
