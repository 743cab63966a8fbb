//! The agent's end: what was captured is written, and the kernel keeps nothing of it.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::bpf::BpfObjects;
use observer_tests::{Agent, Launch, Nginx, curl, live, requires, wait, wrk};

/// The kernel frees programs and maps in its own time after the last reference is gone.
const FREED: Duration = Duration::from_secs(10);

/// What an agent might leave behind outside its process.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    pinned: BTreeSet<String>,
    mounts: BTreeSet<String>,
    uprobe_events: String,
}

impl Traces {
    fn now() -> Self {
        let pinned = fs::read_dir("/sys/fs/bpf").map(|entries| {
            entries
                .flatten()
                .map(|entry| entry.path().display().to_string())
                .collect()
        });
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let events = [
            "/sys/kernel/tracing/uprobe_events",
            "/sys/kernel/debug/tracing/uprobe_events",
        ]
        .iter()
        .find_map(|file| fs::read_to_string(file).ok());
        Self {
            pinned: pinned.unwrap_or_default(),
            mounts: mounts.lines().map(str::to_owned).collect(),
            uprobe_events: events.unwrap_or_default(),
        }
    }
}

fn leaves_nothing(end: impl Fn(Agent) -> Result<()>) -> Result<()> {
    let needs = ["root", "cgroup2", "bpftool", "nginx", "openssl", "curl"];
    let Some(_turn) = requires(&needs) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let (before, traces) = (BpfObjects::now()?, Traces::now());
    let agent = Agent::start()?;
    curl(&[nginx.tls_url("/status/200")])?;
    curl(&[nginx.url("/status/200")])?;
    agent.wait_for_call("a call over TLS", Duration::from_secs(6), |call| {
        call.served_by(nginx.https)
    })?;
    let held = BpfObjects::now()?.without(&before);
    ensure!(
        !held.programs.is_empty() && !held.maps.is_empty(),
        "it held nothing: {held:?}"
    );
    end(agent)?;
    let left = wait::until("the kernel to free all of it", FREED, || {
        BpfObjects::now()
            .ok()
            .filter(|now| now.common(&held).is_empty())
    });
    if let Err(error) = left {
        anyhow::bail!("{error}; left: {:?}", BpfObjects::now()?.common(&held));
    }
    let after = Traces::now();
    ensure!(after == traces, "before {traces:?}, after {after:?}");
    // The servers work as before: no breakpoint is left in the library.
    curl(&[
        "-f",
        &nginx.tls_url("/status/200"),
        &nginx.url("/status/200"),
    ])?;
    Ok(())
}

#[test]
fn sigterm_leaves_nothing_in_the_kernel() -> Result<()> {
    leaves_nothing(|agent| {
        let ended = agent.stop_by("TERM")?;
        ensure!(
            ended.status.code() == Some(0),
            "{}: {}",
            ended.status,
            ended.stderr
        );
        Ok(())
    })
}

#[test]
fn sigint_leaves_nothing_in_the_kernel() -> Result<()> {
    leaves_nothing(|agent| {
        let ended = agent.stop_by("INT")?;
        ensure!(
            ended.status.code() == Some(0),
            "{}: {}",
            ended.status,
            ended.stderr
        );
        Ok(())
    })
}

#[test]
fn sigkill_leaves_nothing_in_the_kernel() -> Result<()> {
    leaves_nothing(|agent| agent.kill9().map(drop))
}

/// `place`: which thread judges calls.
fn last_calls_are_written(place: &str) -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "wrk"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    nginx.file("tiny", 3)?;
    let agent = Agent::launch(Launch {
        settings: Some(format!("[capture]\ncalls = \"{place}\"\n")),
        ..Launch::default()
    })?;
    wrk::wrk(&nginx.url("/tiny"), 8, 1)?;
    curl(&[nginx.url("/status/200"), nginx.url("/status/404")])?;
    let ended = agent.stop()?;
    ensure!(
        ended.status.code() == Some(0),
        "{}: {}",
        ended.status,
        ended.stderr
    );
    let logged = wait::until("the log", Duration::from_secs(3), || {
        nginx
            .log
            .entries(nginx.http)
            .ok()
            .filter(|log| log.iter().any(|it| it.status == 404))
    })?;
    let answered = ended
        .calls
        .iter()
        .filter(|call| call.served_by(nginx.http) && call.status.is_some())
        .count();
    let sent = logged
        .iter()
        .filter(|it| it.response_bytes != Some(0))
        .count();
    ensure!(
        (sent..=logged.len()).contains(&answered),
        "nginx logged {} calls, {answered} were written",
        logged.len()
    );
    Ok(())
}

#[test]
fn calls_made_just_before_the_end_are_written() -> Result<()> {
    last_calls_are_written("capture")
}

#[test]
fn calls_made_just_before_the_end_are_written_by_a_thread_of_their_own() -> Result<()> {
    last_calls_are_written("apart")
}

#[test]
fn it_ends_by_itself_after_the_given_duration() -> Result<()> {
    let Some(_turn) = live(&[]) else {
        return Ok(());
    };
    let mut command = std::process::Command::new(observer_tests::agent::binary()?);
    let state = tempfile::TempDir::new()?;
    command
        .args(["run", "--format", "jsonl", "--duration", "1s", "--metrics"])
        .arg(format!("127.0.0.1:{}", observer_tests::port::free()))
        .arg("--state-dir")
        .arg(state.path());
    let output = observer_tests::running::run(&mut command, Duration::from_secs(15))?;
    ensure!(output.status.code() == Some(0), "{output:?}");
    Ok(())
}

#[test]
fn a_second_agent_on_the_same_port_says_so() -> Result<()> {
    let Some(_turn) = live(&[]) else {
        return Ok(());
    };
    let mut first = Agent::start()?;
    let state = tempfile::TempDir::new()?;
    let mut command = std::process::Command::new(observer_tests::agent::binary()?);
    let address = format!("127.0.0.1:{}", first.metrics_port());
    command
        .args([
            "run",
            "--format",
            "none",
            "--duration",
            "5s",
            "--metrics",
            &address,
        ])
        .arg("--state-dir")
        .arg(state.path());
    let output = observer_tests::running::run(&mut command, Duration::from_secs(15))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "it ran: {said}");
    ensure!(said.contains(&address), "the address is not named: {said}");
    ensure!(!said.contains("panicked"), "{said}");
    ensure!(first.is_alive(), "the first ended");
    Ok(())
}

#[test]
fn a_restarted_agent_sees_the_same_servers() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    for _ in 0..3 {
        let agent = Agent::start()?;
        for (url, port) in [
            (nginx.url("/status/200"), nginx.http),
            (nginx.tls_url("/status/200"), nginx.https),
        ] {
            curl(&[url])?;
            agent.wait_for_call("the call", Duration::from_secs(6), |call| {
                call.served_by(port)
            })?;
        }
        agent.kill9()?;
    }
    Ok(())
}
