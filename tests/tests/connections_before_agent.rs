//! Connections that were open, and in use, before the agent started: what is called on them from
//! then on is seen in full.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::wire::Wire;
use observer_tests::{Agent, Call, Nginx, Script, live, wait};

/// Paths that the calls made under observation have, and no call before.
const AFTER: [&str; 3] = ["/status/200?n=1", "/status/404?n=2", "/status/503?n=3"];

fn seen(agent: &Agent, port: u16) -> Result<Vec<Arc<Call>>> {
    let calls = wait::until("the calls", Duration::from_secs(6), || {
        agent
            .calls_where(|call| call.served_by(port))
            .ok()
            .filter(|calls| calls.len() >= 3)
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
    ensure!(
        rows == [
            ("/status/200", Some(200)),
            ("/status/404", Some(404)),
            ("/status/503", Some(503))
        ],
        "{calls:#?}"
    );
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
