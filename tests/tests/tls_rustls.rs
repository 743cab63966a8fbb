//! rustls at both ends, with symbols and stripped: a release build with hyper and tokio, as programs
//! in the field are. Each call is seen at each end exactly once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::running::{Running, run_ok};
use observer_tests::tls_row::{End, Row, paths, serve};
use observer_tests::tls_servers::quiet;
use observer_tests::{Certificate, live, port, rust_programs};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(45);
const CALLS: usize = 40;
/// Connections of one client at once.
const CONNECTIONS: usize = 8;

/// What the tests need.
const NEEDS: [&str; 3] = ["openssl", "strip", "rust:rustls-row"];

fn server(program: &Path, certificate: &Certificate, port: u16) -> Result<Running> {
    let mut command = Command::new(program);
    command
        .args(["serve", &port.to_string()])
        .arg(certificate.chain())
        .arg(certificate.key());
    serve("rustls-row", quiet(&mut command), port)
}

fn ask(program: &Path, port: u16, how: &[&str], paths: &[String]) -> Result<()> {
    let mut command = Command::new(program);
    command
        .args(["ask", &port.to_string()])
        .args(how)
        .args(paths)
        .stdin(Stdio::null());
    run_ok(&mut command, LIMIT).map(drop)
}

/// Serves and asks with the same program, in every way. Gives what the agent says of proofs.
fn both_ends(program: &Path, process: &'static str) -> Result<u64> {
    let (certificate, port) = (Certificate::new()?, port::free());
    let _server = server(program, &certificate, port)?;
    let row = Row::start(port)?;
    let connections = CONNECTIONS.to_string();
    let mut asked = Vec::new();
    for (name, how) in [
        ("tls13", &[][..]),
        ("tls12", &["-tls12"]),
        ("many", &["-conns", &connections]),
    ] {
        let paths = paths(name, CALLS);
        ask(program, port, how, &paths)?;
        asked.extend(paths);
    }
    // A new connection each, one after the other.
    for path in paths("again", CALLS) {
        ask(program, port, &[], std::slice::from_ref(&path))?;
        asked.push(path);
    }
    let end = End {
        process,
        library: "rustls 0.23.",
    };
    row.is_exactly(&asked, Some(&end), Some(&end))?;
    proved(&row)
}

/// Connections that have shown that functions of rustls found by signature are right.
fn proved(row: &Row) -> Result<u64> {
    let metrics = row.agent.metrics()?;
    let proved = metrics.samples.iter().filter(|sample| {
        let is = |label: &str, value: &str| {
            let found = sample.labels.get(label);
            found.is_some_and(|found| found.starts_with(value))
        };
        sample.name == "observer_tls_signature_connections"
            && is("library", "rustls ")
            && is("proved", "yes")
    });
    Ok(proved.map(|sample| sample.value as u64).sum())
}

fn program() -> Result<PathBuf> {
    rust_programs::program("rustls-row").context("no rustls-row")
}

#[test]
fn rustls_with_symbols() -> Result<()> {
    let Some(_turn) = live(&NEEDS) else {
        return Ok(());
    };
    both_ends(&program()?, "rustls-row").map(drop)
}

#[test]
fn rustls_stripped() -> Result<()> {
    let Some(_turn) = live(&NEEDS) else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let bare = folder.path().join("rustls-bare");
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&bare).arg(program()?);
    run_ok(&mut strip, LIMIT)?;
    let proved = both_ends(&bare, "rustls-bare")?;
    ensure!(
        proved > 0,
        "calls were told of functions that are not proved"
    );
    Ok(())
}
