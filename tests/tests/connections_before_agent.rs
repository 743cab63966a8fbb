//! Connections that were open, and in use, before the agent started: what is called on them from
//! then on is seen in full.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::running::run_ok;
use observer_tests::tls_row::serve;
use observer_tests::tls_servers::quiet;
use observer_tests::wire::Wire;
use observer_tests::{Agent, Call, Certificate, Nginx, Script, live, port, rust_programs, wait};

/// Paths that the calls made under observation have, and no call before.
const AFTER: [&str; 3] = ["/status/200?n=1", "/status/404?n=2", "/status/503?n=3"];

fn seen(agent: &Agent, port: u16) -> Result<Vec<Arc<Call>>> {
    let (good, missing, failed) = (Some(200), Some(404), Some(503));
    let rows = [
        ("/status/200", good),
        ("/status/404", missing),
        ("/status/503", failed),
    ];
    exactly(agent, port, &rows)
}

fn exactly(agent: &Agent, port: u16, wanted: &[(&str, Option<u16>)]) -> Result<Vec<Arc<Call>>> {
    let calls = wait::until("the calls", Duration::from_secs(6), || {
        agent
            .calls_where(|call| call.served_by(port))
            .ok()
            .filter(|calls| calls.len() >= wanted.len())
    });
    let calls = match calls {
        Ok(calls) => calls,
        Err(error) => {
            anyhow::bail!(
                "{error}; all calls: {:#?}; {}",
                agent.calls()?,
                agent.diagnostics()
            )
        }
    };
    std::thread::sleep(Duration::from_millis(300));
    let rows: Vec<_> = calls
        .iter()
        .map(|call| (call.path.as_str(), call.status))
        .collect();
    ensure!(rows == wanted, "{calls:#?}");
    Ok(calls)
}

fn use_it(wire: &mut Wire, paths: &[&str]) -> Result<()> {
    for path in paths {
        wire.get(path)?;
    }
    Ok(())
}

fn check(calls: &[Arc<Call>], name: &str, pids: &[u32], tls: bool) -> Result<()> {
    for call in calls {
        ensure!(call.method == "GET", "{call}");
        ensure!(call.process.name.as_deref() == Some(name), "{call}");
        ensure!(
            call.process.pid.is_some_and(|pid| pids.contains(&pid)),
            "{call}"
        );
        ensure!(call.tls.is_some() == tls, "{call}");
        ensure!(call.client.port.is_some(), "{call}");
    }
    Ok(())
}

#[test]
fn an_open_http_connection_is_joined() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    let mut wire = Wire::connect(nginx.http)?;
    use_it(&mut wire, &["/moved", "/accept", "/moved"])?;
    let agent = Agent::start()?;
    use_it(&mut wire, &AFTER)?;
    check(&seen(&agent, nginx.http)?, "nginx", &nginx.workers(), false)
}

#[test]
fn an_open_http_connection_never_used_before_is_joined() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    let mut wire = Wire::connect(nginx.http)?;
    let agent = Agent::start()?;
    use_it(&mut wire, &AFTER)?;
    check(&seen(&agent, nginx.http)?, "nginx", &nginx.workers(), false)
}

#[test]
fn an_open_https_connection_is_joined() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "timeout"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    let mut wire = Wire::connect_tls(nginx.https)?;
    use_it(&mut wire, &["/moved", "/accept", "/moved"])?;
    let agent = Agent::start()?;
    use_it(&mut wire, &AFTER)?;
    check(&seen(&agent, nginx.https)?, "nginx", &nginx.workers(), true)
}

#[test]
fn an_open_https_connection_of_node_is_joined() -> Result<()> {
    let Some(_turn) = live(&["node", "openssl", "timeout"]) else {
        return Ok(());
    };
    let server = Script::node().with_tls().start()?;
    let mut wire = Wire::connect_tls(server.port)?;
    use_it(&mut wire, &["/", "/bytes/10"])?;
    let agent = Agent::start()?;
    use_it(&mut wire, &AFTER)?;
    check(&seen(&agent, server.port)?, "node", &[server.pid()], true)
}

/// rustls in `program`, which answers everything.
fn rustls_is_joined(program: &Path, name: &str) -> Result<()> {
    let (certificate, port) = (Certificate::new()?, port::free());
    let mut command = Command::new(program);
    command
        .args(["serve", &port.to_string()])
        .arg(certificate.chain())
        .arg(certificate.key());
    let server = serve(name, quiet(&mut command), port)?;
    let mut wire = Wire::connect_tls(port)?;
    use_it(&mut wire, &["/before/1", "/before/2"])?;
    let agent = Agent::start()?;
    use_it(&mut wire, &["/after/1", "/after/2", "/after/3"])?;
    let rows = ["/after/1", "/after/2", "/after/3"].map(|path| (path, Some(200)));
    check(&exactly(&agent, port, &rows)?, name, &[server.pid()], true)
}

#[test]
fn an_open_https_connection_of_rustls_is_joined() -> Result<()> {
    let Some(_turn) = live(&["openssl", "timeout", "rust:rustls-row"]) else {
        return Ok(());
    };
    let program = rust_programs::program("rustls-row").context("no rustls-row")?;
    rustls_is_joined(&program, "rustls-row")
}

/// What was found by signature is proved by the very connection.
#[test]
fn an_open_https_connection_of_stripped_rustls_is_joined() -> Result<()> {
    let Some(_turn) = live(&["openssl", "timeout", "strip", "rust:rustls-row"]) else {
        return Ok(());
    };
    let program = rust_programs::program("rustls-row").context("no rustls-row")?;
    let folder = tempfile::TempDir::new()?;
    let bare = folder.path().join("rustls-bare");
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&bare).arg(program);
    run_ok(&mut strip, Duration::from_secs(45))?;
    rustls_is_joined(&bare, "rustls-bare")
}

#[test]
fn a_request_sent_before_and_answered_after_the_start_harms_nothing() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let mut wire = Wire::connect(nginx.http)?;
    wire.send(b"GET /status/201 HTTP/1.1\r\nHost: x\r\nX-Half: ")?;
    let agent = Agent::start()?;
    wire.send(b"done\r\n\r\n")?;
    ensure!(wire.answer()? == 201);
    use_it(&mut wire, &AFTER)?;
    wait::until("the three whole calls", Duration::from_secs(6), || {
        let calls = agent.calls_where(|call| {
            call.served_by(nginx.http) && AFTER.iter().any(|path| path.starts_with(&call.path))
        });
        calls.ok().filter(|calls| calls.len() == 3)
    })?;
    // The one that was cut in half may be missing; invented it must not be.
    for call in agent.calls_where(|call| call.served_by(nginx.http))? {
        ensure!(call.method == "GET", "{call}");
        ensure!(call.path.starts_with("/status/"), "{call}");
    }
    Ok(())
}
