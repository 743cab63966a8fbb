//! Servers that start, or load their TLS library, while the agent runs: seen within a second.

use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::{Agent, Agreement, Nginx, Script, ScriptServer, curl, live};

/// What the agent may take to notice a new process or a library that was just loaded.
const NOTICED: Duration = Duration::from_secs(1);

fn all_seen(agent: &Agent, server: &ScriptServer) -> Result<()> {
    std::thread::sleep(NOTICED);
    let urls: Vec<String> = (1..=20)
        .map(|n| server.url(&format!("/bytes/{n}")))
        .collect();
    curl(&urls)?;
    let pairs = Agreement::of(agent, &server.log, server.port).reached()?;
    ensure!(pairs.len() == 20);
    Ok(())
}

#[test]
fn nginx_started_later_is_seen_over_http_and_https() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let agent = Agent::start()?;
    let nginx = Nginx::start(2)?;
    std::thread::sleep(NOTICED);
    for (url, port) in [
        (nginx.url(""), nginx.http),
        (nginx.tls_url(""), nginx.https),
    ] {
        curl(&[format!("{url}/status/200"), format!("{url}/status/404")])?;
        ensure!(Agreement::of(&agent, &nginx.log, port).reached()?.len() == 2);
    }
    Ok(())
}

#[test]
fn node_started_later_is_seen_over_http_and_https() -> Result<()> {
    let Some(_turn) = live(&["node", "openssl"]) else {
        return Ok(());
    };
    let agent = Agent::start()?;
    all_seen(&agent, &Script::node().start()?)?;
    all_seen(&agent, &Script::node().with_tls().start()?)
}

#[test]
fn python_started_later_is_seen_over_http_and_https() -> Result<()> {
    let Some(_turn) = live(&["python3", "openssl"]) else {
        return Ok(());
    };
    let agent = Agent::start()?;
    all_seen(&agent, &Script::python().keeping_alive().start()?)?;
    all_seen(
        &agent,
        &Script::python().keeping_alive().with_tls().start()?,
    )
}

#[test]
fn a_running_process_that_loads_its_tls_library_late_is_seen() -> Result<()> {
    let Some(_turn) = live(&["python3", "openssl"]) else {
        return Ok(());
    };
    let mut server = Script::python()
        .keeping_alive()
        .with_tls()
        .waiting()
        .start()?;
    let agent = Agent::start()?;
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", server.pid()))?;
    ensure!(
        !maps.contains("libssl"),
        "the library was there too early to show anything"
    );
    // Known to the agent for a while, without the library.
    std::thread::sleep(Duration::from_millis(1500));
    server.go()?;
    all_seen(&agent, &server)
}
