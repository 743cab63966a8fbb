//! curl, with a bound on its time.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::running::run_ok;

/// What curl is always told: HTTP/1.1, quiet, any certificate, no proxy, bounded time.
const ALWAYS: [&str; 7] = [
    "--http1.1",
    "-sS",
    "-k",
    "--noproxy",
    "*",
    "--max-time",
    "40",
];

/// Runs curl with these arguments and returns what it printed; fails if curl does. With several
/// URLs it keeps its connection alive between them.
pub fn curl<S: AsRef<str>>(arguments: &[S]) -> Result<String> {
    run_ok(&mut command(arguments), Duration::from_secs(45))
}

/// The curl command itself, for tests that run it in another place.
pub fn command<S: AsRef<str>>(arguments: &[S]) -> Command {
    let mut command = Command::new("curl");
    command
        .args(ALWAYS)
        .args(arguments.iter().map(AsRef::as_ref));
    command
}
