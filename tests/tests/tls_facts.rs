//! What the handshake says of a call's connection: whether it goes on from an earlier one.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::running::run_ok;
use observer_tests::{Agent, Script, live, wait};

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_connection_that_goes_on_from_an_earlier_one_is_told_in_tls_1_2_and_1_3() -> Result<()> {
    let Some(_turn) = live(&["openssl", "python3"]) else {
        return Ok(());
    };
    let server = Script::python().with_tls().start()?;
    let agent = Agent::start()?;
    for (newest, version) in [("1.2", "TLSv1.2"), ("1.3", "TLSv1.3")] {
        let paths: Vec<String> = (0..4).map(|n| format!("/bytes/{n}")).collect();
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("programs/resume.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(server.port.to_string());
        let said = run_ok(command.arg(newest).args(&paths), LIMIT)?;
        let said: Vec<Option<bool>> = said.lines().map(|word| Some(word == "resumed")).collect();
        ensure!(said.contains(&Some(true)), "nothing was resumed: {said:?}");
        let of_version = || {
            agent.calls_where(|call| {
                let tls = call.tls.as_ref();
                tls.and_then(|tls| tls.version.as_deref()) == Some(version)
            })
        };
        let calls = wait::until("four calls", LIMIT, || {
            of_version().ok().filter(|calls| calls.len() >= paths.len())
        })?;
        let resumed: Vec<Option<bool>> = calls
            .iter()
            .map(|call| call.tls.as_ref().and_then(|tls| tls.resumed))
            .collect();
        ensure!(resumed == said, "{version}: {resumed:?}, but {said:?}");
    }
    Ok(())
}
