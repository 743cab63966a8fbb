//! Every way to move bytes over a TCP socket that this kernel has, each seen whole and in step.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use observer_tests::ways::{Moved, Ways};
use observer_tests::{Agent, live};

const LIMIT: Duration = Duration::from_secs(10);

/// The three calls of one way, as the server's end saw them, with what was moved.
fn seen(agent: &Agent, name: &str, request: u64, response: u64) -> Result<()> {
    for (path, request, response) in [
        (format!("/ways/{name}/before"), 0, 7),
        (format!("/ways/{name}"), request, response),
        (format!("/ways/{name}/after"), 0, 9),
    ] {
        if name == "until-close" && path.ends_with("after") {
            continue;
        }
        let call = agent.wait_for_call(&path, LIMIT, |call| {
            call.role == "server" && call.path == path
        })?;
        ensure!(call.status == Some(200), "{path}: {call}");
        ensure!(
            call.request_bytes == Some(request) && call.response_bytes == Some(response),
            "{path}: {request} and {response} bytes were moved: {call:?}"
        );
        ensure!(
            call.process.name.as_deref() == Some("ways"),
            "{path}: {call:?}"
        );
    }
    Ok(())
}

#[test]
fn every_way_bytes_move_over_tcp_is_seen_whole() -> Result<()> {
    let Some(_turn) = live(&["cc"]) else {
        return Ok(());
    };
    let ways = Ways::build()?;
    let agent = Agent::start()?;
    for name in ways.names()? {
        if name.starts_with("unix") {
            continue;
        }
        match ways.run(&name).with_context(|| name.clone())? {
            Moved::Done { request, response } => seen(&agent, &name, request, response)?,
            Moved::Unavailable(reason) => eprintln!("SKIPPED {name}: {reason}"),
        }
    }
    Ok(())
}
