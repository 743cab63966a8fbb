//! The audit log of a running agent: its calls are found in it, and the page of a review shows them
//! without a secret.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::agent::{Launch, binary};
use observer_tests::prerequisites::program;
use observer_tests::running::run;
use observer_tests::{Agent, Nginx, curl, live, wait};
use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);
/// Longer than the commit window.
const WRITTEN: Duration = Duration::from_secs(20);
const SECRET: &str = "hunter2-secret";

fn observer(arguments: &[&str]) -> Result<Output> {
    run(Command::new(binary()?).args(arguments), LIMIT)
}

/// Standard output of a command that must succeed.
fn done(arguments: &[&str]) -> Result<String> {
    let output = observer(arguments)?;
    ensure!(
        output.status.success(),
        "{arguments:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn audited(state: Option<PathBuf>) -> Result<Agent> {
    Agent::launch(Launch {
        state,
        arguments: vec!["--audit".to_owned()],
        // What a record holds does not depend on where the plaintext is from.
        settings: Some("[capture]\ntls = false\n".to_owned()),
        ..Launch::default()
    })
}

fn traffic(nginx: &Nginx) -> Result<()> {
    for url in [
        nginx.url("/status/200?token=hunter2-secret"),
        nginx.url("/status/204"),
        nginx.url("/status/404"),
        nginx.url("/status/503"),
    ] {
        curl(&["-o", "/dev/null", &url])?;
    }
    let user = format!("alice:{SECRET}");
    curl(&["-o", "/dev/null", "-u", &user, &nginx.url("/status/401")])?;
    curl(&["-o", "/dev/null", "-d", SECRET, &nginx.url("/login")])?;
    Ok(())
}

/// Method, path, status and client port of each call.
type Served = BTreeMap<(String, String, u64, u64), u32>;

/// What the log has of the calls that came in at `port`.
fn logged(log: &str, port: u16) -> Result<Served> {
    let mut served = Served::new();
    let all = done(&["audit", "export", log, "--filter", "type=call role=server"])?;
    for line in all.lines() {
        let record: Value = serde_json::from_str(line)?;
        if record["dst_endpoint"]["port"] != port {
            continue;
        }
        let number = |pointer: &str| record.pointer(pointer).and_then(Value::as_u64);
        let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
        let call = (
            text("/http_request/http_method")
                .context("no method")?
                .to_owned(),
            text("/http_request/url/path")
                .context("no path")?
                .to_owned(),
            number("/http_response/code").context("no status")?,
            number("/src_endpoint/port").context("no client")?,
        );
        *served.entry(call).or_default() += 1;
    }
    Ok(served)
}

#[test]
fn the_log_holds_the_calls_that_nginx_logged_and_no_other() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(2)?;
    nginx.file("page.txt", 4321)?;
    // The log outlives the agent.
    let folder = TempDir::new()?;
    let state = folder.path().join("state");
    let agent = audited(Some(state.clone()))?;
    for _ in 0..3 {
        traffic(&nginx)?;
    }
    curl(&["-Z", "-o", "/dev/null", &nginx.url("/page.txt?n=[1-200]")])?;
    curl(&["-Z", "-o", "/dev/null", &nginx.url("/status/404?n=[1-100]")])?;
    curl(&["-X", "DELETE", &nginx.url("/status/404")])?;
    curl(&["-I", &nginx.url("/page.txt")])?;
    let mut expected = Served::new();
    for call in nginx.log.entries(nginx.http)? {
        let port = call.client_port.context("nginx logs the port")?;
        let path = call.path().to_owned();
        let key = (call.method, path, u64::from(call.status), u64::from(port));
        *expected.entry(key).or_default() += 1;
    }
    let dir = state.join("audit");
    let log = dir.to_str().context("a path")?.to_owned();
    let all: u32 = expected.values().sum();
    ensure!(all >= 320, "nginx logged {all}");
    wait::until("the calls in the log", WRITTEN, || {
        (logged(&log, nginx.http).ok()?.values().sum::<u32>() >= all).then_some(())
    })?;
    ensure!(agent.stop()?.status.success());
    let found = logged(&log, nginx.http)?;
    ensure!(found == expected, "{found:#?}\ninstead of\n{expected:#?}");
    let report: Value = serde_json::from_str(&done(&["audit", "verify", &log, "--json"])?)?;
    ensure!(report["good"] == true && report["lost"] == 0, "{report}");
    ensure!(report["size"] == report["verified"], "{report}");
    Ok(())
}

#[test]
fn the_page_of_a_review_opens_without_network_and_without_an_error() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "chromium"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let agent = audited(None)?;
    let dir = agent.state_folder().join("audit");
    let log = dir.to_str().context("a path")?;
    for _ in 0..5 {
        traffic(&nginx)?;
    }
    wait::until("the calls in the log", WRITTEN, || {
        let count = done(&["query", "--log", log, "status=503", "--count"]).ok()?;
        (count.trim().parse::<u32>().ok()? >= 5).then_some(())
    })?;
    let folder = TempDir::new()?;
    let page = folder.path().join("review.html");
    let picture = folder.path().join("review.png");
    done(&[
        "report",
        "--log",
        log,
        "--since",
        "30m",
        "--html",
        page.to_str().context("a path")?,
    ])?;
    let text = fs::read_to_string(&page)?;
    ensure!(text.contains("Calls over time") && !text.contains(SECRET));
    ensure!(!text.contains("<script") && !text.contains("src="));
    let output = chromium(&page, &picture, folder.path())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!said.contains("CONSOLE"), "the page complains: {said}");
    let bytes = fs::read(&picture).with_context(|| said.into_owned())?;
    ensure!(bytes.starts_with(b"\x89PNG") && bytes.len() > 10_000);
    if let Some(keep) = std::env::var_os("OBSERVER_KEEP_SCREENSHOT") {
        fs::copy(&picture, keep)?;
    }
    Ok(())
}

fn chromium(page: &Path, picture: &Path, home: &Path) -> Result<Output> {
    let program = program("chromium").context("no chromium")?;
    run(
        Command::new(program)
            .env("HOME", home)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--enable-logging=stderr",
                "--host-resolver-rules=MAP * ~NOTFOUND",
                "--window-size=1240,1500",
                "--hide-scrollbars",
            ])
            .arg(format!(
                "--user-data-dir={}",
                home.join("profile").display()
            ))
            .arg(format!("--screenshot={}", picture.display()))
            .arg(format!("file://{}", page.display())),
        LIMIT,
    )
}
