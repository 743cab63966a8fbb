//! Node's `http` and `https`. Its OpenSSL is part of the executable and works on memory, so the
//! socket is not touched inside a call of the library.

use anyhow::{Result, ensure};
use observer_tests::agreement::Pair;
use observer_tests::{Agent, Agreement, Script, curl, live, wrk};

fn calls_are_those_in_the_log(script: Script, tls: bool) -> Result<()> {
    let Some(_turn) = live(&["node", "openssl"]) else {
        return Ok(());
    };
    let server = script.start()?;
    let agent = Agent::start()?;
    let url = |path: &str| server.url(path);
    for _ in 0..3 {
        curl(&[
            "-o",
            "/dev/null",
            &url("/"),
            "-o",
            "/dev/null",
            &url("/bytes/100000"),
            "-o",
            "/dev/null",
            &url("/status/503"),
            "-o",
            "/dev/null",
            &url("/chunked/5000"),
            "-o",
            "/dev/null",
            &url("/status/204"),
            "-o",
            "/dev/null",
            &url("/none"),
        ])?;
        curl(&["-d", "{\"a\":1}", &url("/things"), &url("/other")])?;
        curl(&["-I", &url("/bytes/10")])?;
    }
    // Many connections at once, each with many calls.
    curl(&[
        "-o",
        "/dev/null",
        "-Z",
        "--parallel-max",
        "10",
        &url("/bytes/[1-300]"),
    ])?;
    for Pair { logged: _, call } in Agreement::of(&agent, &server.log, server.port).reached()? {
        ensure!(call.process.name.as_deref() == Some("node"), "{call}");
        ensure!(call.scheme == if tls { "https" } else { "http" }, "{call}");
        ensure!(call.tls.is_some() == tls, "{call}");
        ensure!(call.client.ip.as_deref() == Some("127.0.0.1"), "{call}");
    }
    Ok(())
}

#[test]
fn http_calls_are_those_in_its_log() -> Result<()> {
    calls_are_those_in_the_log(Script::node(), false)
}

#[test]
fn https_calls_are_those_in_its_log() -> Result<()> {
    calls_are_those_in_the_log(Script::node().with_tls(), true)
}

#[test]
fn https_calls_at_saturation_are_all_seen() -> Result<()> {
    let Some(_turn) = live(&["node", "openssl", "wrk"]) else {
        return Ok(());
    };
    let server = Script::node().with_tls().start()?;
    let agent = Agent::start()?;
    let made = wrk::wrk(&server.url("/bytes/10"), 8, 1)?;
    let pairs = Agreement::of(&agent, &server.log, server.port)
        .with_cut_off(8)
        .reached()?;
    ensure!(pairs.len() as u64 + 8 >= made, "{} of {made}", pairs.len());
    Ok(())
}
