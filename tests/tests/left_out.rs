//! What settings leave out is not seen, what they do not is, and the ledger says which.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::container::ContainerGroup;
use observer_tests::wire::Wire;
use observer_tests::{Agent, Launch, Nginx, Script, curl, live, wait};

const LIMIT: Duration = Duration::from_secs(6);
/// How long a call that must not come is waited for, after one that must.
const QUIET: Duration = Duration::from_millis(500);

fn agent_with(capture: &str) -> Result<Agent> {
    Agent::launch(Launch {
        settings: Some(format!("[capture]\n{capture}\n")),
        ..Launch::default()
    })
}

/// `wanted` and nothing of `unwanted` is seen, by their ports.
fn only(agent: &Agent, wanted: u16, unwanted: u16) -> Result<()> {
    agent.wait_for_call("the call that is wanted", LIMIT, |call| {
        call.served_by(wanted)
    })?;
    std::thread::sleep(QUIET);
    let seen = agent.calls_where(|call| call.served_by(unwanted))?;
    ensure!(seen.is_empty(), "left out, and yet seen: {seen:#?}");
    Ok(())
}

fn excluded(agent: &Agent, source: &str) -> Result<f64> {
    let labels = [("source", source), ("reason", "excluded")];
    let count = || {
        agent
            .metrics()
            .ok()
            .map(|metrics| metrics.sum("observer_capture_filtered_total", &labels))
    };
    wait::until("the ledger to say so", LIMIT, || {
        count().filter(|count| *count > 0.0)
    })
}

#[test]
fn a_port_is_left_out() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let agent = agent_with(&format!("exclude_ports = [{}]", nginx.http))?;
    curl(&[nginx.url("/status/200"), nginx.tls_url("/status/200")])?;
    only(&agent, nginx.https, nginx.http)?;
    ensure!(excluded(&agent, "packets")? >= 2.0);
    Ok(())
}

#[test]
fn the_port_of_a_tls_connection_is_left_out_with_its_plaintext() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let agent = agent_with(&format!("exclude_ports = [{}]", nginx.https))?;
    curl(&[nginx.tls_url("/status/200"), nginx.url("/status/200")])?;
    only(&agent, nginx.http, nginx.https)?;
    excluded(&agent, "tls")?;
    Ok(())
}

#[test]
fn only_the_ports_given_are_seen() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "node"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    // Its TLS objects have memory buffers: nothing in the kernel ties them to a socket.
    let node = Script::node().with_tls().start()?;
    let agent = agent_with(&format!("ports = [{}, 9]", nginx.https))?;
    curl(&[
        nginx.url("/status/200"),
        node.url("/status/200"),
        nginx.tls_url("/status/200"),
    ])?;
    only(&agent, nginx.https, nginx.http)?;
    only(&agent, nginx.https, node.port)?;
    let unbound = agent.calls_where(|call| call.server.port.is_none())?;
    ensure!(unbound.is_empty(), "{unbound:#?}");
    Ok(())
}

#[test]
fn a_network_is_left_out() -> Result<()> {
    let Some(_turn) = live(&["python3"]) else {
        return Ok(());
    };
    let server = Script::python().on("0.0.0.0").start()?;
    let agent = agent_with("exclude_addresses = [\"127.9.0.0/16\", \"fd00::/8\"]")?;
    let url = |address: &str, path: &str| format!("http://{address}:{}{path}", server.port);
    curl(&[
        url("127.9.8.7", "/bytes/1"),
        url("127.8.8.7", "/bytes/2"),
        url("127.9.0.1", "/bytes/3"),
    ])?;
    agent.wait_for_call("the call that is wanted", LIMIT, |call| {
        call.path == "/bytes/2"
    })?;
    std::thread::sleep(QUIET);
    let seen = agent.calls_where(|call| call.served_by(server.port))?;
    ensure!(seen.len() == 1, "{seen:#?}");
    Ok(())
}

#[test]
fn a_process_is_left_out_by_its_name_wherever_it_began() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "python3"]) else {
        return Ok(());
    };
    let before = Nginx::start(1)?;
    let python = Script::python().start()?;
    let agent = agent_with("exclude_processes = [\"nginx\"]")?;
    let after = Nginx::start(1)?;
    for nginx in [&before, &after] {
        curl(&[nginx.url("/status/200"), nginx.url("/status/404")])?;
        curl(&[nginx.tls_url("/status/200"), nginx.tls_url("/status/404")])?;
    }
    curl(&[python.url("/bytes/9")])?;
    for nginx in [&before, &after] {
        only(&agent, python.port, nginx.http)?;
        only(&agent, python.port, nginx.https)?;
    }
    Ok(())
}

#[test]
fn a_control_group_is_left_out() -> Result<()> {
    let Some(_turn) = live(&["python3"]) else {
        return Ok(());
    };
    let group = ContainerGroup::new()?;
    let mut inside = Script::python().waiting().start()?;
    group.take(inside.pid())?;
    inside.go()?;
    let outside = Script::python().start()?;
    let agent = agent_with(&format!(
        "exclude_cgroups = [\"/docker-{}.scope\"]",
        group.id
    ))?;
    curl(&[inside.url("/bytes/1"), outside.url("/bytes/2")])?;
    only(&agent, outside.port, inside.port)
}

#[test]
fn other_protocols_are_named_and_cost_nothing_more() -> Result<()> {
    const OPENINGS: [(&str, &[u8]); 8] = [
        ("ssh", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        ("postgresql", b"\0\0\0\x08\x04\xd2\x16\x2f"),
        ("mysql", b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0"),
        ("redis", b"*1\r\n$4\r\nPING\r\n"),
        ("smtp_or_ftp", b"220 mail.example ESMTP\r\n"),
        ("amqp", b"AMQP\0\0\x09\x01"),
        (
            "mongodb",
            b"\x30\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0",
        ),
        ("mqtt", b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04test"),
    ];
    let Some(_turn) = live(&[]) else {
        return Ok(());
    };
    let agent = Agent::start()?;
    let named = |protocol: &str| -> Result<f64> {
        let labels = [("protocol", protocol)];
        Ok(agent
            .metrics()?
            .sum("observer_capture_not_http_connections_total", &labels))
    };
    for (protocol, opening) in OPENINGS {
        let before = named(protocol)?;
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let mut wire = Wire::connect(listener.local_addr()?.port())?;
        let (server, _) = listener.accept()?;
        wire.send(opening)?;
        // Both ends are of this host, and each sees it.
        let both = before + 2.0;
        let found = wait::until(protocol, LIMIT, || {
            named(protocol).ok().filter(|now| *now >= both)
        });
        ensure!(
            found.is_ok(),
            "{protocol}: {before}, then {:?}",
            named(protocol)
        );
        drop(server);
    }
    Ok(())
}
