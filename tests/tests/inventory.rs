//! Services that nobody configured are listed with what serves and who calls them, and that
//! outlives an agent that was killed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use observer_tests::{Agent, Launch, Nginx, Script, agent, curl, live};
use serde_json::Value;

/// A call is listed after so long at most.
const LISTED: Duration = Duration::from_secs(5);

fn ask(arguments: &[&str]) -> Result<String> {
    let output = Command::new(agent::binary()?).args(arguments).output()?;
    ensure!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// The service of this name, once it is listed and is as wanted.
fn listed(state: &str, name: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let start = Instant::now();
    loop {
        let told = ask(&["inventory", "--json", "--state-dir", state]);
        let last = match told {
            Ok(text) => {
                let all: Value = serde_json::from_str(&text)?;
                let service = all["services"][name].clone();
                if service.is_object() && wanted(&service) {
                    return Ok(service);
                }
                text
            }
            Err(error) => error.to_string(),
        };
        ensure!(start.elapsed() < LISTED, "not listed in time: {last}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn services_are_listed_with_owner_endpoints_and_callers_within_seconds() -> Result<()> {
    let Some(_turn) = live(&["nginx", "node", "curl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let node = Script::node().start()?;
    let agent = Agent::launch(Launch::default())?;
    let state = agent.state_folder().display().to_string();
    for id in 1..5 {
        curl(&[
            "-u",
            "ada:secret",
            &nginx.url(&format!("/status/200?page={id}")),
        ])?;
        curl(&["-k", &nginx.tls_url("/status/204")])?;
    }
    curl(&[&node.url("/status/200")])?;

    let service = listed(&state, "nginx", |service| {
        // What came over HTTP, and what came over TLS.
        let tls = service["tls"]
            .as_object()
            .is_some_and(|all| !all.is_empty());
        tls && service.to_string().contains("basic:ada")
    })?;
    let programs = service["programs"].as_object().context("no programs")?;
    let (exe, program) = programs.iter().next().context("no program")?;
    ensure!(exe.ends_with("nginx"), "{service:#}");
    ensure!(
        program["package"]
            .as_str()
            .is_some_and(|name| name.starts_with("nginx")),
        "{service:#}"
    );
    ensure!(
        service["listening"]
            .as_array()
            .is_some_and(|all| all.len() >= 2),
        "{service:#}"
    );
    ensure!(
        service["tls"]
            .as_object()
            .is_some_and(|all| all.keys().any(|tls| tls.starts_with("openssl"))),
        "{service:#}"
    );
    let text = service.to_string();
    ensure!(
        text.contains("basic:ada") && !text.contains("secret"),
        "{service:#}"
    );
    ensure!(text.contains("\"page\""), "{service:#}");
    listed(&state, "node", |service| {
        service["endpoints"]
            .as_object()
            .is_some_and(|all| !all.is_empty())
    })?;

    let table = ask(&["inventory", "--state-dir", &state])?;
    ensure!(table.contains("nginx") && table.contains("GET"), "{table}");
    let document = ask(&["openapi", "nginx", "--state-dir", &state])?;
    let document: Value = serde_json::from_str(&document)?;
    ensure!(document["openapi"] == "3.1.0", "{document:#}");
    agent.stop()?;
    Ok(())
}

#[test]
fn learned_routes_and_renames_survive_a_kill() -> Result<()> {
    let Some(_turn) = live(&["node", "curl"]) else {
        return Ok(());
    };
    let node = Script::node().start()?;
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("state").display().to_string();
    let launch = || Launch {
        state: Some(PathBuf::from(&state)),
        ..Launch::default()
    };
    let learned = "POST /people/{name}/orders";
    let calls = |service: &Value| service["endpoints"][learned]["calls"].as_u64();
    let agent = Agent::launch(launch())?;
    curl(&["-d", "x", &node.url("/people/ada[1-200]/orders")])?;
    let first = listed(&state, "node", |service| calls(service) >= Some(150))?;
    let renamed = |service: &Value| {
        let changes = service["changes"].as_array().into_iter().flatten();
        changes
            .filter(|change| change["new"] == "/people/{name}/orders")
            .all(|change| {
                change["old"]
                    .as_str()
                    .is_some_and(|old| old.contains("/ada"))
            })
    };
    ensure!(renamed(&first), "{first:#}");
    let kept = Instant::now();
    while !routes_kept(folder.path())?.contains("{name}") {
        ensure!(kept.elapsed() < LISTED, "routes are not kept");
        std::thread::sleep(Duration::from_millis(50));
    }
    agent.kill9()?;

    let agent = Agent::launch(launch())?;
    curl(&["-d", "x", &node.url("/people/zoe/orders")])?;
    let call = agent.wait_for_call("a call of zoe", Duration::from_secs(10), |call| {
        call.path == "/people/zoe/orders"
    })?;
    ensure!(
        call.route.as_deref() == Some("/people/{name}/orders"),
        "{call}"
    );
    let more = calls(&first).map(|calls| calls + 1);
    let second = listed(&state, "node", |service| calls(service) >= more)?;
    let date = |service: &Value| service["endpoints"][learned]["first_seen_ms"].as_u64();
    ensure!(date(&first).is_some() && date(&first) == date(&second));
    agent.kill9()?;

    // Damaged routes are set aside, and the agent starts.
    for entry in fs::read_dir(folder.path().join("state/routes"))? {
        fs::write(entry?.path(), "damaged")?;
    }
    let agent = Agent::launch(launch())?;
    curl(&["-d", "x", &node.url("/people/zoe/orders")])?;
    agent.wait_for_call("another call of zoe", Duration::from_secs(10), |call| {
        call.path == "/people/zoe/orders"
    })?;
    ensure!(
        fs::read_dir(folder.path().join("state/routes"))?
            .flatten()
            .any(|entry| entry.path().extension().is_some_and(|is| is == "damaged"))
    );
    agent.stop()?;
    Ok(())
}

/// All that is kept of routes.
fn routes_kept(folder: &std::path::Path) -> Result<String> {
    let mut all = String::new();
    if let Ok(entries) = fs::read_dir(folder.join("state/routes")) {
        for entry in entries {
            // One may be replaced at this moment.
            all.push_str(&fs::read_to_string(entry?.path()).unwrap_or_default());
        }
    }
    Ok(all)
}

#[test]
fn first_seen_dates_and_counts_survive_a_kill() -> Result<()> {
    let Some(_turn) = live(&["nginx", "curl"]) else {
        return Ok(());
    };
    let nginx = Nginx::start(1)?;
    let folder = tempfile::tempdir()?;
    let state = folder.path().join("state").display().to_string();
    let launch = || Launch {
        state: Some(PathBuf::from(&state)),
        ..Launch::default()
    };
    let endpoints = |service: &Value| service["endpoints"].clone();
    let run = |calls: u64| -> Result<Value> {
        let agent = Agent::launch(launch())?;
        curl(&[&nginx.url("/status/204")])?;
        let service = listed(&state, "nginx", |service| {
            let all = service["endpoints"].as_object().into_iter().flatten();
            all.filter_map(|(_, endpoint)| endpoint["calls"].as_u64())
                .sum::<u64>()
                >= calls
        })?;
        agent.kill9()?;
        Ok(endpoints(&service))
    };
    let first = run(1)?;
    let second = run(2)?;
    let date = |all: &Value| {
        let all = all.as_object().into_iter().flatten();
        all.filter_map(|(_, endpoint)| endpoint["first_seen_ms"].as_u64())
            .min()
    };
    ensure!(
        date(&first).is_some() && date(&first) == date(&second),
        "{first:#} {second:#}"
    );
    // A damaged file never keeps the agent from starting.
    fs::write(folder.path().join("state/inventory"), "damaged")?;
    run(1)?;
    ensure!(folder.path().join("state/inventory.damaged").is_file());
    Ok(())
}
