//! Programs that are over before their memory map can be read, and that nobody ran before: the TLS
//! library is probed where it is installed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::agent::Launch;
use observer_tests::running::{Running, run_ok};
use observer_tests::{Agent, Nginx, curl, live};

const TIMES: usize = 20;
const LIMIT: Duration = Duration::from_secs(45);

/// The library that curl uses, where the dynamic linker finds it.
fn library() -> Result<String> {
    let program = observer_tests::prerequisites::program("curl").context("no curl")?;
    let libraries = run_ok(Command::new("ldd").arg(program), LIMIT)?;
    let line = libraries.lines().find(|line| line.contains("libssl.so"));
    let path = line.and_then(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(fs::canonicalize(path.context("this curl has no libssl")?)?
        .display()
        .to_string())
}

/// A mount namespace where the library is a copy that no process has mapped.
fn with_a_copy(folder: &Path, library: &str) -> Result<Running> {
    let copy = folder.join("copy.so");
    fs::copy(library, &copy)?;
    let script = format!(
        "mount --bind {} {library} && echo ready && read end",
        copy.display()
    );
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut shell = Running::start("the mount namespace", &mut command)?;
    let output = shell.child().stdout.take().context("no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line == "ready\n", "no copy of {library} in a namespace");
    Ok(shell)
}

#[test]
fn the_first_process_of_a_library_that_nobody_has_mapped_is_seen_each_time() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "unshare", "nsenter", "ldd"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let folder = tempfile::TempDir::new()?;
    let space = with_a_copy(folder.path(), &library()?)?;
    for time in 0..TIMES {
        let agent = Agent::launch(Launch {
            arguments: vec!["--both-sides".to_owned()],
            ..Launch::default()
        })?;
        let url = nginx.tls_url(&format!("/status/200?time={time}"));
        let command = curl::command(&[&url]);
        let mut inside = Command::new("nsenter");
        inside
            .args(["--mount", "--target", &space.pid().to_string(), "curl"])
            .args(command.get_args());
        run_ok(&mut inside, LIMIT)?;
        for role in ["server", "client"] {
            let what = format!("the call of time {time} at its {role}");
            agent.wait_for_call(&what, LIMIT, |call| {
                call.role == role && call.server.port == Some(nginx.https)
            })?;
        }
        agent.stop()?;
    }
    Ok(())
}
