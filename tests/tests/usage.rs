//! Usage and quotas of a running agent: shown by `observer usage`, and there after SIGKILL.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use observer_tests::agent::{Launch, binary};
use observer_tests::running::run_ok;
use observer_tests::{Agent, Nginx, curl, live, wait};
use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);
/// What may be lost when the agent is killed.
const LOST: Duration = Duration::from_secs(1);
/// Calls that may be made in a month.
const QUOTA: u64 = 60;
const PATH: &str = "/quota-of-usage";

fn agent(state: &Path) -> Result<Agent> {
    Agent::launch(Launch {
        settings: Some(format!(
            "[[limit]]\nper = \"endpoint\"\nlimit = {QUOTA}\nwindow = \"month\"\n[capture]\ntls = false\n"
        )),
        state: Some(state.to_owned()),
        ..Launch::default()
    })
}

fn usage(state: &Path) -> Result<Value> {
    let mut command = Command::new(binary()?);
    command
        .args(["usage", "--json", "--top", "1000", "--state-dir"])
        .arg(state);
    Ok(serde_json::from_str(&run_ok(&mut command, LIMIT)?)?)
}

/// Calls of the endpoint: as usage, and as used of the quota.
fn used(state: &Path) -> Option<(u64, u64)> {
    let told = usage(state).ok()?;
    let of = |rows: &Value, field: &str| {
        let rows = rows.as_array()?.iter();
        let mut own = rows.filter(|row| row["name"].as_str().is_some_and(|it| it.ends_with(PATH)));
        own.next()?[field].as_u64()
    };
    Some((
        of(&told["endpoint"]["rows"], "calls")?,
        of(&told["quotas"], "used")?,
    ))
}

#[test]
fn quotas_survive_sigkill_with_at_most_a_second_lost() -> Result<()> {
    let Some(_turn) = live(&["nginx"]) else {
        return Ok(());
    };
    let nginx = Nginx::start_with(1, &format!("location = {PATH} {{ return 200 'x'; }}"))?;
    let state = TempDir::new()?;
    let url = nginx.url(PATH);
    let first = agent(state.path())?;
    // How many calls the agent had told of, and when.
    let mut seen: Vec<(Instant, usize)> = Vec::new();
    let began = Instant::now();
    let mut made = 0;
    while began.elapsed() < LOST * 3 || seen.iter().all(|(at, n)| at.elapsed() < LOST || *n == 0) {
        ensure!(
            began.elapsed() < LIMIT,
            "no call is seen: {}",
            first.diagnostics()
        );
        curl(&[&url])?;
        made += 1;
        let told = first.calls_where(|call| call.path == PATH)?.len();
        seen.push((Instant::now(), told));
        thread::sleep(Duration::from_millis(100));
    }
    let killed = Instant::now();
    first.kill9()?;
    let safe = seen
        .iter()
        .filter(|(at, _)| killed.duration_since(*at) >= LOST)
        .map(|(_, told)| *told as u64)
        .max()
        .context("nothing was seen in time")?;
    let (calls, quota) = used(state.path()).context("no usage after SIGKILL")?;
    println!("killed after {made} calls: {safe} told of a second before, {quota} kept");
    ensure!(
        quota >= safe && quota <= made,
        "{quota} of {made}, {safe} must be kept"
    );
    ensure!(calls == quota, "{calls} calls, quota {quota}");

    // The next run goes on, and tells of what is beyond the quota.
    let second = agent(state.path())?;
    let mut now_used = quota;
    while now_used <= QUOTA {
        curl(&[&url])?;
        now_used += 1;
    }
    let finding = wait::until("a finding about the quota", LIMIT, || {
        second
            .findings()
            .ok()?
            .into_iter()
            .find(|finding| finding["rule"] == "limit_exceeded")
    })
    .with_context(|| second.diagnostics())?;
    ensure!(finding["count"] == QUOTA + 1, "{finding}");
    wait::until("usage of both runs", LIMIT, || {
        used(state.path()).filter(|(calls, quota)| (*calls, *quota) == (QUOTA + 1, QUOTA + 1))
    })?;
    second.stop()?;
    let (calls, quota) = used(state.path()).context("no usage at the end")?;
    ensure!((calls, quota) == (QUOTA + 1, QUOTA + 1));
    Ok(())
}
