//! nginx in front of another server: the call that came in at the front and the one the front
//! made to its upstream are both seen, each exactly once, at the server it came in at.

use anyhow::{Result, ensure};
use observer_tests::call::listed;
use observer_tests::{Agent, Agreement, Nginx, Script, ScriptServer, curl, live};

const ROUNDS: usize = 10;

fn front_of(upstream: u16) -> Result<Nginx> {
    Nginx::start_with(
        4,
        &format!(
            "location /api/ {{ proxy_pass http://127.0.0.1:{upstream}/; \
             proxy_http_version 1.1; proxy_set_header Connection ''; }}"
        ),
    )
}

fn call_through(front: &str) -> Result<()> {
    for _ in 0..ROUNDS {
        curl(&[
            &format!("{front}/api/status/200"),
            &format!("{front}/api/status/404?x=1"),
            &format!("{front}/status/201"),
        ])?;
        curl(&["-d", "a=1", &format!("{front}/api/status/201")])?;
    }
    Ok(())
}

#[test]
fn a_call_through_http_front_and_nginx_upstream_is_seen_at_both() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let upstream = Nginx::start(2)?;
    let front = front_of(upstream.http)?;
    let agent = Agent::start()?;
    call_through(&front.url(""))?;
    let at_front = Agreement::of(&agent, &front.log, front.http).reached()?;
    let behind = Agreement::of(&agent, &upstream.log, upstream.http).reached()?;
    ensure!(at_front.len() == 4 * ROUNDS && behind.len() == 3 * ROUNDS);
    // Once: not a second time as calls the front made.
    let made = agent.calls_where(|call| {
        call.role == "client"
            && [front.http, upstream.http]
                .map(Some)
                .contains(&call.server.port)
    })?;
    ensure!(made.is_empty(), "{}", listed(&made));
    Ok(())
}

fn through_node(front: &Nginx, base: &str, port: u16, upstream: &ScriptServer) -> Result<()> {
    let agent = Agent::start()?;
    call_through(base)?;
    let at_front = Agreement::of(&agent, &front.log, port).reached()?;
    let behind = Agreement::of(&agent, &upstream.log, upstream.port).reached()?;
    ensure!(at_front.len() == 4 * ROUNDS && behind.len() == 3 * ROUNDS);
    for pair in behind {
        ensure!(
            pair.call.process.name.as_deref() == Some("node"),
            "{:#?}",
            pair.call
        );
        ensure!(pair.call.scheme == "http", "{}", pair.call);
    }
    Ok(())
}

#[test]
fn a_call_through_http_front_and_node_upstream_is_seen_at_both() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "node"]) else {
        return Ok(());
    };
    let upstream = Script::node().start()?;
    let front = front_of(upstream.port)?;
    through_node(&front, &front.url(""), front.http, &upstream)
}

#[test]
fn a_call_through_https_front_and_http_upstream_is_seen_at_both() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "node"]) else {
        return Ok(());
    };
    let upstream = Script::node().start()?;
    let front = front_of(upstream.port)?;
    through_node(&front, &front.tls_url(""), front.https, &upstream)
}
