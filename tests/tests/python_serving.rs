//! Python's `http.server`, plain and wrapped by `ssl`, closing after each answer (HTTP/1.0) and
//! keeping alive (HTTP/1.1).

use std::fs;

use anyhow::{Result, ensure};
use observer_tests::agreement::Pair;
use observer_tests::{Agent, Agreement, Script, curl, live};

fn calls_are_those_in_the_log(script: Script, protocol: &str, tls: bool) -> Result<()> {
    let Some(_turn) = live(&["python3", "openssl"]) else {
        return Ok(());
    };
    let server = script.start()?;
    let agent = Agent::start()?;
    let url = |path: &str| server.url(path);
    for _ in 0..5 {
        curl(&[
            "-o",
            "/dev/null",
            &url("/"),
            "-o",
            "/dev/null",
            &url("/bytes/70000"),
            "-o",
            "/dev/null",
            &url("/status/404"),
            "-o",
            "/dev/null",
            &url("/status/204"),
            "-o",
            "/dev/null",
            &url("/bytes/0"),
        ])?;
        curl(&["-d", "some=body", &url("/upload")])?;
        curl(&["-I", &url("/bytes/10")])?;
    }
    curl(&[
        "-o",
        "/dev/null",
        "-Z",
        "--parallel-max",
        "6",
        &url("/bytes/[1-30]"),
    ])?;
    let exe = fs::read_link(format!("/proc/{}/exe", server.pid()))?
        .display()
        .to_string();
    let name = fs::read_to_string(format!("/proc/{}/comm", server.pid()))?;
    for Pair { logged: _, call } in Agreement::of(&agent, &server.log, server.port).reached()? {
        // The response line decides: curl asks with 1.1 in any case.
        ensure!(
            call.protocol == protocol || call.protocol == "http/1.1",
            "{call}"
        );
        ensure!(call.process.exe.as_deref() == Some(exe.as_str()), "{call}");
        ensure!(call.process.name.as_deref() == Some(name.trim()), "{call}");
        ensure!(call.tls.is_some() == tls, "{call}");
    }
    Ok(())
}

#[test]
fn http_1_0_calls_are_those_in_its_log() -> Result<()> {
    calls_are_those_in_the_log(Script::python(), "http/1.0", false)
}

#[test]
fn http_1_1_calls_are_those_in_its_log() -> Result<()> {
    calls_are_those_in_the_log(Script::python().keeping_alive(), "http/1.1", false)
}

#[test]
fn https_1_0_calls_are_those_in_its_log() -> Result<()> {
    calls_are_those_in_the_log(Script::python().with_tls(), "http/1.0", true)
}

#[test]
fn https_1_1_calls_are_those_in_its_log() -> Result<()> {
    calls_are_those_in_the_log(
        Script::python().keeping_alive().with_tls(),
        "http/1.1",
        true,
    )
}
