//! A program whose TLS library is probed goes on as if nothing were there: it serves 100,000 calls
//! while the probes come and go ten times, and every answer has exactly the bytes it should.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use observer_tests::running::Running;
use observer_tests::tls_servers::{go_programs, go_server};
use observer_tests::{Agent, Certificate, live, port};

/// Requests of one connection, and connections one after the other.
const CALLS: usize = 200;
const CONNECTIONS: usize = 500;
const ATTACHED: usize = 10;
const LIMIT: Duration = Duration::from_secs(240);

/// The Go program asks 100,000 times and compares each body, while agents come and go.
fn is_unharmed(client: &Path, port: u16, server: &mut Running) -> Result<()> {
    let paths: Vec<String> = (0..CALLS).map(|n| format!("/{n}")).collect();
    let mut command = Command::new(client);
    command
        .args(["-http1", "-get", &format!("https://127.0.0.1:{port}")])
        .args(["-count", &CONNECTIONS.to_string()])
        .args(["-paths", &paths.join(",")])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut asking = Running::start("the Go client", &mut command)?;
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
            asking = Running::start("the Go client", &mut command)?;
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
    is_unharmed(program, port, &mut server)
}
