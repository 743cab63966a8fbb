//! Apache httpd with the event MPM, whose threads hand connections to each other.

use anyhow::{Result, ensure};
use observer_tests::agreement::Pair;
use observer_tests::running::children;
use observer_tests::{Agent, Agreement, Apache, curl, live};

fn calls(apache: &Apache, base: &str) -> Result<()> {
    apache.file("a.txt", 1_000)?;
    apache.file("b.bin", 200_000)?;
    let url = |path: &str| format!("{base}{path}");
    for _ in 0..5 {
        curl(&[
            "-o",
            "/dev/null",
            &url("/a.txt"),
            "-o",
            "/dev/null",
            &url("/b.bin"),
            "-o",
            "/dev/null",
            &url("/none"),
            "-o",
            "/dev/null",
            &url("/forbidden/x"),
            "-o",
            "/dev/null",
            &url("/redirect"),
            "-o",
            "/dev/null",
            &url("/a.txt?again=1"),
        ])?;
        curl(&["-I", &url("/a.txt"), &url("/b.bin")])?;
    }
    curl(&[
        "-o",
        "/dev/null",
        "-Z",
        "--parallel-max",
        "6",
        &url("/a.txt?[1-40]"),
    ])?;
    Ok(())
}

fn check(apache: &Apache, pairs: &[Pair], scheme: &str) -> Result<()> {
    let processes = children(apache.master());
    for Pair { logged: _, call } in pairs {
        ensure!(
            call.process.pid.is_some_and(|pid| processes.contains(&pid)),
            "{call}"
        );
        ensure!(call.process.name.as_deref() == Some("apache2"), "{call}");
        ensure!(
            call.scheme == scheme && call.tls.is_some() == (scheme == "https"),
            "{call}"
        );
    }
    Ok(())
}

#[test]
fn http_calls_are_those_in_apache_s_log() -> Result<()> {
    let Some(_turn) = live(&["apache2", "openssl"]) else {
        return Ok(());
    };
    let apache = Apache::start()?;
    let agent = Agent::start()?;
    calls(&apache, &apache.url(""))?;
    check(
        &apache,
        &Agreement::of(&agent, &apache.log, apache.http).reached()?,
        "http",
    )
}

#[test]
fn https_calls_are_those_in_apache_s_log() -> Result<()> {
    let Some(_turn) = live(&["apache2", "openssl"]) else {
        return Ok(());
    };
    let apache = Apache::start()?;
    let agent = Agent::start()?;
    calls(&apache, &apache.tls_url(""))?;
    check(
        &apache,
        &Agreement::of(&agent, &apache.log, apache.https).reached()?,
        "https",
    )
}
