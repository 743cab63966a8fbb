//! Runs cargo and explains its failures.
//!
//! In: a cargo command. Out: what it prints, as it prints it, and on failure a
//! message with what to do. It never retries.

use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::workspace::cargo;

/// What cargo and its git and HTTP clients say when a registry is out of reach.
const UNREACHABLE: [&str; 8] = [
    "spurious network error",
    "failed to download",
    "unable to update registry",
    "could not resolve host",
    "couldn't connect to server",
    "download of config.json failed",
    "failed to query replaced source registry",
    "ssl connect error",
];

/// A cargo command in a folder, coloured as the terminal allows.
pub fn command(root: &Path) -> Command {
    let mut command = Command::new(cargo());
    command.current_dir(root);
    if std::io::stderr().is_terminal() {
        // Its standard error goes through a pipe here, so it cannot see this.
        command.env("CARGO_TERM_COLOR", "always");
    }
    command
}

/// Runs a cargo command, passes on what it says, and names `what` on failure.
pub fn run(command: &mut Command, what: &str) -> Result<()> {
    run_heard(command, what, |_| {})
}

/// The same, and `hear` gets each line that cargo or what it runs says on standard
/// error.
pub fn run_heard(command: &mut Command, what: &str, mut hear: impl FnMut(&str)) -> Result<()> {
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    let mut unreachable = false;
    if let Some(said) = child.stderr.take() {
        for line in BufReader::new(said).split(b'\n') {
            let line = line.context("read what cargo says")?;
            let text = String::from_utf8_lossy(&line);
            unreachable |= is_unreachable(&text);
            hear(&text);
            writeln!(std::io::stderr(), "{text}").context("pass on what cargo says")?;
        }
    }
    let status = child.wait().context("wait for cargo")?;
    if status.success() {
        return Ok(());
    }
    if unreachable {
        bail!(
            "{what} failed: cargo cannot reach its package registry. Check the network and the \
             proxy (HTTPS_PROXY, or `[source]` and `[http]` in ~/.cargo/config.toml), then run \
             the same command again; what was done so far is kept"
        );
    }
    bail!("{what} failed ({status}); the reason is above");
}

/// Whether a line of cargo's says that a registry is out of reach.
fn is_unreachable(line: &str) -> bool {
    let line = line.to_lowercase();
    UNREACHABLE.iter().any(|words| line.contains(words))
}

#[cfg(test)]
mod tests {
    use super::is_unreachable;

    #[test]
    fn a_registry_out_of_reach_is_told_from_a_compile_error() {
        assert!(is_unreachable(
            "warning: spurious network error (3 tries remaining): [6] Could not resolve host"
        ));
        assert!(!is_unreachable(
            "error[E0432]: unresolved import `download`"
        ));
    }
}
