//! The audit log of a running agent: its calls are found in it, and the page of a review shows them
//! without a secret.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::agent::{Launch, binary};
use observer_tests::prerequisites::program;
use observer_tests::running::run;
use observer_tests::{Agent, Nginx, curl, live, wait};
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

fn audited() -> Result<Agent> {
    Agent::launch(Launch {
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

#[test]
fn the_page_of_a_review_opens_without_network_and_without_an_error() -> Result<()> {
    let Some(_turn) = live(&["nginx", "openssl", "chromium"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let agent = audited()?;
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
