//! h2load, the load generator of HTTP/2.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::running::run_ok;

/// Makes so many requests over so many connections, with so many streams at once on each; fails
/// unless every one is answered.
pub fn h2load(url: &str, requests: usize, connections: usize, streams: usize) -> Result<()> {
    let printed = run_ok(
        Command::new("h2load")
            .args(["-n", &requests.to_string()])
            .args(["-c", &connections.to_string()])
            .args(["-m", &streams.to_string()])
            .arg(url),
        Duration::from_secs(40),
    )?;
    let line = printed
        .lines()
        .find(|line| line.starts_with("requests:"))
        .with_context(|| format!("no count in: {printed}"))?;
    ensure!(line.contains(&format!(" {requests} succeeded")), "{line}");
    Ok(())
}
