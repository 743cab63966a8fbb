//! The audit log on a disk that is full, and in a folder that cannot be written.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::agent::{Launch, binary};
use observer_tests::running::{run, run_ok};
use observer_tests::{Agent, Nginx, curl, live, requires, wait};
use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);
/// For what the agent does within a second or two on an idle machine.
const SOON: Duration = Duration::from_secs(60);

/// A small file system in memory, gone with the test.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(bytes: u32) -> Result<Self> {
        let folder = TempDir::new()?;
        run_ok(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
                .arg(folder.path()),
            LIMIT,
        )?;
        Ok(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Nothing can be written there any more.
    fn read_only(&self) -> Result<()> {
        let mut command = Command::new("mount");
        command.args(["-o", "remount,ro"]).arg(self.path());
        run_ok(&mut command, LIMIT).map(drop)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mut command = Command::new("umount");
        let _ = command.arg("--lazy").arg(self.0.path()).status();
    }
}

fn verified(dir: &Path) -> Result<Value> {
    let output = run(
        Command::new(binary()?)
            .args(["audit", "verify", "--json"])
            .arg(dir),
        LIMIT,
    )?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    ensure!(output.status.success(), "{report}");
    Ok(report)
}

#[test]
fn a_full_disk_costs_records_that_are_declared_and_neither_the_log_nor_the_agent() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "mount"]) else {
        return Ok(());
    };
    let disk = SmallDisk::mount(4 << 20)?;
    let nginx = Nginx::start(1)?;
    let mut agent = Agent::launch(Launch {
        arguments: vec!["--audit".to_owned()],
        settings: Some("[capture]\ntls = false\n".to_owned()),
        state: Some(disk.path().join("state")),
        ..Launch::default()
    })?;
    let calls = |count: u32| curl(&["-o", "/dev/null", &nginx.url(&format!("/one?[1-{count}]"))]);
    let counted = |name: &str| {
        let labels = [("stage", "audit"), ("event", name)];
        agent
            .metrics()
            .map(|metrics| metrics.sum("observer_pipeline_events_total", &labels))
    };
    calls(100)?;
    let filler = disk.path().join("filler");
    // Until no byte is left.
    let full = fs::write(&filler, vec![b'x'; 8 << 20]);
    ensure!(full.is_err(), "the disk is larger than it should be");
    wait::until("records that have no room", SOON, || {
        // What is left of the last page of the log is used up first.
        calls(300).ok()?;
        (counted("lost_disk").ok()? > 0.0).then_some(())
    })?;
    let told = agent.findings()?;
    let told = told
        .iter()
        .any(|finding| finding["rule"] == "audit_log_failing");
    fs::remove_file(&filler)?;
    let dir = disk.path().join("state").join("audit");
    let report = wait::until("the loss in the log", SOON, || {
        calls(1).ok()?;
        let report = verified(&dir).ok()?;
        (report["lost"].as_u64()? > 0).then_some(report)
    })?;
    ensure!(report["good"] == true, "{report}");
    ensure!(told, "no finding said that the log cannot be written");
    ensure!(agent.is_alive(), "{}", agent.diagnostics());
    let ended = agent.stop()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    verified(&dir).map(drop)
}

#[test]
fn a_folder_that_cannot_be_written_is_one_message_and_can_still_be_read() -> Result<()> {
    let Some(_turn) = live(&["mount"]) else {
        return Ok(());
    };
    let disk = SmallDisk::mount(4 << 20)?;
    let state = disk.path().join("state");
    let agent = Agent::launch(Launch {
        arguments: vec!["--audit".to_owned()],
        settings: Some("[capture]\ntls = false\n".to_owned()),
        state: Some(state.clone()),
        ..Launch::default()
    })?;
    agent.stop()?;
    disk.read_only()?;
    let dir = state.join("audit");
    verified(&dir)?;
    let log = dir.to_str().context("a path")?;
    let query = run_ok(
        Command::new(binary()?).args(["query", "--log", log, "type=agent", "--count"]),
        LIMIT,
    )?;
    ensure!(query.trim().parse::<u32>()? >= 2, "{query}");
    let output = run(
        Command::new(binary()?)
            .args(["run", "--audit", "--metrics", "off", "--duration", "60s"])
            .arg("--state-dir")
            .arg(&state),
        LIMIT,
    )?;
    ensure!(output.status.code() == Some(1), "{:?}", output.status);
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        said.contains("Read-only file system") && said.contains("audit"),
        "{said}"
    );
    Ok(())
}

#[test]
fn folders_that_hold_no_log_are_one_message_each() -> Result<()> {
    let Some(_turn) = requires(&[]) else {
        return Ok(());
    };
    let folder = TempDir::new()?;
    let missing = folder.path().join("missing");
    for (arguments, dir) in [
        (vec!["audit", "verify"], folder.path()),
        (vec!["audit", "verify"], &missing),
        (vec!["audit", "prove", "3"], folder.path()),
        (vec!["audit", "checkpoint"], folder.path()),
        (vec!["audit", "rotate-key"], folder.path()),
        (vec!["query", "--log"], folder.path()),
        (vec!["report", "--log"], folder.path()),
    ] {
        let output = run(Command::new(binary()?).args(&arguments).arg(dir), LIMIT)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(1), "{arguments:?}: {said}");
        ensure!(
            said.lines().count() == 1 && said.contains("no audit log"),
            "{arguments:?}: {said}"
        );
    }
    Ok(())
}
