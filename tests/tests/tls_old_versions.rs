//! Versions of TLS libraries that are no longer made and still run: each call is seen at both ends
//! exactly once.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use observer_tests::running::run_ok;
use observer_tests::tls_row::{End, Row, paths};
use observer_tests::tls_servers::{node_server, quiet};
use observer_tests::{Certificate, live, npm, port};

const LIMIT: Duration = Duration::from_secs(45);
const CALLS: usize = 40;

/// One connection after the other.
const ASK: &str = "const [port, ...paths] = process.argv.slice(1); const ask = () => { \
    const path = paths.shift(); if (path === undefined) return; \
    require('https').get({ host: '127.0.0.1', port, path, rejectUnauthorized: false }, (answer) => { \
    if (answer.statusCode !== 200) process.exit(1); answer.resume(); answer.on('end', ask); }) \
    .on('error', () => process.exit(1)); }; ask();";

/// An old Node at both ends.
fn node(package: &str, library: &'static str) -> Result<()> {
    let Some(_turn) = live(&["openssl", &format!("npm:{package}")]) else {
        return Ok(());
    };
    let modules: PathBuf = npm::modules().context("no npm packages")?;
    let node = modules.join(package).join("bin/node");
    let (certificate, port) = (Certificate::new()?, port::free());
    let _server = node_server(&node, &certificate, port)?;
    let row = Row::start(port)?;
    let paths = paths(package, CALLS);
    let mut command = Command::new(&node);
    command.args(["-e", ASK, &port.to_string()]).args(&paths);
    run_ok(quiet(&mut command), LIMIT)?;
    let end = End {
        process: "node",
        library,
    };
    row.is_exactly(&paths, Some(&end), Some(&end))
}

#[test]
fn openssl_1_0_2_inside_node() -> Result<()> {
    node("node-8", "openssl 1.0.2")
}

#[test]
fn openssl_1_1_1_inside_node() -> Result<()> {
    node("node-16", "openssl 1.1.1")
}
