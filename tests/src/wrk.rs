//! wrk, the load generator.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::running::run_ok;

/// Loads a URL from one thread; returns the answers wrk received in full.
pub fn wrk(url: &str, connections: usize, seconds: u64) -> Result<u64> {
    wrk_with(&[], url, connections, seconds)
}

/// As [`wrk`], with more arguments.
pub fn wrk_with(arguments: &[&str], url: &str, connections: usize, seconds: u64) -> Result<u64> {
    let printed = run_ok(
        Command::new("wrk")
            .args([
                "-t1",
                "-c",
                &connections.to_string(),
                "-d",
                &format!("{seconds}s"),
            ])
            .args(arguments)
            .arg(url),
        Duration::from_secs(seconds + 15),
    )?;
    let line = printed
        .lines()
        .find(|line| line.contains(" requests in "))
        .with_context(|| format!("no count in: {printed}"))?;
    Ok(line
        .split_whitespace()
        .next()
        .context("no number")?
        .parse()?)
}
