//! Many rings between kernel half and user half, as hosts of many processors have them: events of
//! one connection come through several, and calls are as exact as with one.

use anyhow::{Result, ensure};
use observer_tests::agreement::Pair;
use observer_tests::bpf::BpfObjects;
use observer_tests::{Agent, Agreement, Launch, Nginx, Script, ScriptServer, curl, live, wrk};

fn agent(rings: usize) -> Result<Agent> {
    Agent::launch(Launch {
        settings: Some(format!("[capture]\nrings = {rings}\n")),
        ..Launch::default()
    })
}

#[test]
fn there_are_as_many_as_settings_say() -> Result<()> {
    let Some(_turn) = live(&["bpftool"]) else {
        return Ok(());
    };
    let maps = |rings| -> Result<usize> {
        let before = BpfObjects::now()?;
        let _agent = agent(rings)?;
        Ok(BpfObjects::now()?.without(&before).maps.len())
    };
    let (one, sixteen) = (maps(1)?, maps(16)?);
    ensure!(sixteen == one + 15, "{one} and {sixteen} maps");
    Ok(())
}

/// Each call of `server` is seen once, with the address of its client.
fn reached(agent: &Agent, server: &ScriptServer, cut_off: usize) -> Result<usize> {
    let agreement = Agreement::of(agent, &server.log, server.port);
    let pairs = agreement.with_cut_off(cut_off).reached()?;
    for Pair { logged: _, call } in &pairs {
        ensure!(call.client.ip.as_deref() == Some("127.0.0.1"), "{call}");
    }
    Ok(pairs.len())
}

/// Node's TLS works on memory: which object belongs to which socket is told by what one thread does
/// to both, in that order, and the addresses come with the packets.
#[test]
fn tls_objects_with_memory_buffers_find_their_sockets() -> Result<()> {
    let Some(_turn) = live(&["node", "openssl", "wrk"]) else {
        return Ok(());
    };
    let server = Script::node().with_tls().start()?;
    let agent = agent(16)?;
    let url = server.url("/bytes/[1-150]");
    let close = "Connection: close";
    curl(&["-o", "/dev/null", "-H", close, &url])?;
    let many = ["-Z", "--parallel-max", "10"];
    curl(&[&["-o", "/dev/null", "-H", close, &url], &many[..]].concat())?;
    let fresh = reached(&agent, &server, 0)?;
    ensure!(fresh == 300, "{fresh} calls over connections of their own");
    let made = wrk::wrk(&server.url("/bytes/10"), 8, 1)?;
    let seen = reached(&agent, &server, 8)? as u64;
    ensure!(seen + 8 >= made + 300, "{seen} of {made}, and 300 before");
    Ok(())
}

/// Packets, owners of sockets and TLS objects of two processes, all at once.
#[test]
fn calls_of_several_processes_are_those_in_their_log() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "wrk"]) else {
        return Ok(());
    };
    for tls in [false, true] {
        let nginx = Nginx::start(2)?;
        let agent = agent(16)?;
        let (port, base) = match tls {
            false => (nginx.http, nginx.url("")),
            true => (nginx.https, nginx.tls_url("")),
        };
        curl(&["-o", "/dev/null", "-Z", &format!("{base}/status/[200-299]")])?;
        let made = wrk::wrk(&format!("{base}/status/200"), 16, 1)?;
        let agreement = Agreement::of(&agent, &nginx.log, port);
        let pairs = agreement.with_cut_off(16).reached()?;
        ensure!(
            pairs.len() as u64 + 16 >= made + 100,
            "{} of {made}",
            pairs.len()
        );
        for Pair { logged: _, call } in pairs {
            ensure!(call.client.ip.as_deref() == Some("127.0.0.1"), "{call}");
            ensure!(call.process.name.as_deref() == Some("nginx"), "{call}");
        }
    }
    Ok(())
}
